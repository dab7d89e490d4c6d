import { describe, expect, it } from 'vitest';
import type { SignalView } from '../../src/control/load-view.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { createMetrics } from '../../src/metrics.ts';
import { clearDistribution, showDistribution } from '../../src/runtime/load-metrics.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';

const policy = { minBytesPerSecond: 1_000 };
/** Four shards for each signal. */
const ring = firstRing(testConfig(), kernels.ring, kernels.hash);
const view = (...bytesPerSecond: number[]): SignalView => ({
  shardBytesPerSecond: new Map(bytesPerSecond.entries()),
  slotBytesPerSecond: new Map(),
  restBytesPerSecond: 0,
  keys: new Map(),
});

describe('the metrics of how even the load is', () => {
  const metrics = createMetrics();
  const shown = async () =>
    (await metrics.registry.metrics())
      .split('\n')
      .filter((line) => line.startsWith('weir_shard_load'))
      .sort();

  it('show each signal by itself, and one with next to no load as even', async () => {
    // Traces: 1, 2, 3 and 4 of 10, so the mean is 2.5 and the variance 1.25. One shard has all metrics. Logs: below the least load.
    const signals = { traces: view(4_000, 1_000, 3_000, 2_000), metrics: view(0, 0, 8_000, 0), logs: view(0, 999) };
    showDistribution(metrics, ring, { signals }, policy);
    const values = (await shown()).map((line) => line.split(' ') as [string, string]);
    expect(Object.fromEntries(values.map(([name, value]) => [name, Number(Number(value).toFixed(4))]))).toEqual({
      'weir_shard_load_max_over_mean{signal="traces"}': 1.6,
      'weir_shard_load_cv{signal="traces"}': 0.4472,
      'weir_shard_load_gini{signal="traces"}': 0.25,
      'weir_shard_load_max_over_mean{signal="metrics"}': 4,
      'weir_shard_load_cv{signal="metrics"}': 1.7321,
      'weir_shard_load_gini{signal="metrics"}': 0.75,
      'weir_shard_load_max_over_mean{signal="logs"}': 1,
      'weir_shard_load_cv{signal="logs"}': 0,
      'weir_shard_load_gini{signal="logs"}': 0,
    });
  });

  it('show nothing once the controller no longer leads', async () => {
    showDistribution(metrics, ring, { signals: { traces: view(), metrics: view(), logs: view() } }, policy);
    expect(await shown()).toHaveLength(9);
    clearDistribution(metrics);
    expect(await shown()).toEqual([]);
  });
});
