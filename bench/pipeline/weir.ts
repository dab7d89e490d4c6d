/** `weir process` as a contender: a child that reads a case's input from the beginning. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { offsetMetadata } from '../../src/coordination/ring-epoch.ts';
import { freePort } from '../../src/kafka/embedded.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { namesFor } from '../../src/names.ts';
import { endWithRun } from '../child.ts';
import { readMetrics } from '../prometheus.ts';
import type { Contender, Running, Written } from './contender.ts';
import { DRIVERS } from './drivers.ts';
import { countRecords, type Ground, PARTITIONS } from './ground.ts';
import type { Case, WeirForm } from './matrix.ts';

export const MAIN = join(import.meta.dirname, '..', '..', 'dist', 'main.js');
const FIRST_RING_EPOCH = 1;

export interface WeirContender extends Contender {
  readonly form: WeirForm;
  /** Writes a CPU profile of each thread into the folder when it ends. */
  start(profileTo?: string): Promise<WeirRunning>;
}

export interface WeirRunning extends Running {
  /** Where its /metrics are. */
  readonly apiPort: number;
}

/** Creates the topics of an installation of its own for the case. */
export async function install(ground: Ground, prefix: string, of: Case): Promise<void> {
  const child = spawn(process.execPath, [MAIN, 'topics', '--create'], {
    env: environment(ground, prefix, of),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`weir topics --create ended with ${code}`);
}

export function environment(ground: Ground, prefix: string, { shards, codec }: Case): NodeJS.ProcessEnv {
  return {
    ...process.env,
    WEIR_PREFIX: prefix,
    WEIR_KAFKA: ground.brokers,
    WEIR_TOPICS_INGEST_PARTITIONS: String(PARTITIONS),
    WEIR_ROUTING_TRACES_SHARDS: String(shards),
    WEIR_ROUTING_METRICS_SHARDS: '1',
    WEIR_ROUTING_LOGS_SHARDS: '1',
    WEIR_LOG_LEVEL: 'warn',
    WEIR_KAFKA_COMPRESSION: codec,
  };
}

export function weirContender(
  ground: Ground,
  prefix: string,
  of: Case,
  form: WeirForm,
  input: { readonly records: number },
): WeirContender {
  const names = namesFor(prefix);
  const { kafka } = ground;
  const topic = names.ingest('traces');
  const shardTopics = Array.from({ length: of.shards }, (_, shard) => names.shard('traces', shard));
  return {
    form,
    name: nameOf(form),
    guarantee: 'exactly once',
    async start(profileTo) {
      await rewind(kafka, names.processGroup, topic);
      const apiPort = await freePort();
      const child = spawn(process.execPath, [MAIN, 'process'], {
        env: {
          ...environment(ground, prefix, of),
          ...DRIVERS[form.driver]!.environment,
          WEIR_WORKERS: String(form.workers),
          WEIR_API_PORT: String(apiPort),
          // Not as arguments: workers may be processes of their own.
          ...(profileTo && { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profileTo}` }),
        },
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      endWithRun(child);
      await once(child, 'spawn');
      return {
        pid: child.pid as number,
        apiPort,
        assertRunning() {
          if (hasEnded(child)) throw new Error(`weir process ended with ${child.exitCode ?? child.signalCode}`);
        },
        async progress() {
          const offsets = await kafka.admin.committedOffsets(names.processGroup, topic);
          const done = offsets.reduce((sum, { offset }) => sum + Number(offset ?? 0n), 0);
          return { done, isAll: done === input.records };
        },
        async pollMs() {
          const metrics = await readMetrics(apiPort);
          const quantile = (share: number) => 1e3 * metrics.quantile('weir_poll_seconds', share);
          return { p50: quantile(0.5), p99: quantile(0.99) };
        },
        async stop() {
          if (hasEnded(child)) return;
          const ended = once(child, 'exit');
          child.kill('SIGTERM');
          await ended;
        },
      };
    },
    async written(): Promise<Written> {
      let records = 0;
      for (const shardTopic of shardTopics) records += await countRecords(kafka, shardTopic);
      return { records, bytes: ground.storedBytes(shardTopics) };
    },
  };
}

function nameOf({ driver, workers }: WeirForm): string {
  const { title } = DRIVERS[driver]!;
  return workers > 1 ? `${title}, ${workers} workers` : title;
}

/** The group's offsets back to the beginning of the topic; nobody may be in the group. */
async function rewind(kafka: KafkaPort, groupId: string, topic: string): Promise<void> {
  const sink = await kafka.openSink({ fencingKey: `${groupId}.rewind`, groupId, transactionTimeoutMs: 10_000 });
  const metadata = offsetMetadata(FIRST_RING_EPOCH);
  const offsets = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition, offset: 0n, metadata }));
  const outcome = await sink.commit(offsets);
  await sink.close();
  if (outcome.kind !== 'committed') throw outcome.cause;
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;
