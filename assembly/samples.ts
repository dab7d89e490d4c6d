/**
 * Samples (shard, bytes, latency, error) added up by shard: sums, extremes and an exponential histogram.
 *
 * An aggregate of n shards begins on a cache line of the AGGREGATION region, where the host has found room for it:
 *
 *   n rows of 32 B (PENDING_, LEAST, SPREAD) | n rows of 32 B (SETTLED_) | n histograms of HISTOGRAM_BYTES
 *
 * What each sample touches is thus one row of 32 B and one counter of the histogram: 1 KiB of rows for 16 shards.
 *
 * A batch is a column of shards, u16, and a column of samples of 16 B, two f64: latency + 1 ns, and bytes + error * ERROR_UNIT. So
 * all sums of a sample are one SIMD addition. It is exact only below 2^53: before the sums could get there the host calls
 * settleAggregate, which moves them to u64. Why latency + 1: it is never 0, so its exponent and upper mantissa are the bucket as they
 * stand, and the bits of two of them compare as u64 do.
 */

/** Two f64, summed since the last settling: latency + 1, and bytes + errors * ERROR_UNIT. */
const PENDING: usize = 0;
const PENDING_TALLY: usize = 8;
/** u64: bits of the least latency + 1 as an f64, NONE before the first sample; and what to add to get the bits of the largest. */
const LEAST: usize = 16;
const SPREAD: usize = 24;
const ROW_SHIFT: usize = 5;
const NONE: u64 = 0xffffffffffffffff;

/** u64 each: bytes, errors, and the sum of latency + 1 in 128 bits. */
const SETTLED_BYTES: usize = 0;
const SETTLED_ERRORS: usize = 8;
const SETTLED_LATENCY: usize = 16;
const SETTLED_LATENCY_HIGH: usize = 24;

/** log2 of ERROR_UNIT. Below it pending bytes, above it 17 bits of pending errors. */
const ERROR_SHIFT: u64 = 36;

/** 3,329 x u32, on whole cache lines: 64 an octave from 1 to 2^52. src/kernels/aggregate/histogram.ts has the proof. */
export const HISTOGRAM_BYTES: usize = 13_376;
/** An f64 >> 46 is its exponent and the top six bits of its mantissa. */
const BUCKET_SHIFT: u64 = 46;
const BUCKET_OF_ONE: usize = 1_023 << 6;

function histogramsOf(at: usize, shards: u32): usize {
  return at + ((<usize>shards) << (ROW_SHIFT + 1));
}

export function beginAggregate(at: usize, shards: u32): void {
  const rowBytes = (<usize>shards) << ROW_SHIFT;
  memory.fill(at, 0, 2 * rowBytes + <usize>shards * HISTOGRAM_BYTES);
  for (let row = at; row < at + rowBytes; row += 32) store<u64>(row, NONE, LEAST);
}

/** beginAggregate of one that is in use: only what its samples have touched. */
export function clearAggregate(at: usize, shards: u32): void {
  const rowBytes = (<usize>shards) << ROW_SHIFT;
  let histogram = histogramsOf(at, shards);
  for (let row = at; row < at + rowBytes; row += 32, histogram += HISTOGRAM_BYTES) {
    const least = load<u64>(row, LEAST);
    if (least == NONE) continue;
    const from = (<usize>(least >> BUCKET_SHIFT) - BUCKET_OF_ONE) << 2;
    const to = (<usize>((least + load<u64>(row, SPREAD)) >> BUCKET_SHIFT) - BUCKET_OF_ONE + 1) << 2;
    memory.fill(histogram + from, 0, to - from);
    memory.fill(row, 0, 32);
    memory.fill(row + rowBytes, 0, 32);
    store<u64>(row, NONE, LEAST);
  }
}

function widen(row: usize, latency: u64): void {
  const least = load<u64>(row, LEAST);
  const most = least == NONE ? latency : max<u64>(least + load<u64>(row, SPREAD), latency);
  const newLeast = min<u64>(least, latency);
  store<u64>(row, newLeast, LEAST);
  store<u64>(row, most - newLeast, SPREAD);
}

