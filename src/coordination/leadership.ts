/** What a leader holds while it leads: the number of its leadership, and the one way to write as the leader. */
import type { CommitOutcome, OffsetToCommit, ProducerRecord, TransactionalSink } from '../kafka/port.ts';
import type { ControlLogFollower } from './control-log.ts';
import { encodeEvent, type LedEvent } from './events.ts';
import type { ControlState } from './state.ts';

/** One transaction of the leader. */
export interface LeaderWrite {
  /** For the control log. */
  readonly events?: readonly LedEvent[];
  /** For other topics, such as `weir.decisions`. */
  readonly records?: readonly ProducerRecord[];
  /** Consumed offsets of the leader's group, such as of `weir.requests`. */
  readonly offsets?: readonly OffsetToCommit[];
}

export interface Leadership {
  readonly name: string;
  /** Offset of this leadership's LeaderElected record: a fencing token, greater than that of every earlier leadership. */
  readonly leaderEpoch: number;
  /** The folded control log, with every event written so far. */
  readonly state: ControlState;
  /** Aborted when the leadership has ended, whatever the reason. */
  readonly signal: AbortSignal;
  /**
   * All of the batch is written, or nothing. Once this has returned `committed`, the events are in `state`. After any other outcome the leadership has ended.
   * Writes are done one after the other.
   */
  write(batch: LeaderWrite): Promise<CommitOutcome>;
}

export interface TermOptions {
  readonly name: string;
  readonly leaderEpoch: number;
  readonly electionId: string;
  /** The control log's topic. */
  readonly topic: string;
  /** Follows `topic`. */
  readonly log: ControlLogFollower;
  readonly sink: TransactionalSink;
  /** Aborted when the term is over. */
  readonly signal: AbortSignal;
  /** A transaction failed: nobody knows what became of it, so the term has to end. */
  onFailedWrite(cause: Error): void;
}

/** The leadership that one election has brought. */
export class Term implements Leadership {
  readonly name: string;
  readonly leaderEpoch: number;
  readonly signal: AbortSignal;
  readonly #options: TermOptions;
  /** Of the events written so far. */
  #sequence = 0;
  #lastWrite: Promise<unknown> = Promise.resolve();

  constructor(options: TermOptions) {
    this.name = options.name;
    this.leaderEpoch = options.leaderEpoch;
    this.signal = options.signal;
    this.#options = options;
  }

  get state(): ControlState {
    return this.#options.log.state;
  }

  write(batch: LeaderWrite): Promise<CommitOutcome> {
    const written = this.#lastWrite.then(() => this.#write(batch));
    this.#lastWrite = written.catch(() => {});
    return written;
  }

  /** Resolves when all writes are done. */
  async settled(): Promise<void> {
    await this.#lastWrite;
  }

  async #write({ events = [], records = [], offsets = [] }: LeaderWrite): Promise<CommitOutcome> {
    const { sink, topic, onFailedWrite } = this.#options;
    if (this.signal.aborted) return { kind: 'fenced', cause: asError(this.signal.reason) };
    for (const event of events) {
      this.#sequence++;
      const { leaderEpoch } = this;
      sink.stage(topic, 0, encodeEvent({ ...event, leaderEpoch, sequence: this.#sequence }));
    }
    for (const { topic: to, partition, value, headers, key } of records) sink.stage(to, partition, value, headers, key);
    const outcome = await sink.commit(offsets);
    if (outcome.kind === 'committed') await this.#readBack(this.#sequence);
    else onFailedWrite(outcome.cause);
    return outcome;
  }

  /** Waits until the event with this number is in `state`, or the term is over: the write is committed in either case. */
  async #readBack(sequence: number): Promise<void> {
    const { log, name, electionId } = this.#options;
    const isThere = ({ leaders }: ControlState) => {
      const leader = leaders.get(name);
      return leader?.electionId !== electionId || leader.sequence >= sequence;
    };
    await log.waitFor(isThere, { signal: this.signal }).catch(() => {});
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
