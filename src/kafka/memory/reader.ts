/** Reads one partition forward, waiting on the log itself instead of asking again and again. */
import { WeirError } from '../../errors.ts';
import type { FetchOptions, PartitionReader, PollOutcome, TopicPartition } from '../port.ts';
import { BrokerError, hasCode } from './broker-errors.ts';
import { type Client, RETRY_DELAY_MS } from './client.ts';
import { delay } from './clock.ts';
import type { Isolation, PartitionLog } from './log.ts';
import { pollOf } from './poll.ts';

const DEFAULT_POLL_RECORDS = 512;
const DEFAULT_POLL_BYTES = 8_000_000;
/** How often a partition that is not there is looked for. */
const MISSING_LOG_DELAY_MS = 100;

export class MemoryReader implements PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly #client: Client;
  readonly #ended: AbortSignal;
  readonly #isolation: Isolation;
  readonly #maxRecords: number;
  readonly #maxBytes: number;
  readonly #poisonReleased: boolean;
  /** -1 before the first seek. */
  #position = -1;
  #paused = false;
  #polling = false;
  /** The position was outside the log; stands until someone seeks. */
  #outOfRange: PollOutcome | null = null;
  /** Counts seeks, so that what was fetched for an older position is dropped. */
  #seeks = 0;
  #wake: () => void = () => {};

  /** Ends when the client is closed or `ended` is aborted. */
  constructor(client: Client, at: TopicPartition, options: FetchOptions = {}, ended?: AbortSignal) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.#client = client;
    this.#ended = ended ? AbortSignal.any([client.wire.closed, ended]) : client.wire.closed;
    this.#isolation = options.isolation ?? 'read_committed';
    this.#maxRecords = options.maxPollRecords ?? DEFAULT_POLL_RECORDS;
    this.#maxBytes = options.maxPollBytes ?? DEFAULT_POLL_BYTES;
    this.#poisonReleased = options.poisonReleased ?? false;
  }

  get position(): bigint {
    return BigInt(this.#position);
  }

  async seek(to: bigint | 'earliest' | 'latest'): Promise<void> {
    const position = typeof to === 'bigint' ? Number(to) : await this.#lookUp(to);
    if (position === null) return;
    this.#position = position;
    this.#outOfRange = null;
    this.#seeks++;
    this.#wake();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  async poll(maxWaitMs: number): Promise<PollOutcome> {
    if (this.#polling) throw new Error(`polls of ${this.topic}/${this.partition} overlap`);
    this.#polling = true;
    try {
      return await this.#poll(this.#client.broker.clock.now() + maxWaitMs);
    } finally {
      this.#polling = false;
    }
  }

  async #poll(deadlineMs: number): Promise<PollOutcome> {
    const { clock, topics } = this.#client.broker;
    for (;;) {
      if (this.#ended.aborted) return { kind: 'ended' };
      if (this.#position < 0) throw new Error(`${this.topic}/${this.partition} has no position: seek first`);
      if (this.#outOfRange) return this.#outOfRange;

      const log = topics.findLog(this.topic, this.partition);
      const change = this.#nextChange(log);
      try {
        const outcome = this.#paused || !log ? null : await this.#fetch();
        if (this.#ended.aborted) return { kind: 'ended' };
        if (outcome === 'again') continue;
        if (outcome) return outcome;
        const leftMs = deadlineMs - clock.now();
        if (leftMs <= 0) return { kind: 'idle' };
        await change.wait(log ? leftMs : Math.min(leftMs, MISSING_LOG_DELAY_MS));
      } finally {
        change.stop();
      }
    }
  }

  /** null: nothing there yet. */
  async #fetch(): Promise<PollOutcome | 'again' | null> {
    const { broker, wire } = this.#client;
    const seeks = this.#seeks;
    const position = this.#position;
    try {
      const fetch = () => {
        const log = broker.topics.log(this.topic, this.partition);
        return { log, read: log.read(position, this.#isolation, this.#maxRecords, this.#maxBytes) };
      };
      const { log, read } = await wire.request('Fetch', fetch, { at: this });
      if (seeks !== this.#seeks) return 'again';
      if (!read) {
        const latest = BigInt(this.#isolation === 'read_committed' ? log.lastStable : log.end);
        this.#outOfRange = { kind: 'out-of-range', position: BigInt(position), earliest: BigInt(log.earliest), latest };
        return this.#outOfRange;
      }
      // A pause that came while the request was on its way holds for its answer, too.
      if (this.#paused || read.nextOffset === position) return null;
      this.#position = read.nextOffset;
      return { kind: 'poll', poll: pollOf(this, read, this.#poisonReleased) };
    } catch (error) {
      if (hasCode(error, 'UNKNOWN_TOPIC_OR_PARTITION', 'CLIENT_CLOSED')) return null;
      if (!(error instanceof BrokerError) || !error.canRetry) throw error;
      await delay(broker.clock, RETRY_DELAY_MS, this.#ended);
      return 'again';
    }
  }

  /** Listens from now on, so that what changes during a fetch is not missed by the wait after it. */
  #nextChange(log: PartitionLog | undefined): { wait(maxMs: number): Promise<void>; stop(): void } {
    const changed = new AbortController();
    // A reason of its own, as the usual one is a new exception with a stack each time.
    const wake = () => changed.abort('changed');
    this.#wake = wake;
    const unsubscribe = log?.onChange(wake);
    this.#ended.addEventListener('abort', wake);
    return {
      wait: (maxMs) => delay(this.#client.broker.clock, maxMs, changed.signal),
      stop: () => {
        unsubscribe?.();
        this.#ended.removeEventListener('abort', wake);
      },
    };
  }

  /** null: the reader has ended. */
  async #lookUp(to: 'earliest' | 'latest'): Promise<number | null> {
    const { broker, wire } = this.#client;
    for (;;) {
      if (this.#ended.aborted) return null;
      try {
        return await wire.request('ListOffsets', () => {
          const log = broker.topics.log(this.topic, this.partition);
          if (to === 'earliest') return log.earliest;
          return this.#isolation === 'read_committed' ? log.lastStable : log.end;
        });
      } catch (error) {
        if (hasCode(error, 'CLIENT_CLOSED')) return null;
        if (hasCode(error, 'UNKNOWN_TOPIC_OR_PARTITION')) {
          throw new WeirError(
            'TOPIC_MISSING',
            `Cannot read ${this.topic}/${this.partition}: there is no such partition. Create the topic first.`,
            { cause: error },
          );
        }
        if (!(error instanceof BrokerError) || !error.canRetry) throw error;
        await delay(broker.clock, RETRY_DELAY_MS, this.#ended);
      }
    }
  }
}
