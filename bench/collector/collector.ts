/** A running Collector, seen from outside like any other process (`usage.ts`). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endWithRun } from '../child.ts';

/** The forms in `configs/`, with the variables that each reads. */
export interface CollectorForms {
  /** Kafka to Kafka, at least once. */
  'at-least-once': KafkaToKafka;
  /** Kafka to Kafka, its fastest: loses what is in its queue on a kill. */
  fastest: KafkaToKafka;
  /** OTLP to Kafka, acknowledged by Kafka. */
  bridge: {
    readonly COLLECTOR_BROKERS: string;
    readonly COLLECTOR_GRPC_PORT: string;
    readonly COLLECTOR_HTTP_PORT: string;
    /** Topics. */
    readonly COLLECTOR_TRACES: string;
    readonly COLLECTOR_METRICS: string;
    readonly COLLECTOR_LOGS: string;
    /** How long a partition's records are gathered for one produce request, such as `5ms` (the bridge's own usual). */
    readonly COLLECTOR_LINGER: string;
  };
}

export interface KafkaToKafka {
  readonly COLLECTOR_BROKERS: string;
  readonly COLLECTOR_GROUP: string;
  /** Topics. */
  readonly COLLECTOR_INPUT: string;
  readonly COLLECTOR_OUTPUT: string;
  /** none, gzip, snappy, lz4 or zstd. */
  readonly COLLECTOR_COMPRESSION: string;
}

export interface Collector {
  readonly pid: number;
  /** Throws once it has ended by itself. */
  assertRunning(): void;
  /** Orderly, or by SIGKILL when it does not end in time. */
  stop(): Promise<void>;
}

const READY_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 10_000;

export async function startCollector<Form extends keyof CollectorForms>(
  binary: string,
  form: Form,
  variables: CollectorForms[Form],
): Promise<Collector> {
  const config = join(import.meta.dirname, 'configs', `${form}.yaml`);
  const child = spawn(binary, ['--config', `file:${config}`], {
    env: { ...process.env, ...variables },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  endWithRun(child);
  await once(child, 'spawn');
  const ended = once(child, 'exit');
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  const collector: Collector = {
    pid: child.pid as number,
    assertRunning() {
      if (hasEnded()) throw new Error(`the Collector (${form}) ended with ${child.exitCode ?? child.signalCode}`);
    },
    async stop() {
      if (hasEnded()) return;
      child.kill('SIGTERM');
      const timeout = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      await ended;
      clearTimeout(timeout);
    },
  };
  const ports = Object.entries(variables).filter(([name]) => name.endsWith('_PORT'));
  for (const [, port] of ports) await listening(Number(port), collector, child);
  return collector;
}

async function listening(port: number, collector: Collector, child: ChildProcess): Promise<void> {
  const giveUpAt = Date.now() + READY_WITHIN_MS;
  for (;;) {
    collector.assertRunning();
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch (error) {
      if (Date.now() > giveUpAt) {
        child.kill('SIGKILL');
        throw error;
      }
      await delay(50);
    } finally {
      socket.destroy();
    }
  }
}
