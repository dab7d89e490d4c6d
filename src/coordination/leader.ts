/**
 * Leader election: Kafka is the consensus engine.
 *
 * 1. Every candidate joins one consumer group on the single partition of the control log; the group gives it to one of them.
 * 2. That one opens the leader's sink, which fences every earlier leader (InitProducerId of one fixed id),
 * 3. writes LeaderElected in a transaction,
 * 4. reads read_committed until it meets that record, so that all that earlier leaders have written is folded; the record's offset is the
 *    leader epoch,
 * 5. and only then acts. Everything it writes is fenced from then on, however long it was paused. What commits an offset, as each answer to a request
 *    does, is fenced by the group, too: refused once that has dropped the leader, before there is another.
 *
 * A leader that was fenced, or does not know what became of a transaction, leaves the group and joins again: it opens its sink again only under a
 * newer generation, or it and the rightful leader would fence each other for ever.
 */
import { randomUUID } from 'node:crypto';
import { aborted, pause } from '../abortable.ts';
import type {
  AssignedPartition,
  CommitOutcome,
  GroupMember,
  KafkaPort,
  OffsetToCommit,
  ProducerRecord,
} from '../kafka/port.ts';
import type { ControlLogFollower } from './control-log.ts';
import { encodeEvent, type LedEvent } from './events.ts';
import type { ControlState } from './state.ts';

/** One transaction of the leader. */
export interface LeaderWrite {
  /** To the control log. */
  readonly events?: readonly LedEvent[];
  /** To other topics, such as `weir.decisions`. */
  readonly records?: readonly ProducerRecord[];
  /** Consumed offsets of the leader's group, such as of `weir.requests`. */
  readonly offsets?: readonly OffsetToCommit[];
}

export interface Leadership {
  readonly name: string;
  /** Offset of this leadership's LeaderElected record: a fencing token, greater than every earlier one's. */
  readonly leaderEpoch: number;
  /** With every event written so far. */
  readonly state: ControlState;
  /** Aborted when the leadership has ended, whatever the reason. */
  readonly signal: AbortSignal;
  /**
   * All of it or nothing. Once `committed` is returned, its events are in `state`. After any other outcome the leadership has ended.
   * Writes are done one after the other.
   */
  write(batch: LeaderWrite): Promise<CommitOutcome>;
}

