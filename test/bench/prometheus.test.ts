import { Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { parseMetrics } from '../../bench/prometheus.ts';

const registry = new Registry();
const seconds = new Histogram({
  name: 'poll_seconds',
  help: 'of two signals',
  labelNames: ['signal'],
  buckets: [0.01, 0.1, 1],
  registers: [registry],
});

describe('what a scrape says of a histogram', () => {
  it('is its quantiles over all labels, and those of what came after an earlier scrape', async () => {
    for (let i = 0; i < 50; i++) seconds.observe({ signal: 'traces' }, 0.005);
    for (let i = 0; i < 50; i++) seconds.observe({ signal: 'logs' }, 0.05);
    const earlier = parseMetrics(await registry.metrics());
    expect(earlier.sum('poll_seconds_count')).toBe(100);
    expect(earlier.quantile('poll_seconds', 0.5)).toBeCloseTo(0.01);
    // Halfway through the bucket from 0.01 to 0.1.
    expect(earlier.quantile('poll_seconds', 0.75)).toBeCloseTo(0.055);

    for (let i = 0; i < 10; i++) seconds.observe({ signal: 'traces' }, 0.5);
    const later = parseMetrics(await registry.metrics());
    expect(later.quantileSince(earlier, 'poll_seconds', 0.5)).toBeCloseTo(0.55);
    expect(later.quantile('poll_seconds', 0.5)).toBeLessThan(0.1);
  });

  it('is its largest finite bound where it is above, and nothing where it is empty', async () => {
    seconds.reset();
    expect(parseMetrics(await registry.metrics()).quantile('poll_seconds', 0.5)).toBeNaN();
    seconds.observe({ signal: 'traces' }, 7);
    expect(parseMetrics(await registry.metrics()).quantile('poll_seconds', 0.99)).toBe(1);
  });
});
