/**
 * Fetches for a set of partitions, per leader, and only for those that someone is waiting on. Each leader has two lanes,
 * each a connection of its own: the first may wait at the broker for records (up to LONG_WAIT_MS), the second serves, with a
 * short wait, partitions that come back meanwhile, so that busy ones are not held up by idle ones.
 */

import { pause } from '../../abortable.ts';
import type { CorruptBatch, FetchOptions, TopicPartition } from '../port.ts';
import type { ClusterView } from './cluster.ts';
import { corruptBatch, UnreadableBatch } from './corrupt-batch.ts';
import { fetchInto } from './fetch.ts';
import type { FetchAnswer, FetchedPartition, FetchRequest } from './fetch-request.ts';
import { FetchedRecords } from './fetched-records.ts';
import { type Frame, FramePool } from './frame-pool.ts';
import type { BrokerAddress } from './link.ts';
import type { Links } from './links.ts';
import { type LogEnd, listOffsets } from './offsets.ts';
import { asError, BrokerError, ConnectionFault, denied, ErrorCode, faultOf, missingTopic } from './outcomes.ts';
import { FetchReader } from './reader.ts';

const LONG_WAIT_MS = 500;
const SHORT_WAIT_MS = 20;
const MiB = 1024 * 1024;
/** Of one answer, whatever poll its readers ask for: an answer of several polls is held until the last one is released. */
const MOST_ANSWER_BYTES = 8_000_000;
/**
 * Of all answers, asked for or in hand. Where polls in hand fill it nothing is asked for ahead, and whoever waits gets little at
 * a time, but does get it: one partition whose polls take long does not stop another.
 */
const HELD_BYTES = 24 * MiB;
const LEAST_BYTES = 1_000_000;
const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 2_000;
/** A topic that was just created is not known to every broker at once. */
const CREATED_WITHIN_MS = 3_000;
/** A batch may have been damaged on its way: only one that comes so this often is taken to be so. */
const UNREADABLE_TIMES = 3;

type Isolation = NonNullable<FetchOptions['isolation']>;
type Asked = ReadonlyArray<{ reader: FetchReader; question: { offset: number; seeks: number } }>;

