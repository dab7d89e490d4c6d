/**
 * Decides what is fetched when, for a set of readers: only partitions whose records someone waits for or will soon ask for,
 * all of one leader in one request. Delivers the answers, and retries what failed.
 */
import { pause } from '../../abortable.ts';
import type { CorruptBatch, FetchOptions, TopicPartition } from '../port.ts';
import type { ClusterView } from './cluster.ts';
import { corruptBatch, UnreadableBatch } from './corrupt-batch.ts';
import { FetchLanes, type LaneClaim } from './fetch-lanes.ts';
import type { FetchAnswer, FetchedPartition, FetchRequest } from './fetch-request.ts';
import { FetchedBatches } from './fetched-batches.ts';
import type { FetchedRecords } from './fetched-records.ts';
import type { Frame } from './frame-pool.ts';
import type { BrokerAddress } from './link.ts';
import type { Links } from './links.ts';
import { type LogEnd, listOffsets } from './offsets.ts';
import { asError, BrokerError, denied, ErrorCode, faultOf, missingTopic } from './outcomes.ts';
import { FetchReader } from './reader.ts';

/** Limit for one answer, however large its readers' polls: an answer is held until the last poll cut from it is released. */
const MOST_ANSWER_BYTES = 8_000_000;
const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 2_000;
/** A topic that was just created takes a moment to be known to every broker. */
const CREATED_WITHIN_MS = 3_000;
/** A batch may have been damaged on its way here: it counts as corrupt only once it has come so this often. */
const UNREADABLE_TIMES = 3;

type Isolation = NonNullable<FetchOptions['isolation']>;
type Asked = ReadonlyArray<{ reader: FetchReader; question: { offset: number; seeks: number } }>;

