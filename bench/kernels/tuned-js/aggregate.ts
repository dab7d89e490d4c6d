/**
 * The aggregate kernel's work in JS as fast as it can be made: typed arrays, nothing allocated, no bounds that the caller has not
 * checked. Sums are doubles, exact up to 2^53 only, where the kernel's are exact always.
 *
 * The state is this module's, not an object's: V8 then compiles the arrays' addresses and lengths in, and is a third faster.
 */
import { LATENCY_BUCKETS } from '../../../src/kernels/aggregate/histogram.ts';
import { ERROR_UNIT } from '../../../src/kernels/aggregate/sample-batch.ts';

/** Samples as a struct of arrays: the usual form. */
export interface Columns {
  readonly length: number;
  readonly shards: Uint16Array;
  readonly bytes: Uint32Array;
  readonly latencies: Float64Array;
  /** The same memory as `latencies`: [2i + 1] has exponent and upper mantissa of the ith. */
  readonly latencyWords: Uint32Array;
  readonly errors: Uint8Array;
}

/** Samples in the kernel's own form: latency + 1, bytes + error * ERROR_UNIT. Saves JS an addition, too. */
export interface Rows {
  readonly length: number;
  readonly shards: Uint16Array;
  readonly rows: Float64Array;
  readonly rowWords: Uint32Array;
}

/** The most that any case needs; those of fewer shards use the first of them. */
const SHARDS = 256;
const MANTISSA_SHIFT = 14;
const BUCKET_OF_ONE = 1_023 << 6;
/** Below 64 ns the bucket is the latency itself: cheaper than an octave each. */
const BUCKET_OF_64 = (1_023 + 5) << 6;

const histograms = new Uint32Array(SHARDS * LATENCY_BUCKETS);

/** By shard, 8 doubles: bytes, latency sum, min and max, and in the first word of the fifth the errors. */
const columnSums = new Float64Array(SHARDS * 8);
const columnWords = new Uint32Array(columnSums.buffer);
const ERRORS = 8;

/** By shard, 4 doubles: sums of latency + 1 and of bytes + error * ERROR_UNIT, min and max of latency + 1. */
const rowSums = new Float64Array(SHARDS * 4);

const slotBytes = new Float64Array(2 ** 16);

/** The state, for comparing it with the kernel's. Not exported itself: an exported array is not compiled in. */
export function state(): { columnSums: Float64Array; columnWords: Uint32Array; rowSums: Float64Array } {
  return { columnSums, columnWords, rowSums };
}

export function clear(): void {
  histograms.fill(0);
  columnSums.fill(0);
  rowSums.fill(0);
  for (let shard = 0; shard < SHARDS; shard++) {
    columnSums[8 * shard + 2] = Number.POSITIVE_INFINITY;
    rowSums[4 * shard + 2] = Number.POSITIVE_INFINITY;
  }
}

export function addColumns({ length, shards, bytes, latencies, latencyWords, errors }: Columns): void {
  for (let i = 0; i < length; i++) {
    const shard = shards[i]!;
    const latency = latencies[i]!;
    const row = shard << 3;
    columnSums[row]! += bytes[i]!;
    columnSums[row + 1]! += latency;
    columnWords[(row << 1) + ERRORS]! += errors[i]!;
    if (latency < columnSums[row + 2]!) columnSums[row + 2] = latency;
    if (latency > columnSums[row + 3]!) columnSums[row + 3] = latency;
    const bucket = latency < 64 ? latency : (latencyWords[(i << 1) | 1]! >>> MANTISSA_SHIFT) - BUCKET_OF_64;
    histograms[shard * LATENCY_BUCKETS + bucket]!++;
  }
}

export function addRows({ length, shards, rows, rowWords }: Rows): void {
  for (let i = 0; i < length; i++) {
    const shard = shards[i]!;
    const row = shard << 2;
    const at = i << 1;
    const latency = rows[at]!;
    rowSums[row]! += latency;
    rowSums[row + 1]! += rows[at + 1]!;
    if (latency < rowSums[row + 2]!) rowSums[row + 2] = latency;
    if (latency > rowSums[row + 3]!) rowSums[row + 3] = latency;
    histograms[shard * LATENCY_BUCKETS + (rowWords[(at << 1) | 1]! >>> MANTISSA_SHIFT) - BUCKET_OF_ONE]!++;
  }
}

/** The kernel settles at most every 2^17 samples; doubles with errors above ERROR_UNIT have to, as well. */
export function settleRows(): void {
  for (let at = 1; at < rowSums.length; at += 4) rowSums[at]! %= ERROR_UNIT;
}

export function addSlots(slots: Uint32Array, bytes: Uint32Array): void {
  for (let i = 0; i < slots.length; i++) slotBytes[slots[i]!]! += bytes[i]!;
}
