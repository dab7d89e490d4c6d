/** A processor in this process on any Kafka, with topics, ring and producer: for tests of the pipeline. */
import { pino } from 'pino';
import { type Config, type ConfigInput, defaultConfig } from '../../src/config.ts';
import { type ControlLogFollower, followControlLog } from '../../src/coordination/control-log.ts';
import { ensureFirstRing } from '../../src/coordination/ensure-first-ring.ts';
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';
import type { Headers, KafkaPort, Producer, Value } from '../../src/kafka/port.ts';
import { type Kernels, loadKernels } from '../../src/kernels/index.ts';
import { decodeLoadReport } from '../../src/load/codec.ts';
import { startLoadReporter } from '../../src/load/reporter.ts';
import { createMetrics, type Metrics } from '../../src/metrics.ts';
import { type Names, namesFor } from '../../src/names.ts';
import { type Processor, startProcessor } from '../../src/pipeline/processor.ts';
import { followRings } from '../../src/pipeline/ring-source.ts';
import { type Controller, type ControllerOptions, startController } from '../../src/runtime/controller.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { ensureTopics } from '../../src/topics/ensure-topics.ts';

export interface PipelineRig {
  readonly config: Config;
  readonly names: Names;
  readonly ring: RingEpoch;
  readonly kernels: Kernels;
  readonly metrics: Metrics;
  readonly port: KafkaPort;
  /** What the processors route by. */
  readonly control: ControlLogFollower;
  /** Stores records on an ingest topic; fails when Kafka refuses one. */
  send(signal: Signal, values: readonly Value[], options?: { partition?: number; headers?: Headers }): Promise<void>;
  /** Another processor of the same group; closed with the rig. `options.port`: its own, also for reading the control log. */
  startProcessor(options?: { port?: KafkaPort }): Promise<Processor>;
  /** Another controller; closed with the rig. `options.port`: its own. `options.now`: time as it goes by. */
  startController(
    options?: { readonly port?: KafkaPort } & Pick<ControllerOptions, 'now' | 'onTick'>,
  ): Promise<Controller>;
  /** Resolves when everything on the ingest topics is committed. */
  drained(): Promise<void>;
  close(): Promise<void>;
}

let rigs = 0;

export async function openPipelineRig(port: KafkaPort, over: ConfigInput = {}): Promise<PipelineRig> {
  const config = defaultConfig({
    prefix: `rig-${process.pid}-${Date.now().toString(36)}-${rigs++}.`,
    ...over,
    topics: { ingestPartitions: 2, ...over.topics },
    // Members leave by themselves. One that stood still for some seconds has its partitions yet.
    kafka: { sessionTimeoutMs: 30_000, ...over.kafka },
  });
  const names = namesFor(config.prefix);
  const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });
  const metrics = createMetrics();
  const topics = await ensureTopics(port.admin, { config, names });
  const kernels = await loadKernels();
  const { ring } = await ensureFirstRing(port, names, config, kernels);
  const control = await followControlLog(port, names);
  const rings = followRings(control, log);
  const producer: Producer = await port.producer();
  const processors: Processor[] = [];
  const controllers: Controller[] = [];
  const followers: ControlLogFollower[] = [];

  return {
    config,
    names,
    ring,
    kernels,
    metrics,
    port,
    control,
    async send(signal, values, { partition = 0, headers } = {}) {
      const topic = names.ingest(signal);
      const records = values.map((value) => ({ topic, partition, value, ...(headers && { headers }) }));
      for (const outcome of await producer.send(records)) if (outcome.kind !== 'stored') throw outcome.cause;
    },
    async startController(own = {}) {
      const memberName = `rig-${controllers.length}`;
      const controller = await startController({ port, names, config, kernels, metrics, log, memberName, ...own });
      controllers.push(controller);
      return controller;
    },
    async startProcessor({ port: own } = {}) {
      const followed = own && (await followControlLog(own, names));
      if (followed) followers.push(followed);
      const processor = startProcessor({
        port: own ?? port,
        config,
        names,
        kernel: kernels.split,
        metrics,
        reporter: startLoadReporter({
          producer: await port.producer(),
          topic: names.load,
          reporter: { id: `rig-${processors.length}`, role: 'process', version: '0' },
          intervalMs: 200,
          slotIntervalMs: 1_000,
          aggregate: kernels.aggregate,
          metrics,
          log,
        }),
        log,
        shardMaxMessageBytes: topics.shardMaxMessageBytes,
        deadLetterMaxMessageBytes: topics.deadLetterMaxMessageBytes,
        rings: followed ? followRings(followed, log) : rings,
      });
      processors.push(processor);
      return processor;
    },
    async drained() {
      for (const signal of SIGNALS) {
        const lags = async () => [...(await port.admin.lag(names.processGroup, names.ingest(signal))).values()];
        while ((await lags()).some((lag) => lag > 0n)) await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async close() {
      for (const processor of processors) await processor.close();
      for (const controller of controllers) await controller.close();
      for (const follower of [...followers, control]) await follower.close();
      await producer.close();
      await port.admin.deleteTopics((await port.admin.listTopics()).filter((topic) => topic.startsWith(config.prefix)));
      await port.close();
    },
  };
}

/** Everything on `weir.load`, in order. */
export async function loadReportsOf({ port, names }: PipelineRig) {
  const { valuesOf } = await import('./shard-census.ts');
  const reports = [];
  for await (const value of valuesOf(port, names.load)) if (value) reports.push(decodeLoadReport(value));
  return reports;
}
