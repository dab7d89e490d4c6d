/** Reads `weir.requests` for the leader: in order, from the offset that the last answer committed, a few at a time. */
import { pause } from '../abortable.ts';
import { type DecodedRequest, decodeRequest } from '../coordination/requests.ts';
import { passCorrupt } from '../kafka/pass-corrupt.ts';
import type { KafkaPort, OffsetToCommit, PartitionReader } from '../kafka/port.ts';
import type { Names } from '../names.ts';

export interface Asked {
  readonly decoded: DecodedRequest;
  /** A later request among those taken with it cancels it. */
  readonly cancelled: boolean;
  /** The offset to be committed with the answer. */
  readonly next: OffsetToCommit;
}

/** How many requests are held here; further ones wait on the topic. */
const MAX_WAITING = 200;
const POLL_WAIT_MS = 500;

export class RequestDesk {
  readonly #reader: PartitionReader & { close(): Promise<void> };
  readonly #done: Promise<void>;
  #waiting: { decoded: DecodedRequest; next: OffsetToCommit }[] = [];
  #wake: () => void = () => {};

  private constructor(reader: PartitionReader & { close(): Promise<void> }) {
    this.#reader = reader;
    this.#done = this.#read();
    // `arrival` rejects with it.
    this.#done.catch(() => {});
  }

  static async open(port: KafkaPort, names: Pick<Names, 'requests' | 'controlGroup'>): Promise<RequestDesk> {
    const at = { topic: names.requests, partition: 0 };
    const { offset } = await port.admin.committedOffset(names.controlGroup, at);
    const reader = port.reader(at, { isolation: 'read_committed' });
    await reader.seek(offset ?? 'earliest');
    return new RequestDesk(reader);
  }

  /** All requests that have come since the last call, in order. */
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
      if (this.#waiting.length >= MAX_WAITING) {
        await pause(POLL_WAIT_MS);
        continue;
      }
      const outcome = await this.#reader.poll(POLL_WAIT_MS);
      if (outcome.kind === 'ended') return;
      // Requests that retention has removed have lapsed anyway.
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
