/**
 * XXH64 of trace ids and the slot's owner, as fast as it can be made in JS: no BigInt (each result would be an object), every
 * u64 is two 32-bit halves in registers, a 64-bit product seven 32-bit ones. Bit by bit what assembly/hash.ts computes.
 */

/** Upper half of the 64-bit product of two u32. Every sum below fits in 32 bits, so `| 0` loses nothing. */
function high32(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = Math.imul(aLow, bLow);
  const cross = (Math.imul(aHigh, bLow) + (low >>> 16)) | 0;
  const middle = (Math.imul(aLow, bHigh) + (cross & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (cross >>> 16) + (middle >>> 16)) | 0;
}

const [P1H, P1L] = [0x9e3779b1, 0x85ebca87];
const [P2H, P2L] = [0xc2b2ae3d, 0x27d4eb4f];
const [P3H, P3L] = [0x165667b1, 0x9e3779f9];
const [P4H, P4L] = [0x85ebca77, 0xc2b2ae63];
/** PRIME_5 + 16: the hash of no bytes of sixteen, seed 0. */
const [START_H, START_L] = [0x27d4eb2f, 0x165667c5 + 16];

/** Upper half of (h, l) * (ph, pl). */
function product(h: number, l: number, ph: number, pl: number): number {
  return (high32(l, pl) + Math.imul(h, pl) + Math.imul(l, ph)) | 0;
}

/** Writes the two halves of each hash, low one first, as a BigUint64Array has them. `keys`: four u32 a key. */
export function xxh64Batch16(keys: Uint32Array, out: Int32Array): void {
  for (let i = 0, at = 0; at < keys.length; i += 2, at += 4) {
    let h = START_H;
    let l = START_L;
    for (let word = at; word < at + 4; word += 2) {
      // round(0, word)
      const rh = product(keys[word + 1]!, keys[word]!, P2H, P2L);
      const rl = Math.imul(keys[word]!, P2L);
      const sh = (rh << 31) | (rl >>> 1);
      const sl = (rl << 31) | (rh >>> 1);
      h ^= product(sh, sl, P1H, P1L);
      l ^= Math.imul(sl, P1L);
      // rotl 27, * PRIME_1 + PRIME_4
      const th = (h << 27) | (l >>> 5);
      const tl = (l << 27) | (h >>> 5);
      h = product(th, tl, P1H, P1L);
      l = Math.imul(tl, P1L);
      const sum = (l + P4L) | 0;
      h = (h + P4H + (sum >>> 0 < l >>> 0 ? 1 : 0)) | 0;
      l = sum;
    }
    // Avalanche.
    l ^= h >>> 1; // 33
    h = product(h, l, P2H, P2L);
    l = Math.imul(l, P2L);
    l ^= (h << 3) | (l >>> 29);
    h ^= h >>> 29;
    h = product(h, l, P3H, P3L);
    l = Math.imul(l, P3L);
    out[i] = l ^ h;
    out[i + 1] = h;
  }
}

/** Owner of each key. `scratch` has room for the hashes; 2^16 slots. */
export function owners16(keys: Uint32Array, slots: Uint16Array, scratch: Int32Array, out: Uint16Array): void {
  xxh64Batch16(keys, scratch);
  for (let i = 0; i < out.length; i++) out[i] = slots[scratch[2 * i + 1]! >>> 16]!;
}

/** Kafka's murmur2 without views. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  let hash = 0x9747b28c ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    const word = Math.imul(
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24),
      0x5bd1e995,
    );
    hash = Math.imul(hash, 0x5bd1e995) ^ Math.imul(word ^ (word >>> 24), 0x5bd1e995);
  }
  const left = length - at;
  if (left > 0) {
    if (left > 2) hash ^= bytes[at + 2]! << 16;
    if (left > 1) hash ^= bytes[at + 1]! << 8;
    hash = Math.imul(hash ^ bytes[at]!, 0x5bd1e995);
  }
  hash = Math.imul(hash ^ (hash >>> 13), 0x5bd1e995);
  return hash ^ (hash >>> 15);
}
