/**
 * One partition being read: record after record by librdkafka, and by the kafkajs layer's reader where that is not all there is
 * to say.
 *
 * The binding leaves an error out that stands behind records of the same call, and librdkafka reads on behind it: a damaged
 * batch would be passed over without a word. It shows as a gap in the offsets, as do transaction markers, aborted and compacted
 * records. So only records that follow each other are taken from librdkafka. Whatever else it does, a gap, an error, an end
 * of the log that is elsewhere or silence before it, sends the partition to the plain reader, which tells these things apart.
 */
import { asError } from '../kafkajs/outcomes.ts';
import type { FetchReader } from '../kafkajs/reader.ts';
import type { FetchOptions, PartitionReader, PollOutcome, TopicPartition } from '../port.ts';
import { ask, type RdConsumer, type RdMessage } from './binding.ts';
import { RdPoll } from './poll.ts';

const DEFAULT_POLL_RECORDS = 512;
const DEFAULT_POLL_BYTES = 8_000_000;
/** Without a record, and without having come to the end of the log: longer than a fetch that waits at the broker. */
const SILENCE_MS = 2_000;

export interface RdReaderParts {
  /** For the same partition; this reader ends it. */
  readonly plain: FetchReader;
  /** A consumer of its own. `onRecords` is called when there is something to consume where nothing was. */
  open(onRecords: () => void): Promise<RdConsumer>;
  close(consumer: Promise<RdConsumer>): void;
  onTrouble(cause: Error): void;
  onEnd(): void;
}