export class Fetcher {
  readonly #cluster: ClusterView;
  /** For look-ups: not blocked by a waiting fetch. */
  readonly #links: Links;
  readonly #lanes: readonly [Links, Links];
  readonly isolation: Isolation;
  readonly #onTrouble: (cause: Error) => void;
  readonly #onDenied: (cause: Error) => void;
  /** In the order of service: whoever got records goes to the end. */
  readonly #readers = new Set<FetchReader>();
  /** Lane and leader of each fetch on its way, and the bytes that it may bring. */
  readonly #busy = new Map<string, number>();
  /** By lane and leader: until when the broker does not look at requests, as a quota is used up (KIP-219). */
  readonly #mutedUntil = new Map<string, number>();
  readonly #frames = new FramePool(HELD_BYTES);
  readonly #closing = new AbortController();
  #awake = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    cluster: ClusterView;
    links: Links;
    openLinks: () => Links;
    isolation: Isolation;
    onTrouble: (cause: Error) => void;
    /** Beside the poll of the partition, which rejects. */
    onDenied?: (cause: Error) => void;
  }) {
    this.#cluster = options.cluster;
    this.#links = options.links;
    this.#lanes = [options.openLinks(), options.openLinks()];
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

  /** Something changed: look who wants records. */
  wake(): void {
    if (this.#awake || this.#closing.signal.aborted) return;
    this.#awake = true;
    queueMicrotask(() => {
      this.#awake = false;
      this.#dispatch();
    });
  }

  /** Tries for as long as the reader lives; null when it has ended. Throws WeirError KAFKA_DENIED, TOPIC_MISSING. */
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
        // First of all: whoever gets the answer may poll again at once.
        reader.askingBounds = false;
        if (earliest !== null && latest !== null && reader.stillAsks(question)) reader.outOfRange(earliest, latest);
        this.wake();
      })
      .catch((error) => {
        reader.askingBounds = false;
        reader.fail(asError(error));
      });
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#timer);
    for (const reader of [...this.#readers]) reader.end();
    for (const lane of this.#lanes) lane.destroy();
  }

  #dispatch(): void {
    if (this.#closing.signal.aborted) return;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    const byLeader = new Map<string, { leader: BrokerAddress; readers: FetchReader[] }>();
    for (const reader of this.#readers) {
      const { wants } = reader;
      if (wants === null || (wants === 'ahead' && this.#freeBytes < answerBytes([reader]))) continue;
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
    for (const [at, { leader, readers }] of byLeader) {
      const longBusy = this.#busy.has(`0 ${at}`);
      const shortBusy = this.#busy.has(`1 ${at}`);
      // The long lane waits for the short one, so that a partition gone idle moves over to it.
      if (!longBusy && !shortBusy) this.#fetch(0, leader, oneQuestionEach(readers));
      else if (longBusy && !shortBusy) this.#fetch(1, leader, oneQuestionEach(readers));
    }
    clearTimeout(this.#timer);
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.wake(), next - now);
  }

  #findLeader(reader: FetchReader): void {
    reader.asking = true;
    this.#cluster
      .leaderOf(reader.topic, reader.partition)
      .then((leader) => {
        if (leader) return;
        const { topic, partition } = reader;
        throw new ConnectionFault(`${topic}/${partition} does not exist or has no leader`, { sent: false });
      })
      .catch((error) => this.#trouble(reader, asError(error)))
      .finally(() => {
        reader.asking = false;
        this.wake();
      });
  }

  get #freeBytes(): number {
    let free = HELD_BYTES - this.#frames.heldBytes;
    for (const coming of this.#busy.values()) free -= coming;
    return free;
  }

  #fetch(lane: 0 | 1, leader: BrokerAddress, readers: readonly FetchReader[]): void {
    const slot = slotOf(lane, leader);
    const maxBytes = Math.min(answerBytes(readers), Math.max(LEAST_BYTES, this.#freeBytes));
    this.#busy.set(slot, maxBytes);
    const asked = readers.map((reader) => {
      reader.asked();
      return { reader, question: reader.question };
    });
    this.#request(lane, leader, asked, maxBytes)
      .catch((error) => {
        this.#cluster.forgetLeaderships(leader);
        for (const { reader } of asked) this.#trouble(reader, asError(error));
      })
      .finally(() => {
        this.#busy.delete(slot);
        for (const reader of readers) reader.asking = false;
        this.wake();
      });
  }

  async #request(lane: 0 | 1, leader: BrokerAddress, asked: Asked, maxBytes: number): Promise<void> {
    const link = await this.#lanes[lane].to(leader);
    const longestMs = Math.max(...asked.map(({ reader }) => reader.waitUntil)) - performance.now();
    const maxWaitMs =
      lane === 0 ? Math.ceil(Math.min(LONG_WAIT_MS, Math.max(SHORT_WAIT_MS, longestMs))) : SHORT_WAIT_MS;
    const request: FetchRequest = {
      isolation: this.isolation,
      maxWaitMs,
      maxBytes,
      partitions: [...Map.groupBy(asked, ({ reader }) => `${reader.partition} ${reader.topic}`).values()].map(
        (same) => ({
          topic: same[0]!.reader.topic,
          partition: same[0]!.reader.partition,
          offset: same[0]!.question.offset,
          maxBytes: Math.max(...same.map(({ reader }) => reader.maxBytes)),
        }),
      ),
    };
    const slot = slotOf(lane, leader);
    const mutedMs = Math.max(0, (this.#mutedUntil.get(slot) ?? 0) - performance.now());
    const { answer, frame } = await fetchInto(this.#frames, link, request, mutedMs);
    try {
      this.#mutedUntil.set(slot, performance.now() + answer.throttleMs);
      if (answer.errorCode !== 0) throw new BrokerError('Fetch', answer.errorCode);
      this.#deliverAll(asked, answer, frame);
    } finally {
      frame.release();
    }
  }

  #deliverAll(asked: Asked, answer: FetchAnswer, frame: Frame): void {
    const answers = new Map(answer.partitions.map((fetched) => [`${fetched.partition} ${fetched.topic}`, fetched]));
    const given = new Set<FetchedPartition>();
    const first = answer.partitions.find(({ records }) => records.length > 0);
    for (const { reader, question } of asked) {
      const fetched = answers.get(`${reader.partition} ${reader.topic}`);
      if (!fetched || !reader.stillAsks(question)) continue;
      // Each reader's views are its own: what one releases another may still read.
      const own = given.has(fetched) ? { ...fetched, records: Buffer.from(fetched.records) } : fetched;
      this.#deliver(reader, question.offset, own, {
        frame: own === fetched ? frame : undefined,
        first: fetched === first,
      });
      given.add(fetched);
    }
  }

  /** `first`: of the answer's partitions with records, whose first batch the broker sends whole, whatever its size. */
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
    const records = new FetchedRecords(offset, frame);
    try {
      records.read(fetched.records, offset, this.isolation === 'read_committed' ? fetched.aborted : []);
    } catch (error) {
      records.release();
      reader.fail(
        new Error(`${topic}/${partition} from offset ${offset}: ${asError(error).message}`, { cause: error }),
      );
      return;
    }
    if (records.nextOffset <= offset) {
      // A batch that did not fit is cut off; its partition keeps its place, since the first one asked for always fits.
      const beyond = new UnreadableBatch('damaged', 'its length reaches beyond what the broker sent');
      const corrupt = records.corrupt ?? (first ? corruptBatch(beyond, fetched.records, 0, offset) : null);
      records.release();
      if (corrupt) this.#unreadable(reader, corrupt);
      return;
    }
    this.#readers.delete(reader);
    this.#readers.add(reader);
    reader.deliver(records);
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

const slotOf = (lane: 0 | 1, { host, port }: BrokerAddress) => `${lane} ${host}:${port}`;

/** One poll: a partition that is behind fills it. Of what little went beyond, the next would make a poll that is not worth its transaction. */
function answerBytes(readers: readonly FetchReader[]): number {
  return Math.min(MOST_ANSWER_BYTES, Math.max(...readers.map(({ maxBytes }) => maxBytes)));
}

/**
 * A fetch has one offset for a partition, and of two the broker takes the last. So of several readers of one partition those
 * go first that are furthest behind, those at one offset together; the others ask when these have come up.
 */
function oneQuestionEach(readers: readonly FetchReader[]): FetchReader[] {
  const lowest = new Map<string, number>();
  const key = ({ topic, partition }: FetchReader) => `${partition} ${topic}`;
  for (const reader of readers) {
    const { offset } = reader.question;
    lowest.set(key(reader), Math.min(offset, lowest.get(key(reader)) ?? offset));
  }
  return readers.filter((reader) => reader.question.offset === lowest.get(key(reader)));
}
