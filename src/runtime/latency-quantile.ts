/** Quantiles of the latency histogram that load reports carry: counts by `bucketOf` of the split kernel. */

/** In ms, within 12 %: the middle of the bucket that holds it. null when the histogram is empty. */
export function latencyQuantileMs(counts: Float64Array, quantile: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let left = Math.ceil(total * quantile);
  const bucket = counts.findIndex((count) => {
    left -= count;
    return left <= 0;
  });
  return middleOfBucketNs(bucket) / 1e6;
}

/** The middle, by ratio, of a bucket's two ends: 1,024 ns, then four buckets an octave. */
function middleOfBucketNs(bucket: number): number {
  if (bucket === 0) return 512;
  const octave = 10 + Math.floor((bucket - 1) / 4);
  const quarter = (bucket - 1) % 4;
  const low = 2 ** octave * (1 + quarter / 4);
  const high = 2 ** octave * (1 + (quarter + 1) / 4);
  return Math.sqrt(low * high);
}