export class RdReader implements PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly #maxRecords: number;
  readonly #maxBytes: number;
  readonly #poison: boolean;
  readonly #parts: RdReaderParts;
  readonly #plain: FetchReader;
  /**
   * Whose turn it is. The plain reader's until a seek where a gap was, since where one is there will be more, and after an
   * error; else until it has brought records.
   */
  #turn: 'librdkafka' | 'plain until records' | 'plain' = 'plain';
  /** Only while it is librdkafka's turn. */
  #consumer: Promise<RdConsumer> | undefined;
  /** Its last call. */
  #consuming: Promise<unknown> = Promise.resolve();
  #assigned = false;
  #position = 0;
  /** Counts seeks: what was asked for before one is dropped. */
  #seeks = 0;
  /** Taken from the consumer, from the position on without a gap. */
  #ready: readonly RdMessage[] = [];
  /** What follows them is for the plain reader. */
  #gapBehind = false;
  /** Where the log ends, as of the last call. */
  #end: number | undefined;
  /** When the consumer last gave a sign of life (`performance.now()`). */
  #heardAt = 0;
  #polling = false;
  #paused = false;
  #ended = false;
  #rung = false;
  #answerBell: () => void = () => {};

  constructor(at: TopicPartition, options: FetchOptions, parts: RdReaderParts) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.#maxRecords = options.maxPollRecords ?? DEFAULT_POLL_RECORDS;
    this.#maxBytes = options.maxPollBytes ?? DEFAULT_POLL_BYTES;
    this.#poison = options.poisonReleased ?? false;
    this.#parts = parts;
    this.#plain = parts.plain;
  }

  get position(): bigint {
    return this.#turn === 'librdkafka' ? BigInt(this.#position) : this.#plain.position;
  }

  async seek(to: bigint | 'earliest' | 'latest'): Promise<void> {
    const seek = ++this.#seeks;
    await this.#plain.seek(to);
    if (seek === this.#seeks && !this.#ended) this.#giveTurn();
  }

  async poll(maxWaitMs: number): Promise<PollOutcome> {
    if (this.#polling) throw new Error(`poll of ${this.topic}/${this.partition} overlaps another one`);
    this.#polling = true;
    try {
      return await this.#poll(performance.now() + maxWaitMs);
    } finally {
      this.#polling = false;
    }
  }

  pause(): void {
    this.#paused = true;
    this.#plain.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#heardAt = performance.now();
    this.#plain.resume();
    this.#ring();
  }

  /** No more polls; a waiting one is told so. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#seeks++;
    this.#closeConsumer();
    this.#plain.end();
    this.#parts.onEnd();
    this.#ring();
  }

  async #poll(until: number): Promise<PollOutcome> {
    while (!this.#ended) {
      if (this.#turn !== 'librdkafka') {
        const outcome = await this.#pollPlain(until - performance.now());
        if (outcome) return outcome;
        continue;
      }
      if (!this.#paused && this.#ready.length === 0) {
        if (this.#gapBehind) this.#takeTurn('plain');
        else await this.#consume();
      }
      // Much may have changed meanwhile.
      if (this.#ended || this.#turn !== 'librdkafka') continue;
      if (!this.#paused && this.#ready.length > 0) return { kind: 'poll', poll: this.#cut() };
      if (!this.#paused && this.#gapBehind) continue;
      const now = performance.now();
      if (now >= until) return { kind: 'idle' };
      const expectsMore = !this.#paused && this.#end !== this.#position;
      const silentAt = expectsMore ? this.#heardAt + SILENCE_MS : Number.POSITIVE_INFINITY;
      if (now >= silentAt) this.#takeTurn('plain until records');
      else await this.#untilRung(Math.min(until, silentAt) - now);
    }
    return { kind: 'ended' };
  }

  /** Null: someone sought meanwhile, and it is librdkafka's turn. */
  async #pollPlain(maxWaitMs: number): Promise<PollOutcome | null> {
    const outcome = await this.#plain.poll(maxWaitMs);
    if (this.#turn === 'librdkafka') {
      if (outcome.kind === 'poll') outcome.poll.release();
      return null;
    }
    const broughtRecords = outcome.kind === 'poll' && outcome.poll.count > 0;
    if (broughtRecords && this.#turn === 'plain until records' && !this.#ended) this.#giveTurn();
    return outcome;
  }

  /** What the consumer has at this moment, as far as it goes on from the position without a gap. */
  async #consume(): Promise<void> {
    const seek = this.#seeks;
    const isStale = () => seek !== this.#seeks || this.#turn !== 'librdkafka';
    try {
      this.#consumer ??= this.#open();
      const consumer = await this.#consumer;
      if (isStale()) return;
      if (!this.#assigned) {
        consumer.assign([{ topic: this.topic, partition: this.partition, offset: this.#position }]);
        this.#assigned = true;
        this.#heardAt = performance.now();
      }
      this.#rung = false;
      const consuming = ask<RdMessage[]>((done) => consumer.consume(this.#maxRecords, done));
      this.#consuming = consuming.catch(asError);
      const messages = await consuming;
      if (isStale()) return;
      const gapAt = messages.findIndex(({ offset }, i) => offset !== this.#position + i);
      this.#ready = gapAt < 0 ? messages : messages.slice(0, gapAt);
      this.#gapBehind = gapAt >= 0 || (this.#end ?? 0) > this.#position + messages.length;
      if (messages.length > 0) this.#heardAt = performance.now();
    } catch (error) {
      if (isStale()) return;
      this.#parts.onTrouble(asError(error));
      // Of an assigned partition librdkafka tells only what it will not mend by itself; before that the broker may be away.
      this.#takeTurn(this.#assigned ? 'plain' : 'plain until records');
    }
  }

  async #open(): Promise<RdConsumer> {
    const consumer = await this.#parts.open(() => this.#ring());
    consumer.on('partition.eof', ({ offset }) => {
      this.#end = offset;
      this.#heardAt = performance.now();
    });
    return consumer;
  }

  /** As many records as the limits allow, at least one. */
  #cut(): RdPoll {
    let count = 0;
    for (let bytes = 0; count < this.#ready.length; count++) {
      bytes += this.#ready[count]!.value?.length ?? 0;
      if (count > 0 && bytes > this.#maxBytes) break;
    }
    const poll = new RdPoll(this, this.#ready.slice(0, count), this.#poison);
    this.#ready = this.#ready.slice(count);
    this.#position = Number(poll.nextOffset);
    return poll;
  }

  /** To librdkafka, from where the plain reader is. */
  #giveTurn(): void {
    this.#position = Number(this.#plain.position);
    // What it has fetched ahead would lie there unread.
    void this.#plain.seek(this.#plain.position);
    this.#ready = [];
    this.#gapBehind = false;
    this.#end = undefined;
    this.#assigned = false;
    this.#turn = 'librdkafka';
    this.#ring();
  }

  /** From librdkafka. */
  #takeTurn(turn: 'plain' | 'plain until records'): void {
    void this.#plain.seek(BigInt(this.#position));
    this.#closeConsumer();
    this.#turn = turn;
  }

  #closeConsumer(): void {
    this.#ready = [];
    const consumer = this.#consumer;
    // Records that a call has taken are the client's until they are handed over: closed before, it would leave them pointing at
    // memory that is free.
    if (consumer) this.#parts.close(this.#consuming.then(() => consumer));
    this.#consumer = undefined;
  }

  #ring(): void {
    this.#rung = true;
    this.#answerBell();
  }

  /** Since the last call of the consumer, or now. */
  async #untilRung(maxWaitMs: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.ceil(maxWaitMs));
        this.#answerBell = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#answerBell = () => {};
    }
    this.#rung = false;
  }
}
