/** Sends what a member measured to `weir.load`, off the hot path: once a second, whatever the polls do. It is the member's heartbeat, too. */
import type { Logger } from 'pino';
import type { Producer } from '../kafka/port.ts';
import type { AggregateKernel } from '../kernels/aggregate/kernel.ts';
import type { SplitAggregates } from '../kernels/split/kernel.ts';
import type { Metrics } from '../metrics.ts';
import type { Signal } from '../signals.ts';
import { encodeLoadReport } from './codec.ts';
import { LoadAccumulator } from './load-accumulator.ts';
import type { PartitionLag, Reporter } from './load-report.ts';
import { createUsageMeter } from './usage.ts';

export interface LoadReporter {
  /** Aggregates of a committed poll. */
  add(signal: Signal, aggregates: SplitAggregates): void;
  /** Of a request that a bridge has accepted. */
  accept(items: number, bytes: number): void;
  setLag(lag: readonly PartitionLag[]): void;
  setRingEpoch(ringEpoch: number): void;
  /** Sends what is left, and that this member leaves. */
  close(): Promise<void>;
}

export interface LoadReporterDeps {
  readonly producer: Producer;
  readonly topic: string;
  readonly reporter: Reporter;
  readonly intervalMs: number;
  readonly slotIntervalMs: number;
  readonly aggregate: AggregateKernel;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export function startLoadReporter(deps: LoadReporterDeps): LoadReporter {
  const { producer, topic, metrics, log } = deps;
  const accumulator = new LoadAccumulator({
    reporter: deps.reporter,
    slotIntervalMs: deps.slotIntervalMs,
    aggregate: deps.aggregate,
    nowUnixMs: Date.now(),
  });
  const usage = createUsageMeter();
  let sending: Promise<void> | null = null;
  const timer = setInterval(() => {
    // While Kafka is slow the totals grow in value, not in number: the next report covers the longer time.
    sending ??= send(false)
      // A producer that was closed under it, or a report that cannot be encoded: no reason for the process to end.
      .catch((err: Error) => log.error({ err }, 'a load report could not be sent'))
      .finally(() => {
        sending = null;
      });
  }, deps.intervalMs);

  async function send(leaving: boolean): Promise<void> {
    const reports = accumulator.drain(Date.now(), { usage: usage(), leaving });
    const records = reports.map((report) => ({ topic, partition: 0, value: encodeLoadReport(report) }));
    for (const outcome of await producer.send(records)) {
      metrics.loadReports.inc({ outcome: outcome.kind });
      // A lost report is a second of load not seen: the next one makes up for it, so it is not sent again.
      if (outcome.kind !== 'stored') log.warn({ cause: outcome.cause.message }, 'a load report was not stored');
    }
  }

  let closing: Promise<void> | null = null;
  async function end(): Promise<void> {
    clearInterval(timer);
    await sending;
    await send(true).finally(() => accumulator.close());
  }

  return {
    add: (signal, aggregates) => accumulator.add(signal, aggregates),
    accept: (items, bytes) => accumulator.accept(items, bytes),
    setLag: (lag) => accumulator.setLag(lag),
    setRingEpoch: (ringEpoch) => accumulator.setRingEpoch(ringEpoch, Date.now()),
    close() {
      closing ??= end();
      return closing;
    },
  };
}
