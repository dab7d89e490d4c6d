import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ApiView } from '../../src/api/api-view.ts';
import { createMetrics, type Metrics } from '../../src/metrics.ts';
import { type Figures, openConsole } from '../../src/roles/console.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** `after` resolves with the line that stands on the terminal then. */
function figuresOf(metrics: Metrics, of: Partial<Figures>) {
  const written: string[] = [];
  const stdout = { isTTY: true, columns: 300, write: (text: string) => written.push(text) };
  const figures = openConsole(stdout as unknown as NodeJS.WriteStream).figures(metrics, {
    shards: 2,
    view: undefined,
    waitsFor: () => null,
    lagMeasuredAtMs: () => Date.now(),
    ...of,
  });
  return {
    ...figures,
    async after(ms: number): Promise<string> {
      await vi.advanceTimersByTimeAsync(ms);
      return written.at(-1) ?? '';
    },
  };
}

describe('the line of figures', () => {
  it('counts the shards of the ring, not those that are gone from it nor those of the settings', async () => {
    const metrics = createMetrics();
    for (const shard of ['0', '1', '2']) metrics.itemsRouted.inc({ signal: 'traces', shard }, 5);
    // Shard 2 has been merged away; 7 to 9 are new.
    const shards = [0, 1, 7, 8, 9].map((id) => ({ signal: 'traces', id }));
    const view = { subscribe: () => () => undefined, shards: async () => ({ shards }) } as unknown as ApiView;
    const figures = figuresOf(metrics, { view });
    expect(await figures.after(1_000)).toContain('  2 of 5 shards  ');
    await figures.close();
  });

  it('says since when the lag is unknown, once it is no longer measured', async () => {
    const metrics = createMetrics();
    metrics.lagRecords.set({ topic: 'otlp_spans', partition: '0' }, 1_234);
    let measuredAtMs: number | null = null;
    const figures = figuresOf(metrics, { lagMeasuredAtMs: () => measuredAtMs });
    expect(await figures.after(1_000)).toContain('lag not yet known  ');
    measuredAtMs = new Date(2026, 1, 3, 4, 5, 6).getTime();
    vi.setSystemTime(measuredAtMs);
    expect(await figures.after(10_000)).toContain('lag 1,234 records  ');
    expect(await figures.after(10_000)).toContain('lag unknown since 04:05:06  ');
    await figures.close();
  });

  it('tells what is waited for once that takes long', async () => {
    let reason: string | null = 'waiting for something';
    const figures = figuresOf(createMetrics(), { waitsFor: () => reason });
    expect(await figures.after(9_000)).toContain('last decision: none yet');
    expect(await figures.after(3_000)).toContain('waiting for something');
    reason = null;
    expect(await figures.after(1_000)).toContain('last decision: none yet');
    await figures.close();
  });
});
