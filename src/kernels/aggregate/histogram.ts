/**
 * The latency histogram: log-linear, 64 buckets an octave. With u = latency + 1 ns, e = floor(log2 u) and m = floor((u / 2^e - 1) * 64)
 * a latency is in bucket e * 64 + m: the exponent and the top six mantissa bits of u as a double, which is how the kernel gets it.
 *
 * A quantile's relative error is below 1/128 (0.79 %). For e < 7 a bucket holds at most one integer, and its latency (up to 126 ns)
 * is exact. Otherwise let w = 2^(e-6) be the bucket's width: its latencies are w integers from L = (64 + m) * w - 1 on, the estimate is the
 * middle L + (w - 1) / 2, and so off by at most (w - 1) / 2, which, relative to a latency of at least 64w - 1, is at most
 * (w - 1) / (128w - 2) < 1/128. Keeping the estimate between the least and the largest latency only brings it nearer.
 *
 * Buckets grow with the latency, so the bucket of a rank is the bucket of the sample that has this rank when all are sorted.
 */
import type { ShardTotals } from './kernel.ts';

const BUCKETS_AN_OCTAVE = 64;
/** 52 days. Up to here u is an integer that a double holds with its successor, and sums of a batch stay exact. */
export const MAX_LATENCY_NS = 2 ** 52 - 1;
/** The last one is that of MAX_LATENCY_NS alone. */
export const LATENCY_BUCKETS = 52 * BUCKETS_AN_OCTAVE + 1;

/** Bucket of a latency: an integer from 0 to MAX_LATENCY_NS. */
export function bucketOf(latencyNs: number): number {
  const value = BigInt(latencyNs) + 1n;
  const octave = value.toString(2).length - 1;
  const within = ((value - (1n << BigInt(octave))) * BigInt(BUCKETS_AN_OCTAVE)) >> BigInt(octave);
  return octave * BUCKETS_AN_OCTAVE + Number(within);
}

/** Least latency of a bucket, be it in use or one of those below 64 ns that no integer falls into. */
function leastOf(bucket: number): number {
  const octave = Math.floor(bucket / BUCKETS_AN_OCTAVE);
  return Math.ceil(2 ** octave * (1 + (bucket % BUCKETS_AN_OCTAVE) / BUCKETS_AN_OCTAVE)) - 1;
}

/**
 * The latency, in ns, below or at which the share `quantile` (0 to 1) of the samples lies: that of the sample of rank
 * max(1, ceil(quantile * samples)), the product in doubles.
 */
export function latencyQuantileNs(totals: ShardTotals, quantile: number): number {
  if (!(quantile >= 0 && quantile <= 1)) throw new RangeError(`a quantile is between 0 and 1, not ${quantile}`);
  const rank = Math.max(1, Math.ceil(quantile * totals.samples));
  const { buckets, latencyMinNs, latencyMaxNs } = totals;
  let below = 0;
  for (let i = 0; i < buckets.length; i += 2) {
    below += buckets[i + 1]!;
    if (below < rank) continue;
    const bucket = buckets[i]!;
    const middle = (leastOf(bucket) + leastOf(bucket + 1) - 1) / 2;
    return Math.min(Math.max(middle, latencyMinNs), latencyMaxNs);
  }
  throw new RangeError(`shard ${totals.shard}: ${totals.samples} samples, but ${below} in the buckets`);
}
