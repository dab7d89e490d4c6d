/** What the contract's tests stand on: names that nobody else uses, topics that are deleted in the end, ways to read it all. */
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type {
  FetchOptions,
  KafkaPort,
  Poll,
  ProducerRecord,
  TransactionalSink,
  Value,
} from '../../../src/kafka/port.ts';
import { eventually, PATIENCE_MS } from '../../support/eventually.ts';
import type { ContractHarness } from '../harness.ts';

/** Of members that nobody is to miss: one that stands still for some seconds keeps its place. */
export const SESSION_TIMEOUT_MS = 30_000;
/** What a broker with default settings allows at least; of members that are to be missed. */
export const SHORT_SESSION_MS = 6_000;

/** A record as it was read, copied before its poll was released. */
export interface ReadRecord {
  readonly offset: bigint;
  readonly value: string | null;
  readonly key: string | null;
  readonly headers: readonly (readonly [string, string])[];
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Value): string | null => (value === null ? null : Buffer.from(value).toString('utf8'));

type Isolation = NonNullable<FetchOptions['isolation']>;

export class Scene {
  readonly harness: ContractHarness;
  /** A client that every test may use. */
  readonly port: KafkaPort;
  readonly #stem = `contract-${randomBytes(5).toString('hex')}`;
  #names = 0;
  readonly #topics: string[] = [];
  #cleanUps: (() => Promise<void>)[] = [];

  private constructor(harness: ContractHarness, port: KafkaPort) {
    this.harness = harness;
    this.port = port;
  }

  static async set(harness: ContractHarness): Promise<Scene> {
    return new Scene(harness, await harness.connect());
  }

  /** For groups and fencing keys. */
  name(kind: string): string {
    return `${this.#stem}-${kind}-${++this.#names}`;
  }

