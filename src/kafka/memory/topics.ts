/** The topics of the in-process log, and what keeps its memory bounded: retention, compaction, a limit on it all. */
import { batchBytes } from './batch.ts';
import { BrokerError } from './broker-errors.ts';
import type { Clock } from './clock.ts';
import { type AppendRequest, PartitionLog } from './log.ts';
import { type TopicConfig, topicConfigOf } from './topic-config.ts';

export interface Topic {
  readonly name: string;
  readonly config: TopicConfig;
  readonly partitions: PartitionLog[];
}

/** A compacted partition is compacted again when it has grown to twice what was left the last time, and over this. */
const COMPACTION_FLOOR_BYTES = 1024 * 1024;

export class Topics {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #topics = new Map<string, Topic>();
  readonly #compactedBytes = new WeakMap<PartitionLog, number>();
  #bytes = 0;

  constructor(clock: Clock, maxBytes: number) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** Bytes of all logs together. */
  get bytes(): number {
    return this.#bytes;
  }

  names(): string[] {
    return [...this.#topics.keys()].sort();
  }

  find(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  findLog(topic: string, partition: number): PartitionLog | undefined {
    return this.#topics.get(topic)?.partitions[partition];
  }

  log(topic: string, partition: number): PartitionLog {
    const log = this.findLog(topic, partition);
    if (!log) throw new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `there is no partition ${topic}/${partition}`);
    return log;
  }

  /** False: it exists already, and stays as it is. */
  create(name: string, partitions: number, config: Readonly<Record<string, string>>): boolean {
    if (this.#topics.has(name)) return false;
    if (!/^[a-zA-Z0-9._-]{1,249}$/.test(name) || name === '.' || name === '..') {
      throw new BrokerError('INVALID_TOPIC_EXCEPTION', `"${name}" is no topic name`);
    }
    if (!Number.isSafeInteger(partitions) || partitions < 1) {
      throw new BrokerError('INVALID_PARTITIONS', `topic ${name} cannot have ${partitions} partitions`);
    }
    this.#topics.set(name, {
      name,
      config: topicConfigOf(config),
      partitions: Array.from({ length: partitions }, () => new PartitionLog()),
    });
    return true;
  }

  addPartitions(name: string, partitions: number): void {
    const topic = this.#topics.get(name);
    if (!topic) throw new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `there is no topic ${name}`);
    if (partitions < topic.partitions.length)
      throw new BrokerError('INVALID_PARTITIONS', `topic ${name} has ${topic.partitions.length} partitions already`);
    while (topic.partitions.length < partitions) topic.partitions.push(new PartitionLog());
  }

  delete(name: string): void {
    const topic = this.#topics.get(name);
    if (!topic) return;
    this.#topics.delete(name);
    for (const log of topic.partitions) {
      this.#bytes -= log.bytes;
      // Whoever waits on the log looks again, and finds it gone.
      log.truncate(log.end);
    }
  }

  /** Offset of the first record. All of the request are appended, or none. */
  append(name: string, partition: number, request: AppendRequest): number {
    const log = this.log(name, partition);
    const topic = this.#topics.get(name)!;
    const bytes = batchBytes(request.records);
    if (bytes > topic.config.maxMessageBytes) {
      throw new BrokerError(
        'MESSAGE_TOO_LARGE',
        `${bytes} bytes for ${name}/${partition}, max.message.bytes is ${topic.config.maxMessageBytes}`,
      );
    }
    if (topic.config.compacted && request.records.some((record) => (record.key ?? null) === null)) {
      throw new BrokerError('INVALID_RECORD', `a record for the compacted topic ${name} has no key`);
    }
    this.#makeRoom(bytes);
    return this.#accounted(log, () => {
      const offset = log.append(request);
      this.#retain(topic, log);
      return offset;
    });
  }

  endTransaction(
    topic: string,
    partition: number,
    producer: { id: number; epoch: number },
    outcome: 'committed' | 'aborted',
  ): void {
    // The topic may have been deleted under the transaction.
    const log = this.findLog(topic, partition);
    if (!log) return;
    this.#accounted(log, () => log.endTransaction(producer.id, producer.epoch, outcome, this.#clock.now()));
  }

  truncate(topic: string, partition: number, offset: number): void {
    const log = this.log(topic, partition);
    this.#accounted(log, () => log.truncate(offset));
  }

  #accounted<T>(log: PartitionLog, change: () => T): T {
    const before = log.bytes;
    try {
      return change();
    } finally {
      this.#bytes += log.bytes - before;
    }
  }

  #retain({ config }: Topic, log: PartitionLog): void {
    const oldestAllowedMs = this.#clock.now() - config.retentionMs;
    for (let oldest = log.oldest; oldest; oldest = log.oldest) {
      const tooOld = config.retentionMs >= 0 && oldest.timestampMs < oldestAllowedMs;
      const tooMuch = config.retentionBytes >= 0 && log.bytes - oldest.bytes >= config.retentionBytes;
      if (!(tooOld || tooMuch) || !log.dropOldest()) break;
    }
    const lastBytes = this.#compactedBytes.get(log) ?? 0;
    if (config.compacted && log.bytes > Math.max(COMPACTION_FLOOR_BYTES, 2 * lastBytes)) {
      log.compact();
      this.#compactedBytes.set(log, log.bytes);
    }
  }

  /**
   * Over the limit on it all the oldest records go first, whatever their topic, but never those of a topic that is kept for
   * ever. Where only such are left the write is refused.
   */
  #makeRoom(bytes: number): void {
    while (this.#bytes + bytes > this.#maxBytes) {
      const candidates = [...this.#topics.values()]
        .filter((topic) => topic.config.retentionMs >= 0)
        .flatMap((topic) => topic.partitions)
        .filter((log) => log.oldest)
        .sort((a, b) => a.oldest!.timestampMs - b.oldest!.timestampMs);
      const dropped = candidates.some((log) => this.#accounted(log, () => log.dropOldest()));
      if (!dropped) {
        throw new BrokerError(
          'KAFKA_STORAGE_ERROR',
          `the in-process log is full: ${this.#bytes} of ${this.#maxBytes} bytes, none of which may be dropped`,
        );
      }
    }
  }
}
