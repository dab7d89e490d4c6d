/**
 * CRC-32C (Castagnoli, RFC 3720 section 12.1), the checksum of Kafka's record batches. A checksum is the remainder of the input,
 * taken as a polynomial over GF(2), by P of degree 32. Two ways to get there:
 *
 * - `walk`: table look-ups, 16 bytes a step ("slicing by 16"); 2.1 GB/s, bound by a load a byte (three interleaved streams: 2.7).
 * - `divide`, for all but short inputs: P divides F = x^209 + x^144 + x^54 + x^39 + x^14 + 1 (six terms are the fewest that a
 *   multiple of degree below 5,000 has; found by search, checked by crc32c.parity.test.ts). In GF(2) F(x)^n is F(x^n) where n is
 *   a power of two, so P divides F(x^128) as well, whose terms are whole vectors apart: the division by it needs no table and no
 *   shift, only XORs of vectors 65 to 209 before, and runs as fast as memory gives them. It leaves 209 vectors; F(x^64),
 *   F(x^32), ... halve that, the rest is walked. (Sparse multiples: S. Russell, "Chorba", arXiv 2412.16398.)
 */
import { BATCH, CRC_TABLES, CRC_TABLES_BYTES } from './arena';

/** P, its bits reversed as those of every byte are: the lowest bit is the highest power. */
const POLYNOMIAL: u32 = 0x82f63b78;

/** F: how far, in units, a term stands behind the leading one. */
const LAG_1: u32 = 65;
const LAG_2: u32 = 155;
const LAG_3: u32 = 170;
const LAG_4: u32 = 195;
const DEGREE: u32 = 209;
/** Bytes of the largest unit, a vector. */
const WIDEST: u32 = 16;
/** Bytes a step of `pull`; below the shortest lag in the smallest unit, so that a step never needs its own results. */
const STEP: u32 = 64;

/** Quotient bytes that are computed in a row: they stay in the first-level cache. */
const PIECE: u32 = 16 << 10;
const LONGEST_REST: u32 = DEGREE * WIDEST + STEP;

// Scratch, in the batch region: nothing stays there between calls. Outside views are copied in behind it.
const QUOTIENT: usize = BATCH + <usize>LONGEST_REST;
const REST_A: usize = QUOTIENT + <usize>PIECE + <usize>LONGEST_REST + <usize>STEP;
const REST_B: usize = REST_A + <usize>LONGEST_REST + <usize>STEP;
/** Bytes of the batch region, from its beginning, that crcUpdate writes. */
export const CRC_SCRATCH_BYTES: usize = 32 << 10;

let tablesMade = false;

/** Table k: what a byte, followed by k zero bytes, does to a checksum. */
function makeTables(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
    store<u32>(CRC_TABLES + ((<usize>byte) << 2), crc);
  }
  for (let at: usize = CRC_TABLES + 1_024; at < CRC_TABLES + CRC_TABLES_BYTES; at += 4) {
    const crc = load<u32>(at - 1_024);
    store<u32>(at, (crc >>> 8) ^ look(0, crc & 0xff));
  }
  tablesMade = true;
}

/** Goes on with `crc`, the checksum of what came before (0: nothing), over `bytes` at `at`. Up to 63 bytes behind are read, too. */
export function crcUpdate(crc: u32, at: usize, bytes: u32): u32 {
  if (!tablesMade) makeTables();
  let state = ~crc;
  let rest = REST_A;
  for (let unit = WIDEST; unit > 0; unit >>= 1) {
    if (bytes < 2 * DEGREE * unit) continue;
    bytes = divide(state, at, bytes, unit, rest);
    state = 0; // It is in the remainder now.
    at = rest;
    rest = rest == REST_A ? REST_B : REST_A;
  }
  return ~walk(state, at, bytes);
}