/** asc inlines what is called so often only on demand, and Biome reads decorators only on methods. A call costs as much as the rest. `latency`: the bits of the first lane. */
class Inlined {
  // @ts-ignore: decorator
  @inline
  static addSample(at: usize, buckets: usize, shard: usize, sample: v128, latency: u64): void {
    const row = at + (shard << ROW_SHIFT);
    v128.store(row, f64x2.add(v128.load(row), sample));
    // One comparison for both extremes; before the first sample LEAST is NONE, and every latency lies outside.
    if (latency - load<u64>(row, LEAST) > load<u64>(row, SPREAD)) widen(row, latency);
    const bucket = buckets + shard * HISTOGRAM_BYTES + ((<usize>(latency >> BUCKET_SHIFT)) << 2);
    store<u32>(bucket, load<u32>(bucket) + 1);
  }
}

/** Adds a batch. All its shards are below `shards`, and with it the pending sums stay exact: the host has seen to it. */
export function addSamples(at: usize, shards: u32, shardAt: usize, sample: usize, samples: u32): void {
  const buckets = histogramsOf(at, shards) - (BUCKET_OF_ONE << 2);
  const end = sample + ((<usize>samples) << 4);
  // By sixteens, at fixed offsets: a tenth faster than by fours whose addresses are added up.
  for (const sixteens = sample + ((<usize>(samples & ~15)) << 4); sample < sixteens; sample += 256, shardAt += 32) {
    Inlined.addSample(at, buckets, load<u16>(shardAt, 0), v128.load(sample, 0), load<u64>(sample, 0));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 2), v128.load(sample, 16), load<u64>(sample, 16));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 4), v128.load(sample, 32), load<u64>(sample, 32));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 6), v128.load(sample, 48), load<u64>(sample, 48));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 8), v128.load(sample, 64), load<u64>(sample, 64));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 10), v128.load(sample, 80), load<u64>(sample, 80));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 12), v128.load(sample, 96), load<u64>(sample, 96));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 14), v128.load(sample, 112), load<u64>(sample, 112));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 16), v128.load(sample, 128), load<u64>(sample, 128));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 18), v128.load(sample, 144), load<u64>(sample, 144));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 20), v128.load(sample, 160), load<u64>(sample, 160));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 22), v128.load(sample, 176), load<u64>(sample, 176));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 24), v128.load(sample, 192), load<u64>(sample, 192));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 26), v128.load(sample, 208), load<u64>(sample, 208));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 28), v128.load(sample, 224), load<u64>(sample, 224));
    Inlined.addSample(at, buckets, load<u16>(shardAt, 30), v128.load(sample, 240), load<u64>(sample, 240));
  }
  for (; sample < end; sample += 16, shardAt += 2) {
    Inlined.addSample(at, buckets, load<u16>(shardAt), v128.load(sample), load<u64>(sample));
  }
}

/** Adds a batch that would be too much for the pending sums: settles after each sample. Nothing is pending when it begins. */
export function addHugeSamples(at: usize, shards: u32, shardAt: usize, sample: usize, samples: u32): void {
  for (const end = sample + ((<usize>samples) << 4); sample < end; sample += 16, shardAt += 2) {
    addSamples(at, shards, shardAt, sample, 1);
    const row = at + ((<usize>load<u16>(shardAt)) << ROW_SHIFT);
    settleRow(row, row + ((<usize>shards) << ROW_SHIFT));
  }
}

function settleRow(row: usize, settled: usize): void {
  const tally = <u64>load<f64>(row, PENDING_TALLY);
  const latency = <u64>load<f64>(row, PENDING);
  const sum = load<u64>(settled, SETTLED_LATENCY) + latency;
  store<u64>(settled, load<u64>(settled, SETTLED_BYTES) + (tally & ((1 << ERROR_SHIFT) - 1)), SETTLED_BYTES);
  store<u64>(settled, load<u64>(settled, SETTLED_ERRORS) + (tally >> ERROR_SHIFT), SETTLED_ERRORS);
  store<u64>(settled, sum, SETTLED_LATENCY);
  store<u64>(settled, load<u64>(settled, SETTLED_LATENCY_HIGH) + <u64>(sum < latency), SETTLED_LATENCY_HIGH);
  v128.store(row, f64x2.splat(0));
}

export function settleAggregate(at: usize, shards: u32): void {
  const rowBytes = (<usize>shards) << ROW_SHIFT;
  for (let row = at; row < at + rowBytes; row += 32) settleRow(row, row + rowBytes);
}
