/**
 * The processor of one process: joins the group of the three ingest topics, runs each assigned partition, measures, and
 * reports the load. All state is in Kafka; a processor can vanish at any moment.
 */
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { SplitKernel } from '../kernels/split/kernel.ts';
import { lastingTrouble } from '../lasting-trouble.ts';
import type { PartitionLag } from '../load/load-report.ts';
import type { LoadReporter } from '../load/reporter.ts';
import type { Metrics } from '../metrics.ts';
import type { Names } from '../names.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { runPartition, STOP_REASONS } from './partition.ts';
import { pollBytes } from './poll-bytes.ts';
import type { RingSource } from './ring-source.ts';
import type { Committed } from './transact.ts';

export interface ProcessorDeps {
  readonly port: KafkaPort;
  readonly config: Config;
  readonly names: Names;
  readonly kernel: SplitKernel;
  readonly metrics: Metrics;
  readonly reporter: LoadReporter;
  readonly log: Logger;
  /** `max.message.bytes` of the shard topics and of the dead letter topic, as they really are. */
  readonly shardMaxMessageBytes: Readonly<Record<Signal, number | undefined>>;
  readonly deadLetterMaxMessageBytes: number | undefined;
  readonly rings: RingSource;
}

export interface Processor {
  /** Input partitions that this process works on now. */
  readonly assigned: ReadonlyArray<{ topic: string; partition: number }>;
  /** Whether the group has settled at least once. */
  readonly joined: boolean;
  /** When the lag was last measured, in ms since 1970; null: not yet. */
  readonly lagMeasuredAtMs: number | null;
  /** Rejects when trying again cannot mend it (no permission, for one). */
  readonly done: Promise<void>;
  /** Finishes the polls in hand, gives the partitions back, sends the last report. */
  close(): Promise<void>;
}

const LAG_INTERVAL_MS = 5_000;
/** Kafka is asked for the lag: out of reach it tells nothing, and the last figure says less and less. */
export const LAG_KNOWN_MS = 15_000;

export function startProcessor(deps: ProcessorDeps): Processor {
  const { port, config, names, metrics, log, reporter } = deps;
  const signalOf = new Map<string, Signal>(SIGNALS.map((signal) => [names.ingest(signal), signal]));
  let assigned: Processor['assigned'] = [];
  let joined = false;
  let lagMeasuredAtMs: number | null = null;
  const shards = Math.max(...SIGNALS.map((signal) => deps.rings.newest.routing[signal].shardCount));
  const maxPollBytes = pollBytes(shards, config.poll.maxBytes);

  const member = port.joinGroup(
    {
      groupId: names.processGroup,
      topics: [...signalOf.keys()],
      sessionTimeoutMs: config.kafka.sessionTimeoutMs,
      ...(config.kafka.instanceId && { instanceId: config.kafka.instanceId }),
      fetch: { maxPollRecords: config.poll.maxRecords, maxPollBytes },
    },
    {
      run(partition) {
        const signal = signalOf.get(partition.topic) as Signal;
        const labels = { topic: partition.topic, partition: String(partition.partition) };
        return runPartition(partition, {
          port,
          names,
          kernel: deps.kernel,
          transactionTimeoutMs: config.kafka.transactionTimeoutMs,
          onLostOffset: config.poll.onLostOffset,
          onCorruptBatch: config.poll.onCorruptBatch,
          log,
          rings: deps.rings,
          settings: {
            signal,
            names,
            keepHeaders: config.routing.keepHeaders,
            maxPollBytes,
            maxOutputRatio: config.poll.maxOutputRatio,
            maxShardMessageBytes: deps.shardMaxMessageBytes[signal] ?? config.topics.maxMessageBytes,
            maxDeadLetterMessageBytes: deps.deadLetterMaxMessageBytes ?? config.topics.maxMessageBytes,
          },
          onCommitted: (committed) => count(signal, committed),
          onPollDone(outcome, seconds) {
            metrics.polls.inc({ outcome });
            metrics.pollSeconds.observe({ signal }, seconds);
          },
          onCorruptBatchPassed: () => metrics.deadLetter.inc({ reason: 'corrupt_batch' }),
          onStopped: (reason) => metrics.partitionsStopped.set({ ...labels, reason }, 1),
        }).finally(() => {
          for (const reason of STOP_REASONS) metrics.partitionsStopped.remove({ ...labels, reason });
          metrics.lagRecords.remove(labels);
        });
      },
      onGeneration(generation) {
        joined = true;
        assigned = generation.partitions;
        metrics.partitionsAssigned.set(assigned.length);
        log.info({ generation: generation.id, partitions: assigned.length }, 'input partitions assigned');
      },
      onTrouble: lastingTrouble(log, 'trouble with the consumer group, trying on'),
    },
  );

  function count(signal: Signal, { records, bytesIn, bytesOut, aggregates, deadLetters }: Committed): void {
    metrics.recordsIn.inc({ signal }, records);
    metrics.bytesIn.inc({ signal }, bytesIn);
    metrics.itemsIn.inc({ signal }, aggregates.items);
    metrics.bytesOut.inc({ signal }, bytesOut);
    for (const { shard, items } of aggregates.shards) metrics.itemsRouted.inc({ signal, shard: String(shard) }, items);
    for (const reason of deadLetters) metrics.deadLetter.inc({ reason });
    reporter.add(signal, aggregates);
  }

  const lagTimer = setInterval(() => {
    measureLag().catch((error: Error) => log.debug({ cause: error.message }, 'lag not measured'));
    if (lagMeasuredAtMs !== null && Date.now() - lagMeasuredAtMs > LAG_KNOWN_MS) metrics.lagRecords.reset();
  }, LAG_INTERVAL_MS);

  async function measureLag(): Promise<void> {
    const measured: PartitionLag[] = [];
    for (const topic of new Set(assigned.map((partition) => partition.topic))) {
      const ids = assigned.filter((at) => at.topic === topic).map(({ partition }) => partition);
      const lag = await port.admin.lag(names.processGroup, topic, ids);
      for (const { topic: of, partition } of assigned) {
        const records = of === topic ? lag.get(partition) : undefined;
        if (records === undefined) continue;
        metrics.lagRecords.set({ topic, partition: String(partition) }, Number(records));
        measured.push({ topic, partition, records: Number(records) });
      }
    }
    reporter.setLag(measured);
    lagMeasuredAtMs = Date.now();
  }

  return {
    get assigned() {
      return assigned;
    },
    get joined() {
      return joined;
    },
    get lagMeasuredAtMs() {
      return lagMeasuredAtMs;
    },
    done: member.done,
    async close() {
      clearInterval(lagTimer);
      try {
        await member.close();
      } finally {
        await reporter.close();
      }
    },
  };
}
