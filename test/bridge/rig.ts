/** A bridge on free ports, before an in-process log or any other Kafka, and what the tests ask of them. */
import { pino } from 'pino';
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
  const settings = { 'max.message.bytes': String(config.topics.maxMessageBytes) };
  const topics = SIGNALS.map((signal) => ({ name: names.ingest(signal), partitions: PARTITIONS, config: settings }));
  await kafka.admin.createTopics(topics);
  const producer = await kafka.producer({ deliveryTimeoutMs: config.bridge.ackTimeoutMs });
  const metrics = createMetrics();
  const logLines: Array<Record<string, unknown>> = [];
  const bridge = await startBridge({
    config,
    names,
    producer: options.wrap?.(producer) ?? producer,
    partitions: { traces: PARTITIONS, metrics: PARTITIONS, logs: PARTITIONS },
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

async function recordsOf(kafka: KafkaPort, topic: string): Promise<StoredRecord[]> {
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

/** Fields of a google.rpc.Status, and whether RetryInfo is among its details. */
export function decodeStatus(bytes: Uint8Array): { code: number; message: string; retryAfterMs: number | null } {
  let code = 0;
  let message = '';
  let retryAfterMs: number | null = null;
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === 1) code = value as number;
    if (field === 2) message = Buffer.from(value as Uint8Array).toString();
    if (field !== 3) continue;
    const any = new Map(fieldsOf(value as Uint8Array));
    if (Buffer.from(any.get(1) as Uint8Array).toString() !== 'type.googleapis.com/google.rpc.RetryInfo') continue;
    const delay = new Map(fieldsOf(any.get(2) as Uint8Array)).get(1) as Uint8Array;
    const duration = new Map(fieldsOf(delay));
    retryAfterMs = ((duration.get(1) as number) ?? 0) * 1_000 + ((duration.get(2) as number) ?? 0) / 1e6;
  }
  return { code, message, retryAfterMs };
}

/** For messages of varints and bytes. */
function fieldsOf(bytes: Uint8Array): Array<[field: number, value: number | Uint8Array]> {
  const fields: Array<[number, number | Uint8Array]> = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = varint();
    if (tag % 8 === 0) fields.push([tag >> 3, number]);
    else {
      fields.push([tag >> 3, bytes.subarray(at, at + number)]);
      at += number;
    }
  }
  return fields;
}
