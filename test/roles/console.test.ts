import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ApiView } from '../../src/api/documents.ts';
import { createMetrics } from '../../src/metrics.ts';
import { openConsole } from '../../src/roles/console.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the line of figures', () => {
  it('counts the shards of the ring, not those that are gone from it nor those of the settings', async () => {
    const written: string[] = [];
    const stdout = { isTTY: true, columns: 300, write: (text: string) => written.push(text) };
    const metrics = createMetrics();
    for (const shard of ['0', '1', '2']) metrics.itemsRouted.inc({ signal: 'traces', shard }, 5);
    // Shard 2 has been merged away; 7 to 9 are new.
    const shards = [0, 1, 7, 8, 9].map((id) => ({ signal: 'traces', id }));
    const view = { subscribe: () => () => undefined, shards: async () => ({ shards }) } as unknown as ApiView;
    const figures = openConsole(stdout as unknown as NodeJS.WriteStream).figures(metrics, {
      shards: 2,
      view,
      waitsFor: () => null,
    });
    await vi.advanceTimersByTimeAsync(1_000);
    await figures.close();
    expect(written.join('')).toContain('  2 of 5 shards  ');
  });
});
