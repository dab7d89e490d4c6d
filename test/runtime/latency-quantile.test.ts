import { describe, expect, it } from 'vitest';
import { bucketOf, LATENCY_BUCKETS } from '../../src/kernels/split/kernel.ts';
import { latencyQuantileMs } from '../../src/runtime/latency-quantile.ts';

const histogram = (...latencies: [ms: number, count: number][]): Float64Array => {
  const counts = new Float64Array(LATENCY_BUCKETS);
  for (const [ms, count] of latencies) counts[bucketOf(BigInt(Math.round(ms * 1e6)))]! += count;
  return counts;
};

describe('a quantile of the latency histogram', () => {
  it('is within 12 %, from a few microseconds to half an hour', () => {
    for (let ms = 0.002; ms < 2e6; ms *= 1.07) {
      const said = latencyQuantileMs(histogram([ms, 1]), 0.5)!;
      expect(Math.abs(said / ms - 1)).toBeLessThan(0.12);
    }
  });

  it('counts from the fastest on', () => {
    const counts = histogram([900, 2], [1, 98]);
    expect(latencyQuantileMs(counts, 0.5)).toBeLessThan(1.12);
    expect(latencyQuantileMs(counts, 0.98)).toBeLessThan(1.12);
    expect(latencyQuantileMs(counts, 0.99)).toBeGreaterThan(900 / 1.12);
    expect(latencyQuantileMs(counts, 1)).toBeGreaterThan(900 / 1.12);
  });

  it('is unknown of nothing', () => {
    expect(latencyQuantileMs(histogram(), 0.5)).toBeNull();
  });
});
