/** The leader's reading of `weir.requests`: from the offset that the last answer committed, in order, a few at a time. */
import { pause } from '../abortable.ts';
import { type DecodedRequest, decodeRequest } from '../coordination/requests.ts';
import { passCorrupt } from '../kafka/pass-corrupt.ts';
import type { KafkaPort, OffsetToCommit, PartitionReader } from '../kafka/port.ts';
import type { Names } from '../names.ts';

export interface Asked {
  readonly decoded: DecodedRequest;
  /** A later request of the same reading takes it back. */
  readonly cancelled: boolean;
  /** To be committed with the answer. */
  readonly next: OffsetToCommit;
}

/** Requests held at most; further ones wait on the topic. */
const MOST_WAITING = 200;
const POLL_WAIT_MS = 500;

export class RequestDesk {
  readonly #reader: PartitionReader & { close(): Promise<void> };
  readonly #done: Promise<void>;
  #waiting: { decoded: DecodedRequest; next: OffsetToCommit }[] = [];
  #wake: () => void = () => {};

  private constructor(reader: PartitionReader & { close(): Promise<void> }) {
    this.#reader = reader;
    this.#done = this.#read();
    // `arrival` tells.
    this.#done.catch(() => {});
  }

  static async open(port: KafkaPort, names: Pick<Names, 'requests' | 'controlGroup'>): Promise<RequestDesk> {
    const at = { topic: names.requests, partition: 0 };
    const { offset } = await port.admin.committedOffset(names.controlGroup, at);
    const reader = port.reader(at, { isolation: 'read_committed' });
    await reader.seek(offset ?? 'earliest');
    return new RequestDesk(reader);
  }

  /** All that have come, in order. */
  take(): readonly Asked[] {
    const taken = this.#waiting;
    this.#waiting = [];
    const cancelled = new Set(
      taken.flatMap(({ decoded }) =>
        decoded.kind === 'request' && decoded.request.wish.kind === 'cancel' ? decoded.request.wish.id : [],
      ),
    );
    return taken.map(({ decoded, next }) => ({
      decoded,
      next,
      cancelled: decoded.kind === 'request' && cancelled.has(decoded.request.id),
    }));
  }

  /** Resolves when a request waits, after `ms`, or when the signal is aborted. Rejects when reading turned out to be impossible. */
  async arrival(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#waiting.length > 0) return;
    const waiting = new AbortController();
    this.#wake = () => waiting.abort();
    await Promise.race([pause(ms, AbortSignal.any([signal, waiting.signal])), this.#done]);
    waiting.abort();
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#done.catch(() => {});
  }

  async #read(): Promise<void> {
    for (;;) {
      if (this.#waiting.length >= MOST_WAITING) {
        await pause(POLL_WAIT_MS);
        continue;
      }
      const outcome = await this.#reader.poll(POLL_WAIT_MS);
      if (outcome.kind === 'ended') return;
      // Retention was quicker than any leader: what is gone has lapsed.
      if (outcome.kind === 'out-of-range') await this.#reader.seek('earliest');
      if (outcome.kind === 'corrupt') await passCorrupt(this.#reader, outcome.batch);
      if (outcome.kind !== 'poll') continue;
      const { poll } = outcome;
      const { topic, partition } = poll;
      for (let i = 0; i < poll.count; i++) {
        const next = { topic, partition, offset: poll.offset(i) + 1n };
        this.#waiting.push({ decoded: decodeRequest(poll.value(i)), next });
      }
      poll.release();
      if (this.#waiting.length > 0) this.#wake();
    }
  }
}