/** Divides by F in units of `unit` bytes; writes the remainder, DEGREE units to 63 bytes more, to `rest` and gives its bytes. */
function divide(state: u32, at: usize, bytes: u32, unit: u32, rest: usize): u32 {
  const history = DEGREE * unit;
  let left = (bytes - history) & ~(STEP - 1);
  const restBytes = bytes - left;
  // Before the first byte there is no quotient; but what stands here is XORed into the first bytes, where the state belongs.
  memory.fill(QUOTIENT - history, 0, history);
  store<u32>(QUOTIENT - history, state);
  let end = QUOTIENT;
  while (left > 0) {
    if (end != QUOTIENT) memory.copy(QUOTIENT - history, end - history, history);
    const piece = min(left, PIECE);
    pull(at, QUOTIENT, QUOTIENT, piece, unit);
    end = QUOTIENT + piece;
    at += piece;
    left -= piece;
  }
  // The quotient ends here; what it adds to the bytes behind is the remainder.
  memory.fill(end, 0, restBytes);
  pull(at, rest, end, restBytes, unit);
  return restBytes;
}

/** to[i] = from[i] XOR the quotient at i - each lag, for the steps of `bytes`. `to` is the quotient itself or lies elsewhere. */
function pull(from: usize, to: usize, quotient: usize, bytes: u32, unit: u32): void {
  let a = quotient - LAG_1 * unit;
  let b = quotient - LAG_2 * unit;
  let c = quotient - LAG_3 * unit;
  let d = quotient - LAG_4 * unit;
  let e = quotient - DEGREE * unit;
  for (const end = from + <usize>bytes; from < end; from += STEP) {
    const v0 = sum(v128.load(from), v128.load(a), v128.load(b), v128.load(c), v128.load(d), v128.load(e));
    const v1 = sum(
      v128.load(from, 16),
      v128.load(a, 16),
      v128.load(b, 16),
      v128.load(c, 16),
      v128.load(d, 16),
      v128.load(e, 16),
    );
    const v2 = sum(
      v128.load(from, 32),
      v128.load(a, 32),
      v128.load(b, 32),
      v128.load(c, 32),
      v128.load(d, 32),
      v128.load(e, 32),
    );
    const v3 = sum(
      v128.load(from, 48),
      v128.load(a, 48),
      v128.load(b, 48),
      v128.load(c, 48),
      v128.load(d, 48),
      v128.load(e, 48),
    );
    v128.store(to, v0);
    v128.store(to, v1, 16);
    v128.store(to, v2, 32);
    v128.store(to, v3, 48);
    to += STEP;
    a += STEP;
    b += STEP;
    c += STEP;
    d += STEP;
    e += STEP;
  }
}

function sum(v: v128, a: v128, b: v128, c: v128, d: v128, e: v128): v128 {
  return v128.xor(v128.xor(v128.xor(v, a), v128.xor(b, c)), v128.xor(d, e));
}

function walk(state: u32, at: usize, bytes: u32): u32 {
  for (; bytes >= 16; bytes -= 16, at += 16) {
    const low = load<u64>(at) ^ state;
    const high = load<u64>(at, 8);
    state =
      look(15, low & 0xff) ^
      look(14, (low >> 8) & 0xff) ^
      look(13, (low >> 16) & 0xff) ^
      look(12, (low >> 24) & 0xff) ^
      (look(11, (low >> 32) & 0xff) ^ look(10, (low >> 40) & 0xff) ^ look(9, (low >> 48) & 0xff) ^ look(8, low >> 56)) ^
      (look(7, high & 0xff) ^
        look(6, (high >> 8) & 0xff) ^
        look(5, (high >> 16) & 0xff) ^
        look(4, (high >> 24) & 0xff)) ^
      (look(3, (high >> 32) & 0xff) ^
        look(2, (high >> 40) & 0xff) ^
        look(1, (high >> 48) & 0xff) ^
        look(0, high >> 56));
  }
  for (; bytes > 0; bytes--, at++) state = (state >>> 8) ^ look(0, (state ^ load<u8>(at)) & 0xff);
  return state;
}

function look(table: u32, byte: u64): u32 {
  return load<u32>(CRC_TABLES + ((<usize>table) << 10) + ((<usize>byte) << 2));
}
