/** `weir bridge` as a process of its own on real Kafka, and what the tests ask of both. */
import { pino } from 'pino';
import { expect } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { freePort } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { namesFor } from '../../src/names.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { startWeir, type WeirProcess } from '../support/weir-process.ts';
import { recordsOf } from './rig.ts';

export interface BridgeProcess {
  readonly weir: WeirProcess;
  readonly grpcAddress: string;
  readonly httpAddress: string;
  /** All values of an ingest topic. */
  stored(signal: Signal): Promise<Buffer[]>;
  /** Stops it in order and deletes its topics. */
  close(): Promise<void>;
}

export interface BridgeProcessOptions {
  /** What the test reads by. */
  readonly brokers: string;
  /** What the bridge connects to, where that is not the same. */
  readonly bridgeBrokers?: string;
  readonly env?: Readonly<Record<string, string>>;
}

let started = 0;

export async function startBridgeProcess(options: BridgeProcessOptions): Promise<BridgeProcess> {
  const { brokers, bridgeBrokers = brokers, env = {} } = options;
  const prefix = `bridge-${process.pid}-${started++}.`;
  const names = namesFor(prefix);
  const grpcPort = await freePort();
  const httpPort = await freePort([grpcPort]);
  const kafka = await connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));
  const weir = await startWeir(['bridge'], {
    WEIR_KAFKA: bridgeBrokers,
    WEIR_PREFIX: prefix,
    WEIR_GRPC_PORT: String(grpcPort),
    WEIR_HTTP_PORT: String(httpPort),
    WEIR_TOPICS_INGEST_PARTITIONS: '4',
    WEIR_LOG_LEVEL: 'error',
    ...env,
  });
  await untilReady(weir);
  return {
    weir,
    grpcAddress: `127.0.0.1:${grpcPort}`,
    httpAddress: `127.0.0.1:${httpPort}`,
    stored: async (signal) => (await recordsOf(kafka, names.ingest(signal))).map(({ value }) => value),
    async close() {
      expect(await weir.stop(), weir.output()).toBe(0);
      await kafka.admin.deleteTopics(SIGNALS.map((signal) => names.ingest(signal)));
      await kafka.close();
    },
  };
}

async function untilReady(weir: WeirProcess): Promise<void> {
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${weir.apiPort}/readyz`).catch(() => null);
    if (answer?.ok) return;
    if (weir.child.exitCode !== null) throw new Error(`weir bridge ended:\n${weir.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
