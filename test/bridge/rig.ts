/** A bridge on free ports, before an in-process log or any other Kafka, and what the tests ask of them. */
import { pino } from 'pino';
import protobuf from 'protobufjs';
import { type Bridge, startBridge } from '../../src/bridge/bridge.ts';
import { type ConfigInput, defaultConfig } from '../../src/config.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort, Producer, ProducerRecord, SendOutcome } from '../../src/kafka/port.ts';
import { createMetrics, type Metrics } from '../../src/metrics.ts';
import { namesFor } from '../../src/names.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';

export const PARTITIONS = 3;

export interface StoredRecord {
  readonly partition: number;
  readonly value: Buffer;
  readonly headers: ReadonlyArray<readonly [string, string]>;
}

export interface Rig {
  readonly bridge: Bridge;
  readonly metrics: Metrics;
  readonly logLines: Array<Record<string, unknown>>;
  /** All records of an ingest topic, by partition. */
  stored(signal: Signal): Promise<StoredRecord[]>;
  post(path: string, body: Uint8Array | string, headers: Record<string, string>): Promise<HttpAnswer>;
  /** What the gauge says. */
  queuedBytes(): Promise<number>;
  /** Requests counted so far, as `signal transport outcome` -> count. */
  counted(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: globalThis.Headers;
  readonly body: Buffer;
}

export interface RigOptions {
  readonly config?: ConfigInput;
  readonly kafka?: KafkaPort;
  /** Stands between the bridge and Kafka. */
  readonly wrap?: (producer: Producer) => Producer;
  readonly drainTimeoutMs?: number;
}

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const kafka = options.kafka ?? createMemoryKafka().connect();
  const config = defaultConfig({ grpcPort: 0, httpPort: 0, ...options.config });
  const names = namesFor(config.prefix);
  const { maxMessageBytes } = config.topics;
  const settings = { 'max.message.bytes': String(maxMessageBytes) };
  const topics = SIGNALS.map((signal) => ({ name: names.ingest(signal), partitions: PARTITIONS, config: settings }));
  const ingest = (signal: Signal) => ({ topic: names.ingest(signal), partitions: PARTITIONS, maxMessageBytes });
  await kafka.admin.createTopics(topics);
  const producer = await kafka.producer({ deliveryTimeoutMs: config.bridge.ackTimeoutMs });
  const metrics = createMetrics();
  const logLines: Array<Record<string, unknown>> = [];
  const bridge = await startBridge({
    config,
    producer: options.wrap?.(producer) ?? producer,
    admin: kafka.admin,
    topics: { traces: ingest('traces'), metrics: ingest('metrics'), logs: ingest('logs') },
    metrics,
    log: pino({ level: 'debug' }, { write: (line: string) => logLines.push(JSON.parse(line)) }),
    drainTimeoutMs: options.drainTimeoutMs,
  });
  return {
    bridge,
    metrics,
    logLines,
    queuedBytes: async () => (await metrics.bridgeQueueBytes.get()).values[0]!.value,
    stored: (signal) => recordsOf(kafka, names.ingest(signal)),
    async post(path, body, headers) {
      const answer = await fetch(`http://${bridge.httpAddress}${path}`, {
        method: 'POST',
        body: Buffer.from(body),
        headers,
      });
      return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
    },
    async counted() {
      const { values } = await metrics.bridgeRequests.get();
      return Object.fromEntries(
        values.map(({ labels, value }) => [`${labels.signal} ${labels.transport} ${labels.outcome}`, value]),
      );
    },
    async close() {
      await bridge.close();
      await producer.close();
      await kafka.admin.deleteTopics(topics.map(({ name }) => name));
      await kafka.close();
    },
  };
}

export async function recordsOf(kafka: KafkaPort, topic: string): Promise<StoredRecord[]> {
  const records: StoredRecord[] = [];
  for (const { partition, latest } of await kafka.admin.offsets(topic)) {
    const reader = kafka.reader({ topic, partition });
    await reader.seek('earliest');
    while (reader.position < latest) {
      const outcome = await reader.poll(1_000);
      if (outcome.kind !== 'poll') continue;
      const { poll } = outcome;
      for (let index = 0; index < poll.count; index++) {
        records.push({
          partition,
          value: Buffer.from(poll.value(index)!),
          headers: poll.headers(index).map(([name, value]) => [name, Buffer.from(value).toString()]),
        });
      }
      poll.release();
    }
    await reader.close();
  }
  return records;
}

/** A producer whose calls end when and how the test says. */
export class HeldProducer implements Producer {
  readonly calls: Array<{
    readonly records: readonly ProducerRecord[];
    answer(outcome?: SendOutcome): void;
    reject(cause: Error): void;
  }> = [];
  #onCall: (() => void) | null = null;

  send(records: readonly ProducerRecord[]): Promise<readonly SendOutcome[]> {
    return new Promise((resolve, reject) => {
      this.calls.push({
        records,
        answer: (outcome = { kind: 'stored' }) => resolve(records.map(() => outcome)),
        reject,
      });
      this.#onCall?.();
    });
  }

  /** Resolves once there have been `count` calls. */
  async called(count: number): Promise<void> {
    while (this.calls.length < count) {
      await new Promise<void>((resolve) => {
        this.#onCall = resolve;
      });
    }
  }

  async close(): Promise<void> {}
}

const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';
const google = protobuf.parse(`
    syntax = "proto3";
    message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
    message Any { string type_url = 1; bytes value = 2; }
    message RetryInfo { Duration retry_delay = 1; }
    message Duration { int64 seconds = 1; int32 nanos = 2; }
    message ExportResponse { PartialSuccess partial_success = 1; }
    message PartialSuccess { int64 rejected = 1; string error_message = 2; }
  `).root;

const decode = (type: string, message: Uint8Array) =>
  google.lookupType(type).toObject(google.lookupType(type).decode(message), { longs: Number, defaults: true });

/** Fields of a google.rpc.Status, and what RetryInfo among its details says. */
export function decodeStatus(bytes: Uint8Array): { code: number; message: string; retryAfterMs: number | null } {
  const { code, message, details } = decode('Status', bytes);
  const info = details.find(({ typeUrl }: { typeUrl: string }) => typeUrl === RETRY_INFO);
  return { code, message, retryAfterMs: info ? decodeRetryInfo(info.value) : null };
}

/** ms of a google.rpc.RetryInfo. */
export function decodeRetryInfo(bytes: Uint8Array): number {
  const { seconds, nanos } = decode('RetryInfo', bytes).retryDelay;
  return seconds * 1_000 + nanos / 1e6;
}

/** What an Export*ServiceResponse says; null: everything was accepted. */
export function decodePartialSuccess(response: Uint8Array): { rejected: number; errorMessage: string } | null {
  const type = google.lookupType('ExportResponse');
  return type.toObject(type.decode(response), { longs: Number, defaults: true }).partialSuccess;
}
