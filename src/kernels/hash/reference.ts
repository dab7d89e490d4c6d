/**
 * XXH64 in BigInt, step by step as the specification tells it. Four lanes take 32 bytes a round; what is left over goes
 * in by eights, a four and ones; an avalanche mixes the result.
 */
import type { HashKernel } from './kernel.ts';

const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;
const PRIME_4 = 0x85ebca77c2b2ae63n;
const PRIME_5 = 0x27d4eb2f165667c5n;
const MASK = 0xffff_ffff_ffff_ffffn;

export function createReferenceHash(): HashKernel {
  return { name: 'reference', xxh64 };
}

export function xxh64(bytes: Uint8Array, seed = 0n): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length;
  let at = 0;
  let hash: bigint;

  if (length >= 32) {
    let lane1 = (seed + PRIME_1 + PRIME_2) & MASK;
    let lane2 = (seed + PRIME_2) & MASK;
    let lane3 = seed & MASK;
    let lane4 = (seed - PRIME_1) & MASK;
    for (; at + 32 <= length; at += 32) {
      lane1 = round(lane1, view.getBigUint64(at, true));
      lane2 = round(lane2, view.getBigUint64(at + 8, true));
      lane3 = round(lane3, view.getBigUint64(at + 16, true));
      lane4 = round(lane4, view.getBigUint64(at + 24, true));
    }
    hash = (rotateLeft(lane1, 1n) + rotateLeft(lane2, 7n) + rotateLeft(lane3, 12n) + rotateLeft(lane4, 18n)) & MASK;
    for (const lane of [lane1, lane2, lane3, lane4]) {
      hash = ((hash ^ round(0n, lane)) * PRIME_1 + PRIME_4) & MASK;
    }
  } else {
    hash = (seed + PRIME_5) & MASK;
  }

  hash = (hash + BigInt(length)) & MASK;
  for (; at + 8 <= length; at += 8) {
    hash ^= round(0n, view.getBigUint64(at, true));
    hash = (rotateLeft(hash, 27n) * PRIME_1 + PRIME_4) & MASK;
  }
  if (at + 4 <= length) {
    hash ^= (BigInt(view.getUint32(at, true)) * PRIME_1) & MASK;
    hash = (rotateLeft(hash, 23n) * PRIME_2 + PRIME_3) & MASK;
    at += 4;
  }
  for (; at < length; at++) {
    hash ^= (BigInt(bytes[at]!) * PRIME_5) & MASK;
    hash = (rotateLeft(hash, 11n) * PRIME_1) & MASK;
  }

  hash = ((hash ^ (hash >> 33n)) * PRIME_2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * PRIME_3) & MASK;
  return hash ^ (hash >> 32n);
}

function round(lane: bigint, input: bigint): bigint {
  return (rotateLeft((lane + input * PRIME_2) & MASK, 31n) * PRIME_1) & MASK;
}

function rotateLeft(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK;
}
