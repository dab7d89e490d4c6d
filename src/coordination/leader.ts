/**
 * Leader election: Kafka is the consensus engine.
 *
 * 1. Every candidate joins one consumer group on the single partition of the control log; the group gives it to one of them.
 * 2. That one opens the leader's sink, which fences every earlier leader (InitProducerId of one fixed id),
 * 3. writes LeaderElected in a transaction,
 * 4. reads read_committed until it meets that record, by when everything that earlier leaders have written is folded; the record's offset is the leader epoch,
 * 5. and only then acts. Whatever it writes is fenced, however long it was paused. Transactions that commit an offset, as each answer to a request does, are
 *    fenced by the group as well: they are refused as soon as the group has dropped the leader, even before there is another.
 *
 * A leader that was fenced, or does not know what became of a transaction, leaves the group and joins again. It opens its sink only under a newer generation:
 * otherwise it and the rightful leader would fence each other for ever.
 */
import { randomUUID } from 'node:crypto';
import { aborted, pause } from '../abortable.ts';
import type { AssignedPartition, GroupMember, KafkaPort, TransactionalSink } from '../kafka/port.ts';
import type { ControlLogFollower } from './control-log.ts';
import { encodeEvent } from './events.ts';
import { type Leadership, Term } from './leadership.ts';
import type { ControlState, Leader } from './state.ts';

export interface ElectionOptions {
  readonly port: KafkaPort;
  readonly groupId: string;
  /** The control log: one partition. */
  readonly topic: string;
  readonly fencingKey: string;
  /** Of the leadership. Candidates for another one use another group and another fencing key. */
  readonly name: string;
  readonly memberName: string;
  /** Follows `topic`. */
  readonly log: ControlLogFollower;
  readonly sessionTimeoutMs: number;
  readonly transactionTimeoutMs: number;
  /** How long a former leader waits before it joins again. Default 500. */
  readonly rejoinDelayMs?: number;
  /** Unix ms. */
  readonly now?: () => number;
  /**
   * The leader's duty. It runs until `lead.signal` is aborted, and may end earlier to resign. If it rejects before the signal is aborted, that is a bug and ends
   * the election: `done` rejects.
   */
  onElected(lead: Leadership): Promise<void>;
  /** Told why a leadership failed or ended, for the log. The candidate goes on. */
  onTrouble?(cause: Error): void;
}

export interface Election {
  /** The leadership that this candidate holds at the moment. */
  readonly leadership: Leadership | null;
  /** Resolves after `close()`; rejects when the candidate cannot go on: an unreadable control log, a broken duty, no authorisation. */
  readonly done: Promise<void>;
  /** Ends the duty, gives the partition back and leaves the group. */
  close(): Promise<void>;
}

export function electLeader(options: ElectionOptions): Election {
  return new Candidate(options);
}

class Candidate implements Election {
  leadership: Leadership | null = null;
  readonly done: Promise<void>;
  readonly #options: ElectionOptions;
  readonly #closing = new AbortController();

  constructor(options: ElectionOptions) {
    this.#options = options;
    // Without the log nobody can lead.
    options.log.done.then(
      () => this.#closing.abort(new Error('the control log was closed')),
      () => {},
    );
    this.done = this.#run();
    // A rejection that nobody waits for is no reason for the process to end.
    this.done.catch(() => {});
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the election was closed'));
    await this.done.catch(() => {});
  }

  async #run(): Promise<void> {
    const { port, groupId, topic, sessionTimeoutMs, log, rejoinDelayMs = 500 } = this.#options;
    while (!this.#closing.signal.aborted) {
      const leave = Promise.withResolvers<void>();
      const onClosing = () => leave.resolve();
      this.#closing.signal.addEventListener('abort', onClosing, { once: true });
      const member: GroupMember = port.joinGroup(
        { groupId, topics: [topic], sessionTimeoutMs },
        {
          run: (partition) => this.#lead(partition, leave),
          onTrouble: (cause) => this.#options.onTrouble?.(cause),
        },
      );
      try {
        await Promise.race([leave.promise, member.done, log.done]);
      } finally {
        this.#closing.signal.removeEventListener('abort', onClosing);
        await member.close();
      }
      // The duty may have failed while the member was closing.
      await Promise.race([leave.promise, undefined]);
      await pause(rejoinDelayMs, this.#closing.signal);
    }
  }

