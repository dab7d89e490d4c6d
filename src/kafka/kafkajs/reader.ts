import type { CorruptBatch, FetchOptions, PartitionReader, PollOutcome, TopicPartition } from '../port.ts';
import type { FetchedBatches } from './fetched-batches.ts';
import type { FetchedRecords } from './fetched-records.ts';
import type { Fetcher } from './fetcher.ts';
import { LeasedPoll } from './poll.ts';

const DEFAULT_POLL_RECORDS = 512;
const DEFAULT_POLL_BYTES = 8_000_000;
/** However far records are compressed. */
const LEAST_ANSWER_BYTES = 500_000;

interface Waiting {
  resolve(outcome: PollOutcome): void;
  reject(error: Error): void;
  readonly until: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * One partition being read. Holds at most one fetch answer beside the polls in hand: while they are worked on, the next
 * is asked for once, ahead of the next poll.
 */
export class FetchReader implements PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly maxBytes: number;
  readonly #limits: { maxRecords: number; maxBytes: number; poison: boolean };
  readonly #fetcher: Fetcher;
  #position: number | undefined;
  /** Counts seeks: an answer to a question from before a seek is dropped. */
  #seeks = 0;
  /** `records` are undefined until there is a poll to be made of what follows. */
  #buffered: { batches: FetchedBatches; records: FetchedRecords | undefined; from: number } | undefined;
  /** Of the last answer, see FetchedBatches. */
  #packing = 1;
  #waiting: Waiting | undefined;
  /** Whoever took the last poll will ask for the next one. */
  #ahead = false;
  #paused = false;
  #ended = false;
  #failure: Error | undefined;
  /** The position was found to be outside the log: until a seek this stands, also should the log come to hold it. */
  #lost = false;
  /** Lies at the position, and stands until a seek as well. */
  #corrupt: CorruptBatch | undefined;

  /** A question about this partition is on its way: a fetch or the look-up of its leader. */
  asking = false;
  askingBounds = false;
  /** Not before this time (`performance.now()`), after trouble. */
  retryAt = 0;
  backoffMs = 0;
  /** How often what lies at the position could not be read. */
  unreadable = 0;

