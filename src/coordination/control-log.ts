/** Tails the control log and folds it: every member's view of what is true. */
import { abortable } from '../abortable.ts';
import { WeirError } from '../errors.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import { decodeEvent } from './events.ts';
import { readSnapshot } from './snapshot.ts';
import { type ControlState, EMPTY_STATE, fold } from './state.ts';

export interface ControlLogFollower {
  /** As far as it is read. */
  readonly state: ControlState;
  /**
   * The first state, from now on, that the predicate holds for; it is asked after each event. Rejects when the log turns out to be
   * unreadable, when the follower is closed, and with `signal.reason` when that is aborted.
   */
  waitFor(predicate: (state: ControlState) => boolean, options?: { signal?: AbortSignal }): Promise<ControlState>;
  /** Resolves once everything that was in the log at the call is folded. Rejects as `waitFor` does. */
  catchUp(options?: { signal?: AbortSignal }): Promise<ControlState>;
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
  names: Pick<Names, 'control' | 'snapshots'>,
  options: { signal?: AbortSignal } = {},
): Promise<ControlLogFollower> {
  const { signal } = options;
  signal?.throwIfAborted();
  const snapshot = await abortable(readSnapshot(port, names.snapshots), signal);
  const tail = new Tail(port, names.control, snapshot ?? EMPTY_STATE);
  try {
    await tail.catchUp({ signal });
  } catch (error) {
    await tail.close();
    throw error;
  }
  return tail;
}

interface Waiter {
  /** `position`: everything below it is folded. */
  readonly predicate: (state: ControlState, position: bigint) => boolean;
  readonly resolve: (state: ControlState) => void;
  readonly reject: (error: unknown) => void;
}

class Tail implements ControlLogFollower {
  state: ControlState;
  readonly done: Promise<void>;
  readonly #port: KafkaPort;
  readonly #topic: string;
  readonly #reader: ReturnType<KafkaPort['reader']>;
  readonly #waiters = new Set<Waiter>();
  readonly #listeners = new Set<(state: ControlState) => void>();
  /** Above `state.nextOffset` where only transaction markers lie between. */
  #position: bigint;
  #failure: unknown = null;
  #closing = false;

  constructor(port: KafkaPort, topic: string, from: ControlState) {
    this.#port = port;
    this.#topic = topic;
    this.state = from;
    this.#position = from.nextOffset;
    this.#reader = port.reader({ topic, partition: 0 }, { isolation: 'read_committed' });
    this.done = this.#run().catch((error: unknown) => {
      this.#failure = error;
      this.#rejectWaiters(error);
      throw error;
    });
    // Whoever waits is told as well; nobody has to watch `done`.
    this.done.catch(() => {});
  }

  waitFor(
    predicate: (state: ControlState) => boolean,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<ControlState> {
    return this.#wait(predicate, signal);
  }

  async catchUp({ signal }: { signal?: AbortSignal } = {}): Promise<ControlState> {
    const [only] = await abortable(this.#port.admin.offsets(this.#topic), signal);
    if (!only)
      throw new WeirError(
        'TOPIC_MISSING',
        `reading the control log: the topic ${this.#topic} has no partition. Run: weir topics --create`,
      );
    return this.#wait((_, position) => position >= only.latest, signal);
  }

  onChange(listener: (state: ControlState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#rejectWaiters(closed(this.#topic));
      await this.#reader.close();
    }
    await this.done.catch(() => {});
  }

  #wait(predicate: Waiter['predicate'], signal: AbortSignal | undefined): Promise<ControlState> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (predicate(this.state, this.#position)) return Promise.resolve(this.state);
    if (this.#closing) return Promise.reject(closed(this.#topic));
    const { promise, resolve, reject } = Promise.withResolvers<ControlState>();
    const waiter: Waiter = { predicate, resolve, reject };
    this.#waiters.add(waiter);
    return abortable(promise, signal).finally(() => this.#waiters.delete(waiter));
  }

  async #run(): Promise<void> {
    await this.#reader.seek(await this.#start());
    while (!this.#closing) {
      const outcome = await this.#reader.poll(POLL_WAIT_MS);
      switch (outcome.kind) {
        case 'poll':
          try {
            for (let i = 0; i < outcome.poll.count; i++) {
              const offset = outcome.poll.offset(i);
              const where = `the control log ${this.#topic}, offset ${offset}`;
              this.#advance(fold(this.state, decodeEvent(outcome.poll.value(i), where), offset), offset + 1n);
            }
            this.#reach(outcome.poll.nextOffset);
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
          throw cut(this.#topic, outcome.position, outcome.earliest, outcome.latest);
      }
    }
  }

  /** A log whose beginning is gone, with no snapshot that holds it, would be folded into another state than everybody else's. */
  async #start(): Promise<bigint> {
    const [only] = await this.#port.admin.offsets(this.#topic);
    if (only && only.earliest > this.#position) throw cut(this.#topic, this.#position, only.earliest, only.latest);
    return this.#position;
  }

  #advance(state: ControlState, position: bigint): void {
    this.state = state;
    this.#reach(position);
    for (const listener of this.#listeners) listener(state);
  }

  #reach(position: bigint): void {
    this.#position = position;
    for (const waiter of this.#waiters) {
      if (!waiter.predicate(this.state, position)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(this.state);
    }
  }

  #rejectWaiters(error: unknown): void {
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters.clear();
  }
}

function closed(topic: string): Error {
  return new Error(`the follower of ${topic} was closed`);
}

function cut(topic: string, position: bigint, earliest: bigint, latest: bigint): WeirError {
  return new WeirError(
    'CONTROL_LOG_UNREADABLE',
    `reading the control log ${topic} from offset ${position}: it now holds offsets ${earliest} to ${latest} only. The topic must be kept for ever (retention.ms=-1, retention.bytes=-1, cleanup.policy=delete): restore it and start again`,
  );
}