  /** Runs until the partition's signal is aborted. Settles `leave` when the group has to be left, so that a new generation begins. */
  async #lead(partition: AssignedPartition, leave: PromiseWithResolvers<void>): Promise<void> {
    try {
      await this.#serveTerm(partition);
    } catch (error) {
      if (error instanceof TermFailed) this.#options.onTrouble?.(error.cause as Error);
      else leave.reject(error);
    } finally {
      this.leadership = null;
    }
    // A partition that was revoked may come back with the next generation, without leaving.
    if (!partition.signal.aborted) leave.resolve();
    await aborted(partition.signal);
  }

  async #serveTerm(partition: AssignedPartition): Promise<void> {
    const { port, groupId, topic, fencingKey, name, log, transactionTimeoutMs, onElected, onTrouble } = this.#options;
    // A candidate that was paused since it got the partition would fence the rightful leader.
    if (!(await partition.confirm()))
      throw new TermFailed('the candidate came too late', { cause: new Error('the group has gone on without us') });
    const sink = await port
      .openSink({ fencingKey, groupId, tenure: partition, transactionTimeoutMs, signal: partition.signal })
      .catch((cause: unknown) => Promise.reject(new TermFailed('the sink could not be opened', { cause })));
    const ending = new AbortController();
    const signal = AbortSignal.any([ending.signal, partition.signal]);
    let stopWatching = () => {};
    try {
      const elected = await this.#elect(partition, sink, signal);
      if (!elected) return;
      const endUnderSuccessor = ({ leaders }: ControlState) => {
        const leader = leaders.get(name)!;
        if (leader.electionId !== elected.electionId) ending.abort(new Error(`${leader.member} was elected`));
      };
      stopWatching = log.onChange(endUnderSuccessor);
      endUnderSuccessor(log.state);
      if (signal.aborted) return;
      const onFailedWrite = (cause: Error) => {
        ending.abort(cause);
        onTrouble?.(cause);
      };
      const term = new Term({ ...elected, name, topic, log, sink, signal, onFailedWrite });
      this.leadership = term;
      await onElected(term).catch((error: unknown) => {
        // A duty that is cut short may fail: that is how a term ends.
        if (!signal.aborted) throw error;
      });
      await term.settled();
    } finally {
      stopWatching();
      ending.abort(new Error('the duty ended'));
      await sink.close();
    }
  }

  /** Writes LeaderElected and reads the log up to it. null: the term was over before that. */
  async #elect(
    partition: AssignedPartition,
    sink: TransactionalSink,
    signal: AbortSignal,
  ): Promise<Pick<Leader, 'electionId' | 'leaderEpoch'> | null> {
    const { topic, name, memberName, log, now = Date.now } = this.#options;
    if (signal.aborted) return null;
    const electionId = randomUUID();
    // Watching begins before the commit: a successor's record could follow ours before we look.
    const readBack = log.waitFor((state) => state.leaders.get(name)?.electionId === electionId, { signal });
    readBack.catch(() => {});
    const { generation, memberId } = partition;
    const by = { name, member: memberName, electionId, generation, memberId };
    sink.stage(topic, 0, encodeEvent({ type: 'LeaderElected', version: 1, at: now(), ...by }));
    const outcome = await sink.commit([]);
    if (outcome.kind !== 'committed') throw new TermFailed('the election was not committed', { cause: outcome.cause });
    try {
      const { leaders } = await readBack;
      return { electionId, leaderEpoch: leaders.get(name)!.leaderEpoch };
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
  }
}

/** Ends a term, but not the candidate. */
class TermFailed extends Error {}
