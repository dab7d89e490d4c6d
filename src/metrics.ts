/** Every metric that Weir serves on /metrics. `prom-client` instruments in one object; roles pass it on. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(options: { defaults?: boolean } = {}) {
  const registry = new Registry();
  if (options.defaults) collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter<L>({ name, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Gauge<L>({ name, help, labelNames, registers });
  const histogram = <L extends string>(name: string, help: string, labelNames: L[], buckets: number[]) =>
    new Histogram<L>({ name, help, labelNames, buckets, registers });

  return {
    registry,
    bridgeRequests: counter('weir_bridge_requests_total', 'Export requests by outcome (ok or the refusal reason)', [
      'signal',
      'transport',
      'outcome',
    ]),
    bridgeBytes: counter('weir_bridge_bytes_total', 'Bytes of accepted requests, as protobuf', ['signal', 'transport']),
    bridgeItems: counter('weir_bridge_items_total', 'Spans, metrics or log records of accepted requests', [
      'signal',
      'transport',
    ]),
    bridgeRejected: counter(
      'weir_bridge_rejected_total',
      'Spans, data points or log records that no record can hold, as told in partial_success',
      ['signal', 'transport'],
    ),
    bridgeUnknownItems: counter(
      'weir_bridge_unknown_items_total',
      'Spans, metrics or log records that Kafka may or may not have stored, or has stored after the exporter had gone: what may be doubled',
      ['signal', 'transport'],
    ),
    bridgeQueueBytes: gauge(
      'weir_bridge_queue_bytes',
      'Bytes of requests that are being read, or not yet acknowledged by Kafka',
    ),
    bridgeConnections: gauge('weir_bridge_connections', 'Open connections of exporters', ['endpoint']),
    bridgeConnectionsDropped: counter(
      'weir_bridge_connections_dropped_total',
      'Connections dropped at bridge.maxConnections',
      ['endpoint'],
    ),
    bridgeAckSeconds: histogram(
      'weir_bridge_ack_seconds',
      'From a request read whole to its acknowledgement by Kafka',
      ['signal', 'transport'],
      [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    ),
    itemsIn: counter('weir_items_in_total', 'Items of committed polls', ['signal']),
    recordsIn: counter('weir_records_in_total', 'Ingest records of committed polls', ['signal']),
    bytesIn: counter('weir_bytes_in_total', 'Value bytes of committed polls', ['signal']),
    itemsRouted: counter('weir_items_routed_total', 'Items written to shard topics', ['signal', 'shard']),
    bytesOut: counter('weir_bytes_out_total', 'Value bytes written to shard topics', ['signal']),
    deadLetter: counter('weir_dead_letter_total', 'Records that could not be taken', ['reason']),
    pollSeconds: histogram(
      'weir_poll_seconds',
      'A poll from hand-over to the outcome of its transaction; split ahead, it waits for that of the poll before it meanwhile',
      ['signal'],
      [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    ),
    polls: counter('weir_polls_total', 'Polls by outcome of their transaction', ['outcome']),
    kernelSeconds: counter('weir_kernel_seconds_total', 'Seconds spent in the WASM kernels'),
    partitionsAssigned: gauge('weir_partitions_assigned', 'Input partitions that this process works on'),
    partitionsStopped: gauge(
      'weir_partitions_stopped',
      'Input partitions that wait for an operator, such as after a lost offset',
      ['topic', 'partition', 'reason'],
    ),
    lagRecords: gauge('weir_lag_records', 'Records not yet processed; absent where unknown', ['topic', 'partition']),
    ringEpoch: gauge('weir_ring_epoch', 'Ring epoch in force'),
    ringProposed: gauge(
      'weir_ring_proposed_timestamp_seconds',
      'When the ring change in flight was proposed, in Unix time; 0: none is in flight',
    ),
    ringWaiting: gauge(
      'weir_ring_waiting_partitions',
      'Input partitions that have not adopted the proposed ring epoch; of the leader, 0 of others',
    ),
    shardLoadMaxOverMean: gauge(
      'weir_shard_load_max_over_mean',
      "Load of the hottest shard over its fair share: 1 is even; of the leader's last tick, none of others",
      ['signal'],
    ),
    shardLoadCv: gauge(
      'weir_shard_load_cv',
      "Coefficient of variation of the shards' loads, each over its fair share: 0 is even; of the leader's last tick, none of others",
      ['signal'],
    ),
    shardLoadGini: gauge(
      'weir_shard_load_gini',
      "Gini coefficient of the same: 0 is even, near 1 one shard has everything; of the leader's last tick, none of others",
      ['signal'],
    ),
    leader: gauge('weir_leader', '1 while this process is the leader'),
    members: gauge('weir_members', 'Members at work by the control log, which every controller follows', ['role']),
    decisions: counter('weir_decisions_total', 'Decisions written, by kind', ['kind']),
    workerUp: gauge('weir_worker_up', '1 while the worker process runs, 0 until it is started again', ['worker']),
    workerRestarts: counter('weir_worker_restarts_total', 'Times that a worker process ended by itself', ['worker']),
    loadReports: counter('weir_load_reports_total', 'Load reports by outcome', ['outcome']),
  };
}