  /** Creates a topic. */
  async topic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
    const name = this.name('topic');
    await this.createTopic(name, partitions, config);
    return name;
  }

  /** A topic of two partitions that takes no larger records. A broker may answer before its partitions have a topic's settings. */
  async topicLimitedTo(maxMessageBytes: number): Promise<string> {
    return await eventually(async () => {
      const topic = await this.topic(2, { 'max.message.bytes': String(maxMessageBytes) });
      const producer = await this.port.producer();
      const outcomes = await producer.send([{ topic, partition: 0, value: new Uint8Array(2 * maxMessageBytes) }]);
      await producer.close();
      expect(outcomes[0]!.kind).toBe('refused');
      return topic;
    });
  }

  async createTopic(name: string, partitions: number, config: Record<string, string> = {}): Promise<void> {
    this.#topics.push(name);
    expect(await this.port.admin.createTopics([{ name, partitions, replicas: 1, config }])).toEqual([name]);
  }

  /** To be done when the test is over, also when it fails; last first. */
  atEnd(cleanUp: () => Promise<void>): void {
    this.#cleanUps.push(cleanUp);
  }

  /** A client of the test's own. */
  async connect(): Promise<KafkaPort> {
    const port = await this.harness.connect();
    this.atEnd(() => port.close());
    return port;
  }

  async connectFaulty(): Promise<{ port: KafkaPort; loseNextProduceReply(): void }> {
    const faulty = await this.harness.connectFaulty();
    this.atEnd(() => faulty.port.close());
    return faulty;
  }

  async openSink(
    fencingKey: string,
    groupId: string,
    port: KafkaPort = this.port,
    transactionTimeoutMs = 60_000,
  ): Promise<TransactionalSink> {
    const sink = await port.openSink({ fencingKey, groupId, transactionTimeoutMs });
    this.atEnd(() => sink.close());
    return sink;
  }

  /** Writes with a plain producer, one batch a partition. */
  async put(records: readonly ProducerRecord[]): Promise<void> {
    const producer = await this.port.producer();
    try {
      const outcomes = await producer.send(records);
      expect(outcomes.map((outcome) => outcome.kind)).toEqual(records.map(() => 'stored'));
    } finally {
      await producer.close();
    }
  }

  async putTexts(topic: string, values: readonly string[], partition = 0): Promise<void> {
    await this.put(values.map((value) => ({ topic, partition, value: bytes(value) })));
  }

  /** A reader that is closed when the test is over. */
  reader(topic: string, options: FetchOptions = {}, partition = 0) {
    const reader = this.port.reader({ topic, partition }, options);
    this.atEnd(() => reader.close());
    return reader;
  }

  /**
   * All that a reader from the earliest record on sees. Kafka answers a commit some ms before its markers are in the
   * partitions, so this waits for every transaction to have ended; `whileOpen`: one of them never will.
   */
  async readAll(
    topic: string,
    isolation: Isolation = 'read_committed',
    partition = 0,
    whileOpen = false,
  ): Promise<ReadRecord[]> {
    const end = await this.#latest(topic, partition, whileOpen ? isolation : 'read_uncommitted');
    const reader = this.port.reader({ topic, partition }, { isolation });
    try {
      await reader.seek('earliest');
      return await readUntil(reader, (position) => position >= end);
    } finally {
      await reader.close();
    }
  }

  async #latest(topic: string, partition: number, isolation: Isolation): Promise<bigint> {
    const reader = this.port.reader({ topic, partition }, { isolation });
    try {
      await reader.seek('latest');
      return reader.position;
    } finally {
      await reader.close();
    }
  }

  async readTexts(...args: Parameters<Scene['readAll']>): Promise<(string | null)[]> {
    return (await this.readAll(...args)).map((record) => record.value);
  }

  async committed(groupId: string, topic: string, partition = 0) {
    const offsets = await this.port.admin.committedOffsets(groupId, topic);
    return offsets.find((at) => at.partition === partition)!;
  }

  /** After a commit, for the same reason as `readAll` waits. What a sink that was opened since then finds needs no wait. */
  async untilCommitted(groupId: string, topic: string, offset: bigint, partition = 0) {
    return await eventually(async () => {
      const committed = await this.committed(groupId, topic, partition);
      expect(committed.offset).toBe(offset);
      return committed;
    });
  }

  async endTest(): Promise<void> {
    const cleanUps = this.#cleanUps.reverse();
    this.#cleanUps = [];
    for (const cleanUp of cleanUps) await cleanUp();
  }

  async clear(): Promise<void> {
    const existing = new Set(await this.port.admin.listTopics());
    await this.port.admin.deleteTopics(this.#topics.filter((topic) => existing.has(topic)));
    await this.port.close();
  }
}

type Reader = ReturnType<KafkaPort['reader']>;

/** Polls until the position is far enough; every poll is copied and released. */
export async function readUntil(
  reader: Pick<Reader, 'position' | 'poll'>,
  enough: (position: bigint, records: readonly ReadRecord[]) => boolean,
): Promise<ReadRecord[]> {
  const records: ReadRecord[] = [];
  const deadline = Date.now() + PATIENCE_MS;
  while (!enough(reader.position, records)) {
    if (Date.now() > deadline) throw new Error(`still at ${reader.position} with ${records.length} records read`);
    const outcome = await reader.poll(500);
    if (outcome.kind === 'idle') continue;
    if (outcome.kind !== 'poll') throw new Error(`unexpected outcome of a poll: ${outcome.kind}`);
    records.push(...recordsOf(outcome.poll));
    outcome.poll.release();
  }
  return records;
}

export function recordsOf(poll: Poll): ReadRecord[] {
  return Array.from({ length: poll.count }, (_, i) => ({
    offset: poll.offset(i),
    value: text(poll.value(i)),
    key: text(poll.key(i)),
    headers: poll.headers(i).map(([name, value]) => [name, Buffer.from(value).toString('utf8')] as const),
  }));
}

/** The next poll that has records; control and aborted records before it are passed over. */
export async function nextPoll(reader: Pick<Reader, 'poll' | 'position'>): Promise<Poll> {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const outcome = await reader.poll(500);
    if (outcome.kind === 'idle') continue;
    if (outcome.kind !== 'poll') throw new Error(`unexpected outcome of a poll: ${outcome.kind}`);
    if (outcome.poll.count > 0) return outcome.poll;
    outcome.poll.release();
  }
  throw new Error(`no record came after ${reader.position}`);
}