  constructor(at: TopicPartition, options: FetchOptions, fetcher: Fetcher) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.maxBytes = options.maxPollBytes ?? DEFAULT_POLL_BYTES;
    this.#limits = {
      maxRecords: options.maxPollRecords ?? DEFAULT_POLL_RECORDS,
      maxBytes: this.maxBytes,
      poison: options.poisonReleased ?? false,
    };
    this.#fetcher = fetcher;
  }

  get position(): bigint {
    return BigInt(this.#at());
  }

  /** What so many bytes are when they are compressed as the last records were. */
  packed(bytes: number): number {
    return Math.min(bytes, Math.max(LEAST_ANSWER_BYTES, Math.ceil(bytes * this.#packing)));
  }

  get ended(): boolean {
    return this.#ended;
  }

  async seek(to: bigint | 'earliest' | 'latest'): Promise<void> {
    const seek = ++this.#seeks;
    this.#ahead = false;
    this.#drop();
    const offset = typeof to === 'bigint' ? to : await this.#fetcher.lookUp(this, to);
    if (offset === null || seek !== this.#seeks || this.#ended) return;
    this.#position = Number(offset);
    this.#drop();
    this.#lost = false;
    this.#corrupt = undefined;
    this.unreadable = 0;
    this.#failure = undefined;
    this.#fetcher.wake();
  }

  async poll(maxWaitMs: number): Promise<PollOutcome> {
    if (this.#ended) return { kind: 'ended' };
    if (this.#failure) throw this.#failure;
    if (this.#waiting) throw new Error(`poll of ${this.topic}/${this.partition} overlaps another one`);
    this.#at();
    const ready = this.#take();
    if (ready) return ready;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#answer({ kind: 'idle' }), Math.max(0, maxWaitMs));
      this.#waiting = { resolve, reject, until: performance.now() + maxWaitMs, timer };
      if (this.#lost && !this.#paused) this.#fetcher.tellBounds(this);
      else this.#fetcher.wake();
    });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    const ready = this.#waiting && this.#take();
    if (ready) this.#answer(ready);
    else if (this.#lost && this.#waiting) this.#fetcher.tellBounds(this);
    else this.#fetcher.wake();
  }

  /** No more polls; a waiting one is told so. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#seeks++;
    this.#drop();
    this.#fetcher.remove(this);
    this.#answer({ kind: 'ended' });
  }

  // What the fetcher asks and tells.

  /** 'ahead': nobody waits for it yet. */
  get wants(): 'now' | 'ahead' | null {
    if (this.#paused || this.#lost || this.#corrupt || this.#position === undefined || this.#failure) return null;
    if (this.asking || this.askingBounds || this.#buffered) return null;
    if (this.#waiting) return 'now';
    return this.#ahead ? 'ahead' : null;
  }

  /** What it wants is being asked for. */
  asked(): void {
    this.asking = true;
    this.#ahead = false;
  }

  /** 0: nobody waits. */
  get waitUntil(): number {
    return this.#waiting?.until ?? 0;
  }

  get question(): { offset: number; seeks: number } {
    return { offset: this.#at(), seeks: this.#seeks };
  }

  stillAsks(question: { seeks: number }): boolean {
    return !this.#ended && question.seeks === this.#seeks;
  }

  /** `records` are the first of them. */
  deliver(batches: FetchedBatches, records: FetchedRecords): void {
    this.#packing = batches.packing;
    if (records.nextOffset <= this.#at()) {
      records.release();
      batches.release();
      return;
    }
    this.#buffered = { batches, records, from: 0 };
    this.unreadable = 0;
    if (!this.#waiting) return;
    const ready = this.#take();
    if (ready) this.#answer(ready);
  }

  outOfRange(earliest: bigint, latest: bigint): void {
    this.#lost = true;
    if (this.#paused) return;
    this.#answer({ kind: 'out-of-range', position: this.position, earliest, latest });
  }

  /** What lies at the position will not be readable. */
  corrupt(batch: CorruptBatch): void {
    this.#corrupt = batch;
    if (!this.#paused) this.#answer({ kind: 'corrupt', batch });
  }

  /** Trying again cannot mend it: this and every further poll rejects, until a seek. */
  fail(error: Error): void {
    this.#failure = error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!waiting) return;
    clearTimeout(waiting.timer);
    waiting.reject(error);
  }

  #take(): PollOutcome | null {
    if (this.#paused) return null;
    if (this.#corrupt) return { kind: 'corrupt', batch: this.#corrupt };
    const buffered = this.#readOn();
    if (!buffered) return null;
    const { batches, records, from } = buffered;
    const poll = LeasedPoll.cut(this, records, from, this.#limits);
    const end = from + poll.count;
    if (end < records.count) this.#buffered = { batches, records, from: end };
    else if (batches.hasAnother(this.#fetcher.roomFor(this))) {
      records.release();
      this.#buffered = { batches, records: undefined, from: 0 };
    } else this.#drop();
    this.#position = Number(poll.nextOffset);
    this.#ahead = true;
    this.#fetcher.wake();
    return { kind: 'poll', poll };
  }

  /** What the next poll is cut from. What turns out not to be readable is asked for again. */
  #readOn(): { batches: FetchedBatches; records: FetchedRecords; from: number } | undefined {
    if (!this.#buffered) return undefined;
    const { batches, from } = this.#buffered;
    const records = this.#buffered.records ?? batches.next(this.#fetcher.roomFor(this));
    if (records.nextOffset > this.#at()) return { batches, records, from };
    records.release();
    this.#drop();
    return undefined;
  }

  #drop(): void {
    this.#buffered?.records?.release();
    this.#buffered?.batches.release();
    this.#buffered = undefined;
  }

  #answer(outcome: PollOutcome): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    this.#waiting = undefined;
    clearTimeout(waiting.timer);
    waiting.resolve(outcome);
  }

  #at(): number {
    if (this.#position === undefined) throw new Error(`${this.topic}/${this.partition} has no position: seek first`);
    return this.#position;
  }
}
