/** Where the contenders run: an embedded Apache Kafka of its own, and one input for each case. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { loadConfig } from '../../src/config/load.ts';
import { kafkaLogDir } from '../../src/kafka/embedded/folder.ts';
import { startEmbedded } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import type { Case } from './matrix.ts';

/** Enough that processor caches do not flatter the figures. */
const DISTINCT_REQUESTS = 256;
export const PARTITIONS = 4;
const BYTES_PER_SEND = 500_000;

export interface Ground {
  readonly brokers: string;
  readonly brokerPid: number;
  readonly kafka: KafkaPort;
  /** Another connection, with settings that differ. */
  connect(env: Readonly<Record<string, string>>): Promise<KafkaPort>;
  /** Bytes of the topics' records as the broker has stored them. */
  storedBytes(topics: readonly string[]): number;
  /** Drops the topics whose names begin so. */
  drop(prefix: string): Promise<void>;
  close(): Promise<void>;
}

/** What a broker of one's own has, for nothing to be deleted while it is measured: Weir's embedded one takes little room. */
const KEEP_ALL = { 'log.retention.bytes': '-1', 'log.segment.bytes': String(256 * 1024 * 1024) };

/** The broker drops what is older, so that a stream of any length fits a disk: some 64 MB of each partition are left. */
export const KEEP_LITTLE = {
  'log.retention.bytes': String(64 * 1024 * 1024),
  'log.segment.bytes': String(32 * 1024 * 1024),
};

export async function openGround(
  say: (text: string) => void,
  settings: Readonly<Record<string, string>> = KEEP_ALL,
): Promise<Ground> {
  const broker = await startEmbedded({ ephemeral: true, heapMb: 1_024, onProgress: say, settings });
  const log = pino({ level: 'warn' }, process.stderr);
  const connect = (env: Readonly<Record<string, string>>) =>
    connectKafka(loadConfig({ env: { WEIR_KAFKA: broker.brokers, ...env } }).kafka, log);
  const kafka = await connect({});
  const logDir = kafkaLogDir(broker.dataDir);
  return {
    brokers: broker.brokers,
    brokerPid: broker.pid,
    kafka,
    connect,
    storedBytes(topics) {
      const wanted = new Set(topics);
      const folders = readdirSync(logDir).filter((name) => wanted.has(name.replace(/-\d+$/, '')));
      return folders
        .flatMap((folder) => readdirSync(join(logDir, folder)).map((file) => join(logDir, folder, file)))
        .filter((file) => file.endsWith('.log'))
        .reduce((sum, file) => sum + statSync(file).size, 0);
    },
    async drop(prefix) {
      await kafka.admin.deleteTopics((await kafka.admin.listTopics()).filter((topic) => topic.startsWith(prefix)));
    },
    async close() {
      await kafka.close();
      await broker.stop();
    },
  };
}

/** What the contenders read, to be cycled. */
export const requestsOf = (spansPerRequest: number): Uint8Array[] =>
  createCorpus({ seed: 1, signal: 'traces', itemsPerRequest: spansPerRequest }).requests(DISTINCT_REQUESTS);

/** Writes at least `spans` spans over the topic's partitions; what it has written. */
export async function fill(
  ground: Ground,
  topic: string,
  { spansPerRequest, codec }: Case,
  spans: number,
): Promise<{ readonly records: number; readonly spans: number; readonly bytes: number }> {
  const requests = requestsOf(spansPerRequest);
  const kafka = await ground.connect({ WEIR_KAFKA_COMPRESSION: codec });
  const producer = await kafka.producer();
  const total = Math.ceil(spans / spansPerRequest);
  const perSend = Math.max(1, Math.floor(BYTES_PER_SEND / (requests[0] as Uint8Array).length));
  let bytes = 0;
  for (let sent = 0; sent < total; sent += perSend) {
    const partition = (sent / perSend) % PARTITIONS;
    const records = Array.from({ length: Math.min(perSend, total - sent) }, (_, i) => {
      const value = requests[(sent + i) % requests.length] as Uint8Array;
      bytes += value.length;
      return { topic, partition, value };
    });
    for (const outcome of await producer.send(records)) if (outcome.kind !== 'stored') throw outcome.cause;
  }
  await producer.close();
  await kafka.close();
  return { records: total, spans: total * spansPerRequest, bytes };
}

/** Of partition 0, by reading them: the offsets of a transactional topic count markers, too. */
export async function countRecords(kafka: KafkaPort, topic: string): Promise<number> {
  const end = (await kafka.admin.offsets(topic))[0]!.latest;
  const reader = kafka.reader({ topic, partition: 0 });
  await reader.seek('earliest');
  let records = 0;
  while (reader.position < end) {
    const outcome = await reader.poll(1_000);
    if (outcome.kind !== 'poll') continue;
    records += outcome.poll.count;
    outcome.poll.release();
  }
  await reader.close();
  return records;
}
