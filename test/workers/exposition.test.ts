import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/metrics.ts';
import { expositionOf } from '../../src/workers/exposition.ts';
import type { MetricsSnapshot } from '../../src/workers/messages.ts';

const snapshot = async (metrics: ReturnType<typeof createMetrics>) =>
  (await metrics.registry.getMetricsAsJSON()) as MetricsSnapshot;

describe('one scrape of a parent with workers', () => {
  it("has each worker's series with its label, and nothing added up", async () => {
    const [parent, first, second] = [createMetrics({ defaults: true }), createMetrics(), createMetrics()];
    parent.workerUp.set({ worker: '1' }, 1);
    first.itemsIn.inc({ signal: 'traces' }, 7);
    second.itemsIn.inc({ signal: 'traces' }, 5);
    second.pollSeconds.observe({ signal: 'logs' }, 0.02);
    const text = await expositionOf(
      parent.registry,
      new Map([
        [1, await snapshot(first)],
        [2, await snapshot(second)],
      ]),
    );
    expect(text).toContain('weir_items_in_total{signal="traces",worker="1"} 7\n');
    expect(text).toContain('weir_items_in_total{signal="traces",worker="2"} 5\n');
    expect(text).toContain('weir_poll_seconds_bucket{le="0.01",signal="logs",worker="2"} 0\n');
    expect(text).toContain('weir_poll_seconds_bucket{le="0.025",signal="logs",worker="2"} 1\n');
    expect(text).toContain('weir_poll_seconds_count{signal="logs",worker="2"} 1\n');
    expect(text.match(/^# TYPE weir_items_in_total counter$/gm)).toHaveLength(1);
    expect(text).toContain('weir_worker_up{worker="1"} 1\n');
  });

  it('shows of the parent what it is, not what it does not do', async () => {
    const parent = createMetrics({ defaults: true });
    const text = await expositionOf(parent.registry, new Map([[1, await snapshot(createMetrics({ defaults: true }))]]));
    expect(text).toMatch(/^process_start_time_seconds \d/m);
    expect(text).toMatch(/^process_start_time_seconds\{worker="1"\} \d/m);
    expect(text).toContain('weir_partitions_assigned{worker="1"} 0\n');
    expect(text).not.toMatch(/^weir_partitions_assigned \d/m);
  });
});
