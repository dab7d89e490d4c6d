/**
 * The hashes in plain steps. XXH64 is in BigInt, step by step as the specification tells it: four lanes take 32 bytes a round;
 * what is left over goes in by eights, a four and ones; an avalanche mixes the result.
 */
import { FNV_OFFSET_BASIS, type HashKernel, MURMUR_SEED, partitionOf } from './kernel.ts';
import { checkKeys, checkRoom, countKeys16, NoSlots, slotBitsOf } from './key-batch.ts';

const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;
const PRIME_4 = 0x85ebca77c2b2ae63n;
const PRIME_5 = 0x27d4eb2f165667c5n;
const MASK = 0xffff_ffff_ffff_ffffn;

const FNV_PRIME = 0x100_0000_01b3n;
const MURMUR_M = 0x5bd1e995;

export function createReferenceHash(): HashKernel {
  let slots: Uint16Array | undefined;
  return {
    name: 'reference',
    xxh64,
    xxh64Batch(keys, seed = 0n, out = new BigUint64Array(keys.offsets.length)) {
      checkKeys(keys);
      checkRoom(out, keys.offsets.length);
      for (const [i, offset] of keys.offsets.entries()) {
        out[i] = xxh64(keys.bytes.subarray(offset, offset + keys.lengths[i]!), seed);
      }
      return out;
    },
    xxh64Batch16(keys, seed = 0n, out = new BigUint64Array(countKeys16(keys))) {
      checkRoom(out, countKeys16(keys));
      for (let i = 0; i < countKeys16(keys); i++) out[i] = xxh64(keys.subarray(16 * i, 16 * i + 16), seed);
      return out;
    },
    setSlots(table) {
      slotBitsOf(table);
      slots = table.slice();
    },
    owners16(keys, out = new Uint16Array(countKeys16(keys))) {
      if (!slots) throw new NoSlots();
      checkRoom(out, countKeys16(keys));
      const shift = BigInt(64 - slotBitsOf(slots));
      for (let i = 0; i < countKeys16(keys); i++) {
        out[i] = slots[Number(xxh64(keys.subarray(16 * i, 16 * i + 16)) >> shift)]!;
      }
      return out;
    },
    fnv1a64(bytes) {
      let hash = FNV_OFFSET_BASIS;
      for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * FNV_PRIME) & MASK;
      return hash;
    },
    murmur2,
    kafkaPartition: (key, partitions) => partitionOf(murmur2(key), partitions),
  };
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

/** MurmurHash2: words of four bytes, little-endian, then what is left over, then a mix. */
function murmur2(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let hash = MURMUR_SEED ^ bytes.length;
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) {
    const word = Math.imul(view.getUint32(at, true), MURMUR_M);
    hash = Math.imul(hash, MURMUR_M) ^ Math.imul(word ^ (word >>> 24), MURMUR_M);
  }
  if (at < bytes.length) {
    for (let i = bytes.length - 1; i >= at; i--) hash ^= bytes[i]! << (8 * (i - at));
    hash = Math.imul(hash, MURMUR_M);
  }
  hash = Math.imul(hash ^ (hash >>> 13), MURMUR_M);
  return hash ^ (hash >>> 15);
}