export interface ElectionOptions {
  readonly port: KafkaPort;
  readonly groupId: string;
  /** The control log: one partition. */
  readonly topic: string;
  readonly fencingKey: string;
  /** Which leadership. Candidates for another name use another group and another fencing key. */
  readonly name: string;
  readonly memberName: string;
  /** Follows `topic`. */
  readonly log: ControlLogFollower;
  readonly sessionTimeoutMs: number;
  readonly transactionTimeoutMs: number;
  /** Before a former leader joins again. Default 500. */
  readonly rejoinDelayMs?: number;
  /** Unix ms. */
  readonly now?: () => number;
  /**
   * The leader's duty: it runs until `lead.signal` is aborted, and may end earlier to resign. When it rejects before, that is a bug
   * and ends the election: `done` rejects.
   */
  onElected(lead: Leadership): Promise<void>;
  /** What made a leadership fail or end; the candidate goes on. For the log. */
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
    // A caller that only closes is not to fail for it; who needs to know waits for `done`.
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
      // What the duty said while it was being ended.
      await Promise.race([leave.promise, undefined]);
      await pause(rejoinDelayMs, this.#closing.signal);
    }
  }

  /** The partition's life: ends after its signal is aborted. Settles `leave` when the group has to be left for a new generation. */
  async #lead(partition: AssignedPartition, leave: PromiseWithResolvers<void>): Promise<void> {
    try {
      await this.#term(partition);
    } catch (error) {
      if (error instanceof TermFailed) this.#options.onTrouble?.(error.cause as Error);
      else leave.reject(error);
    } finally {
      this.leadership = null;
    }
    // Revoked: the next generation may bring it back without leaving.
    if (!partition.signal.aborted) leave.resolve();
    await aborted(partition.signal);
  }

  async #term(partition: AssignedPartition): Promise<void> {
    const {
      port,
      groupId,
      topic,
      fencingKey,
      name,
      memberName,
      log,
      transactionTimeoutMs,
      now = Date.now,
    } = this.#options;
    // A candidate that was paused since it got the partition would fence the rightful leader.
    if (!(await partition.confirm()))
      throw new TermFailed('the candidate came too late', { cause: new Error('the group has gone on without us') });
    const sink = await port
      .openSink({ fencingKey, groupId, tenure: partition, transactionTimeoutMs, signal: partition.signal })
      .catch((cause: unknown) => Promise.reject(new TermFailed('the sink could not be opened', { cause })));
    const ending = new AbortController();
    const end = (reason: unknown) => ending.abort(reason);
    const onRevoked = () => end(new Error('the group took the partition back'));
    partition.signal.addEventListener('abort', onRevoked, { once: true });
    if (partition.signal.aborted) onRevoked();
    let stopWatching = () => {};
    try {
      if (ending.signal.aborted) return;
      const electionId = randomUUID();
      // Waits from before the commit: a successor's record could follow ours before we look.
      const elected = log.waitFor((state) => state.leaders.get(name)?.electionId === electionId, {
        signal: ending.signal,
      });
      elected.catch(() => {});
      const { generation, memberId } = partition;
      const by = { name, member: memberName, electionId, generation, memberId };
      sink.stage(topic, 0, encodeEvent({ type: 'LeaderElected', version: 1, at: now(), ...by }));
      const outcome = await sink.commit([]);
      if (outcome.kind !== 'committed')
        throw new TermFailed('the election was not committed', { cause: outcome.cause });
      let leaderEpoch: number;
      try {
        leaderEpoch = (await elected).leaders.get(name)!.leaderEpoch;
      } catch (error) {
        if (ending.signal.aborted) return;
        throw error;
      }
      stopWatching = log.onChange((state) => {
        const leader = state.leaders.get(name);
        if (leader && leader.electionId !== electionId) end(new Error(`${leader.member} was elected`));
      });
      const current = log.state.leaders.get(name);
      if (current && current.electionId !== electionId) return;

      let sequence = 0;
      let turn: Promise<unknown> = Promise.resolve();
      const write = async ({ events = [], records = [], offsets = [] }: LeaderWrite): Promise<CommitOutcome> => {
        if (ending.signal.aborted) return { kind: 'fenced', cause: asError(ending.signal.reason) };
        for (const led of events) {
          sequence++;
          sink.stage(topic, 0, encodeEvent({ ...led, leaderEpoch, sequence }));
        }
        for (const { topic: to, partition: at, value, headers, key } of records)
          sink.stage(to, at, value, headers, key);
        const committed = await sink.commit(offsets);
        if (committed.kind !== 'committed') {
          end(committed.cause);
          this.#options.onTrouble?.(committed.cause);
          return committed;
        }
        const last = sequence;
        await log
          .waitFor(
            (state) => {
              const leader = state.leaders.get(name);
              return leader?.electionId !== electionId || leader.sequence >= last;
            },
            { signal: ending.signal },
          )
          // Ended meanwhile: that it was committed is true all the same.
          .catch(() => {});
        return committed;
      };
      const lead: Leadership = {
        name,
        leaderEpoch,
        get state() {
          return log.state;
        },
        signal: ending.signal,
        write: (batch) => {
          const mine = turn.then(() => write(batch));
          turn = mine.catch(() => {});
          return mine;
        },
      };
      this.leadership = lead;
      try {
        await this.#options.onElected(lead);
      } catch (error) {
        // Cut off in the middle of something: that is how a leadership ends.
        if (!ending.signal.aborted) throw error;
      }
      await turn;
    } finally {
      stopWatching();
      partition.signal.removeEventListener('abort', onRevoked);
      end(new Error('the duty ended'));
      await sink.close();
    }
  }
}

/** What ends a term but not the candidate. */
class TermFailed extends Error {}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
