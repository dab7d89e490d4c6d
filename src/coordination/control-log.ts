/** Tails the control log and folds it: every member's view of what is true. */
import { abortable } from '../abortable.ts';
import { WeirError } from '../errors.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import { decodeEvent } from './events.ts';
import { type ControlState, EMPTY_STATE, fold } from './state.ts';

export interface ControlLogFollower {
  /** As far as it is read. */
  readonly state: ControlState;
  /**
   * The first state, from now on, that the predicate holds for; it is asked after each event. Rejects when the log turns out to be
   * unreadable, when the follower is closed, and with `signal.reason` when that is aborted.
   */
  waitFor(predicate: (state: ControlState) => boolean, options?: { signal?: AbortSignal }): Promise<ControlState>;
  /** Called after each event, in order. Returns the way to end it. */
  onChange(listener: (state: ControlState) => void): () => void;
  /** Resolves after `close()`; rejects with CONTROL_LOG_UNREADABLE, after which `state` stands still: the member must stop. */
  readonly done: Promise<void>;
  close(): Promise<void>;
}

/** How long one poll waits. Only `close()` notices. */
const POLL_WAIT_MS = 500;

/** Resolves once everything that was in the log at the call is folded. */
export async function followControlLog(
  port: KafkaPort,
  names: Pick<Names, 'control'>,
  options: { signal?: AbortSignal } = {},
): Promise<ControlLogFollower> {
  const { signal } = options;
  signal?.throwIfAborted();
  const end = await endOfLog(port, names.control);
  const tail = new Tail(port, names.control);
  const caughtUp = tail.start(end);
  try {
    await abortable(caughtUp, signal);
  } catch (error) {
    await tail.close();
    throw error;
  }
  return tail;
}

/** The last stable offset of the log's only partition. */
export async function endOfLog(port: KafkaPort, topic: string): Promise<bigint> {
  const [only] = await port.admin.offsets(topic);
  if (!only)
    throw new WeirError(
      'TOPIC_MISSING',
      `reading the control log: the topic ${topic} has no partition. Run: weir topics --create`,
    );
  return only.latest;
}

interface Waiter {
  readonly predicate: (state: ControlState) => boolean;
  readonly resolve: (state: ControlState) => void;
  readonly reject: (error: unknown) => void;
}

class Tail implements ControlLogFollower {
  state: ControlState = EMPTY_STATE;
  readonly done: Promise<void>;
  readonly #topic: string;
  readonly #reader: ReturnType<KafkaPort['reader']>;
  readonly #waiters = new Set<Waiter>();
  readonly #listeners = new Set<(state: ControlState) => void>();
  readonly #settle: { resolve(): void; reject(error: unknown): void };
  #failure: unknown = null;
  #closing = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(port: KafkaPort, topic: string) {
    this.#topic = topic;
    this.#reader = port.reader({ topic, partition: 0 }, { isolation: 'read_committed' });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#settle = { resolve, reject };
    // Whoever waits is told as well; nobody has to watch `done`.
    promise.catch(() => {});
  }

  /** Resolves when the position has reached `end`. */
  start(end: bigint): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#loop = this.#run(end, resolve).then(
      () => {
        reject(closed(this.#topic));
        this.#settle.resolve();
      },
      (error: unknown) => {
        this.#failure = error;
        for (const waiter of this.#waiters) waiter.reject(error);
        this.#waiters.clear();
        reject(error);
        this.#settle.reject(error);
      },
    );
    return promise;
  }

  waitFor(
    predicate: (state: ControlState) => boolean,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<ControlState> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (predicate(this.state)) return Promise.resolve(this.state);
    if (this.#closing) return Promise.reject(closed(this.#topic));
    const { promise, resolve, reject } = Promise.withResolvers<ControlState>();
    const waiter: Waiter = { predicate, resolve, reject };
    this.#waiters.add(waiter);
    return abortable(promise, signal).finally(() => this.#waiters.delete(waiter));
  }

  onChange(listener: (state: ControlState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      for (const waiter of this.#waiters) waiter.reject(closed(this.#topic));
      this.#waiters.clear();
      await this.#reader.close();
    }
    await this.#loop;
  }

  async #run(end: bigint, caughtUp: () => void): Promise<void> {
    await this.#reader.seek('earliest');
    while (!this.#closing) {
      if (this.#reader.position >= end) caughtUp();
      const outcome = await this.#reader.poll(POLL_WAIT_MS);
      switch (outcome.kind) {
        case 'poll':
          try {
            for (let i = 0; i < outcome.poll.count; i++) {
              const offset = outcome.poll.offset(i);
              const where = `the control log ${this.#topic}, offset ${offset}`;
              this.#advance(fold(this.state, decodeEvent(outcome.poll.value(i), where), offset));
            }
          } finally {
            outcome.poll.release();
          }
          break;
        case 'idle':
          break;
        case 'ended':
          return;
        case 'corrupt':
          throw new WeirError(
            'CONTROL_LOG_UNREADABLE',
            `reading the control log ${this.#topic} at offset ${outcome.batch.offset}: ${outcome.batch.reason}. No state can be told without it: move its leadership to a replica that is whole, and start again`,
          );
        case 'out-of-range':
          throw new WeirError(
            'CONTROL_LOG_UNREADABLE',
            `reading the control log ${this.#topic} from offset ${outcome.position}: it now holds offsets ${outcome.earliest} to ${outcome.latest} only. The topic must be kept for ever (retention.ms=-1, retention.bytes=-1, cleanup.policy=delete): restore it and start again`,
          );
      }
    }
  }

  #advance(state: ControlState): void {
    this.state = state;
    for (const waiter of this.#waiters) {
      if (!waiter.predicate(state)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(state);
    }
    for (const listener of this.#listeners) listener(state);
  }
}

function closed(topic: string): Error {
  return new Error(`the follower of ${topic} was closed`);
}
