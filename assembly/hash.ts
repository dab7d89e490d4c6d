/** XXH64, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
const PRIME_1: u64 = 11400714785074694791;
const PRIME_2: u64 = 14029467366897019727;
const PRIME_3: u64 = 1609587929392839161;
const PRIME_4: u64 = 9650029242287828579;
const PRIME_5: u64 = 2870177450012600261;

/** Bytes a stripe: four lanes of 8. */
const STRIPE: u32 = 32;

function round(lane: u64, input: u64): u64 {
  return rotl<u64>(lane + input * PRIME_2, 31) * PRIME_1;
}

function mergeLane(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * PRIME_1 + PRIME_4;
}

function mergeLanes(a: u64, b: u64, c: u64, d: u64): u64 {
  const hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
  return mergeLane(mergeLane(mergeLane(mergeLane(hash, a), b), c), d);
}

function mix8(hash: u64, input: u64): u64 {
  return rotl<u64>(hash ^ round(0, input), 27) * PRIME_1 + PRIME_4;
}

function avalanche(hash: u64): u64 {
  hash ^= hash >> 33;
  hash *= PRIME_2;
  hash ^= hash >> 29;
  hash *= PRIME_3;
  return hash ^ (hash >> 32);
}

// The lanes between the calls that hash one input; see hashBegin.
let lane1: u64 = 0;
let lane2: u64 = 0;
let lane3: u64 = 0;
let lane4: u64 = 0;
let hashSeed: u64 = 0;

/** Begins the hash of an input that comes in pieces: hashBegin, hashStripes for each but the last, hashEnd. */
export function hashBegin(seed: u64): void {
  hashSeed = seed;
  lane1 = seed + PRIME_1 + PRIME_2;
  lane2 = seed + PRIME_2;
  lane3 = seed;
  lane4 = seed - PRIME_1;
}

/** Takes a piece: `bytes` is a multiple of 32. */
export function hashStripes(at: usize, bytes: u32): void {
  let a = lane1;
  let b = lane2;
  let c = lane3;
  let d = lane4;
  for (const end = at + <usize>bytes; at < end; at += STRIPE) {
    a = round(a, load<u64>(at));
    b = round(b, load<u64>(at, 8));
    c = round(c, load<u64>(at, 16));
    d = round(d, load<u64>(at, 24));
  }
  lane1 = a;
  lane2 = b;
  lane3 = c;
  lane4 = d;
}

/** Takes the last piece, of any size, and gives the hash of all `total` bytes. */
export function hashEnd(at: usize, bytes: u32, total: u64): u64 {
  const stripes = bytes & ~(STRIPE - 1);
  if (stripes > 0) {
    hashStripes(at, stripes);
    at += stripes;
    bytes -= stripes;
  }
  const hash = total >= STRIPE ? mergeLanes(lane1, lane2, lane3, lane4) : hashSeed + PRIME_5;
  return hashTail(hash + total, at, bytes);
}

/** What is below a stripe. */
function hashTail(hash: u64, at: usize, bytes: u32): u64 {
  for (; bytes >= 8; bytes -= 8, at += 8) hash = mix8(hash, load<u64>(at));
  if (bytes >= 4) {
    hash = rotl<u64>(hash ^ (<u64>load<u32>(at) * PRIME_1), 23) * PRIME_2 + PRIME_3;
    at += 4;
    bytes -= 4;
  }
  for (; bytes > 0; bytes--, at++) hash = rotl<u64>(hash ^ (<u64>load<u8>(at) * PRIME_5), 11) * PRIME_1;
  return avalanche(hash);
}

/** Hash of a key that lies in one piece: the lanes stay in registers. */
export function hashSeeded(at: usize, bytes: u32, seed: u64): u64 {
  if (bytes < STRIPE) return hashTail(seed + PRIME_5 + bytes, at, bytes);
  let a = seed + PRIME_1 + PRIME_2;
  let b = seed + PRIME_2;
  let c = seed;
  let d = seed - PRIME_1;
  const tail = bytes & (STRIPE - 1);
  for (const end = at + <usize>(bytes - tail); at < end; at += STRIPE) {
    a = round(a, load<u64>(at));
    b = round(b, load<u64>(at, 8));
    c = round(c, load<u64>(at, 16));
    d = round(d, load<u64>(at, 24));
  }
  return hashTail(mergeLanes(a, b, c, d) + bytes, at, tail);
}

/** hashSeeded with seed 0. */
export function hashBytes(at: usize, bytes: u32): u64 {
  return hashSeeded(at, bytes, 0);
}

/** hashSeeded of 16 bytes, a trace id, without lanes, loops and memory. */
export function hash16Seeded(low: u64, high: u64, seed: u64): u64 {
  return avalanche(mix8(mix8(seed + PRIME_5 + 16, low), high));
}

/** hash16Seeded with seed 0. */
export function hash16(low: u64, high: u64): u64 {
  return hash16Seeded(low, high, 0);
}

/** hashBytes of the 8 bytes of a u64. */
export function hash8(value: u64): u64 {
  return avalanche(mix8(PRIME_5 + 8, value));
}