export class Fetcher {
  readonly #cluster: ClusterView;
  /** For look-ups: not blocked by a waiting fetch. */
  readonly #links: Links;
  readonly #lanes: FetchLanes;
  readonly isolation: Isolation;
  readonly #onTrouble: (cause: Error) => void;
  readonly #onDenied: (cause: Error) => void;
  /** In the order in which they are served: whoever got records goes to the end. */
  readonly #readers = new Set<FetchReader>();
  readonly #closing = new AbortController();
  #awake = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    cluster: ClusterView;
    links: Links;
    openLinks: () => Links;
    isolation: Isolation;
    onTrouble: (cause: Error) => void;
    /** Called when a topic may not be read; the partition's poll rejects as well. */
    onDenied?: (cause: Error) => void;
  }) {
    this.#cluster = options.cluster;
    this.#links = options.links;
    this.#lanes = new FetchLanes(options.openLinks);
    this.isolation = options.isolation;
    this.#onTrouble = options.onTrouble;
    this.#onDenied = options.onDenied ?? (() => {});
  }

  reader(at: TopicPartition, options: FetchOptions): FetchReader {
    const reader = new FetchReader(at, options, this);
    this.#readers.add(reader);
    return reader;
  }

  remove(reader: FetchReader): void {
    this.#readers.delete(reader);
  }

  /** To be called when a reader may have begun to want records. */
  wake(): void {
    if (this.#awake || this.#closing.signal.aborted) return;
    this.#awake = true;
    queueMicrotask(() => {
      this.#awake = false;
      this.#dispatch();
    });
  }

  /** An end of the reader's partition. Retries until the reader has ended, then null. Throws WeirError KAFKA_DENIED, TOPIC_MISSING. */
  async lookUp(reader: FetchReader, end: LogEnd): Promise<bigint | null> {
    const { topic, partition } = reader;
    const missingFrom = performance.now() + CREATED_WITHIN_MS;
    for (let backoffMs = FIRST_BACKOFF_MS; !reader.ended; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      try {
        const found = await listOffsets(this.#cluster, this.#links, topic, [partition], end, this.isolation);
        return found.get(partition) ?? null;
      } catch (error) {
        if (faultOf(error) === 'denied') throw denied(`to read topic ${topic}`, error);
        const missing = error instanceof BrokerError && error.code === ErrorCode.unknownTopicOrPartition;
        if (missing && performance.now() > missingFrom) throw missingTopic(topic, error);
        this.#onTrouble(asError(error));
      }
      await pause(backoffMs, this.#closing.signal);
    }
    return null;
  }

  /** Answers the waiting poll of a reader whose position is not in the log. */
  tellBounds(reader: FetchReader): void {
    if (reader.askingBounds) return;
    reader.askingBounds = true;
    const { question } = reader;
    Promise.all([this.lookUp(reader, 'earliest'), this.lookUp(reader, 'latest')])
      .then(([earliest, latest]) => {
        // Before the answer is given: whoever gets it may poll again at once.
        reader.askingBounds = false;
        if (earliest !== null && latest !== null && reader.stillAsks(question)) reader.outOfRange(earliest, latest);
        this.wake();
      })
      .catch((error) => {
        reader.askingBounds = false;
        reader.fail(asError(error));
      });
  }

  /** What a poll of the reader may decompress to now. */
  roomFor({ maxBytes }: FetchReader): number {
    return this.#lanes.roomFor(maxBytes);
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#timer);
    for (const reader of [...this.#readers]) reader.end();
    this.#lanes.destroy();
  }

  #dispatch(): void {
    if (this.#closing.signal.aborted) return;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    const byLeader = new Map<string, { leader: BrokerAddress; readers: FetchReader[] }>();
    for (const reader of this.#readers) {
      const { wants } = reader;
      if (wants === null || (wants === 'ahead' && this.#lanes.freeBytes < pollBytes([reader]))) continue;
      if (reader.retryAt > now) {
        next = Math.min(next, reader.retryAt);
        continue;
      }
      const leader = this.#cluster.knownLeader(reader.topic, reader.partition);
      if (!leader) {
        this.#findLeader(reader);
        continue;
      }
      const at = `${leader.host}:${leader.port}`;
      const group = byLeader.get(at) ?? { leader, readers: [] };
      byLeader.set(at, group);
      group.readers.push(reader);
    }
    for (const { leader, readers } of byLeader.values()) {
      const furthestBehind = onePositionEach(readers);
      const claim = this.#lanes.claim(leader, pollBytes(furthestBehind));
      if (claim) void this.#fetch(claim, furthestBehind);
    }
    clearTimeout(this.#timer);
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.wake(), next - now);
  }

  #findLeader(reader: FetchReader): void {
    reader.asking = true;
    this.#cluster
      .requireLeader(reader.topic, reader.partition)
      .catch((error) => this.#trouble(reader, asError(error)))
      .finally(() => {
        reader.asking = false;
        this.wake();
      });
  }

  async #fetch(claim: LaneClaim, readers: readonly FetchReader[]): Promise<void> {
    const asked = readers.map((reader) => {
      reader.asked();
      return { reader, question: reader.question };
    });
    const waitUntil = Math.max(...readers.map((reader) => reader.waitUntil));
    try {
      const request = {
        isolation: this.isolation,
        maxBytes: Math.max(...readers.map((reader) => reader.packed(claim.maxBytes))),
        partitions: partitionsOf(asked),
      };
      const { answer, frame } = await this.#lanes.fetch(claim, request, waitUntil);
      try {
        this.#deliverAll(asked, answer, frame);
      } finally {
        frame.release();
      }
    } catch (error) {
      this.#cluster.forgetLeaderships(claim.leader);
      for (const reader of readers) this.#trouble(reader, asError(error));
    } finally {
      this.#lanes.end(claim);
      for (const reader of readers) reader.asking = false;
      this.wake();
    }
  }

  #deliverAll(asked: Asked, answer: FetchAnswer, frame: Frame): void {
    const answers = new Map(answer.partitions.map((fetched) => [partitionOf(fetched), fetched]));
    const given = new Set<FetchedPartition>();
    const first = answer.partitions.find(({ records }) => records.length > 0);
    for (const { reader, question } of asked) {
      const fetched = answers.get(partitionOf(reader));
      if (!fetched || !reader.stillAsks(question)) continue;
      // A second reader of the partition gets a copy: what one releases the other may still read.
      const own = given.has(fetched) ? { ...fetched, records: Buffer.from(fetched.records) } : fetched;
      this.#deliver(reader, question.offset, own, {
        frame: own === fetched ? frame : undefined,
        first: fetched === first,
      });
      given.add(fetched);
    }
  }

  /** `first`: this is the answer's first partition with records; of that one the broker sends a whole batch, however large. */
  #deliver(
    reader: FetchReader,
    offset: number,
    fetched: FetchedPartition,
    { frame, first }: { frame: Frame | undefined; first: boolean },
  ): void {
    const { topic, partition } = reader;
    if (fetched.errorCode !== 0) {
      const error = new BrokerError('Fetch', fetched.errorCode, `${topic}/${partition}`);
      if (error.fault === 'out-of-range') this.tellBounds(reader);
      else this.#trouble(reader, error);
      return;
    }
    reader.backoffMs = 0;
    if (fetched.records.length === 0) return;
    const aborted = this.isolation === 'read_committed' ? fetched.aborted : [];
    const batches = new FetchedBatches(fetched.records, offset, aborted, { frame, pool: this.#lanes.frames });
    let records: FetchedRecords;
    try {
      records = batches.next(this.roomFor(reader));
    } catch (error) {
      batches.release();
      reader.fail(
        new Error(`${topic}/${partition} from offset ${offset}: ${asError(error).message}`, { cause: error }),
      );
      return;
    }
    if (records.nextOffset <= offset) {
      // A batch that did not fit was cut off. Its partition stays in its place, and fits once it is the first one asked for.
      const beyond = new UnreadableBatch('damaged', 'its length reaches beyond what the broker sent');
      const corrupt = records.corrupt ?? (first ? corruptBatch(beyond, fetched.records, 0, offset) : null);
      records.release();
      batches.release();
      if (corrupt) this.#unreadable(reader, corrupt);
      return;
    }
    this.#readers.delete(reader);
    this.#readers.add(reader);
    reader.deliver(batches, records);
  }

  #unreadable(reader: FetchReader, batch: CorruptBatch): void {
    if (++reader.unreadable >= UNREADABLE_TIMES) reader.corrupt(batch);
    else
      this.#trouble(
        reader,
        new Error(`${reader.topic}/${reader.partition} at offset ${batch.offset}: ${batch.reason}`),
      );
  }

  #trouble(reader: FetchReader, error: Error): void {
    if (reader.ended || this.#closing.signal.aborted) return;
    const fault = faultOf(error);
    if (fault === 'denied') {
      const refusal = denied(`to read topic ${reader.topic}`, error);
      reader.fail(refusal);
      this.#onDenied(refusal);
      return;
    }
    this.#cluster.forgetLeader(reader.topic);
    reader.backoffMs = Math.min(Math.max(FIRST_BACKOFF_MS, reader.backoffMs * 2), MAX_BACKOFF_MS);
    reader.retryAt = performance.now() + reader.backoffMs;
    this.#onTrouble(error);
  }
}

const partitionOf = ({ topic, partition }: TopicPartition) => `${partition} ${topic}`;

function partitionsOf(asked: Asked): FetchRequest['partitions'] {
  return [...Map.groupBy(asked, ({ reader }) => partitionOf(reader)).values()].map((same) => ({
    topic: same[0]!.reader.topic,
    partition: same[0]!.reader.partition,
    offset: same[0]!.question.offset,
    maxBytes: Math.max(...same.map(({ reader }) => reader.packed(reader.maxBytes))),
  }));
}

/**
 * Enough for one poll, which a partition that is behind fills by itself. A larger answer would mostly leave a remainder
 * that is not worth a transaction of its own.
 */
function pollBytes(readers: readonly FetchReader[]): number {
  return Math.min(MOST_ANSWER_BYTES, Math.max(...readers.map(({ maxBytes }) => maxBytes)));
}

/**
 * A fetch names one offset for a partition; of two the broker would take the last. So where several readers share a
 * partition, only those furthest behind are served; the others ask once these have caught up.
 */
function onePositionEach(readers: readonly FetchReader[]): FetchReader[] {
  const lowest = new Map<string, number>();
  for (const reader of readers) {
    const { offset } = reader.question;
    lowest.set(partitionOf(reader), Math.min(offset, lowest.get(partitionOf(reader)) ?? offset));
  }
  return readers.filter((reader) => reader.question.offset === lowest.get(partitionOf(reader)));
}
