import { AggregatorRegistry, type Registry } from 'prom-client';
import type { MetricsSnapshot } from './messages.ts';

/**
 * One text for Prometheus: every series of a worker with a `worker` label, and the parent's own without. The parent does no
 * work itself, so of Weir's metrics it shows only those about its workers: zeros of all others would stand beside theirs.
 */
export async function expositionOf(own: Registry, workers: ReadonlyMap<number, MetricsSnapshot>): Promise<string> {
  const parent = (await own.getMetricsAsJSON()) as MetricsSnapshot;
  const snapshots = [
    parent.filter(({ name }) => !name.startsWith('weir_') || name.startsWith('weir_worker_')),
    ...[...workers].map(([worker, metrics]) =>
      metrics.map((metric) => ({
        ...metric,
        values: metric.values.map((value) => ({ ...value, labels: { ...value.labels, worker: String(worker) } })),
      })),
    ),
  ];
  // No two series have the same labels, so nothing is added up; some of Node's metrics would be left out or averaged.
  const plain = snapshots.map((snapshot) => snapshot.map((metric) => ({ ...metric, aggregator: 'sum' })));
  return AggregatorRegistry.aggregate(plain).metrics();
}
