/**
 * The client side of a consumer group: joins, runs each assigned partition under one generation, beats, gives everything back
 * when the group rebalances, joins again.
 */
import { abortable, aborted } from '../../abortable.ts';
import { instanceIdTaken } from '../instance-id.ts';
import type {
  AssignedPartition,
  FetchOptions,
  GroupHandlers,
  GroupMember,
  GroupOptions,
  Tenure,
  TopicPartition,
} from '../port.ts';
import { BrokerError, hasCode } from './broker-errors.ts';
import { type Client, RETRY_DELAY_MS } from './client.ts';
import { delay } from './clock.ts';
import type { Assignment } from './groups.ts';
import { MemoryReader } from './reader.ts';

const REBALANCE_TIMEOUT_MS = 60_000;
const MAX_HEARTBEAT_INTERVAL_MS = 3_000;

/** What a member's partitions of one generation have in common. */
type Held = Tenure & Pick<AssignedPartition, 'signal' | 'confirm'>;

class MemoryAssignedPartition extends MemoryReader implements AssignedPartition {
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly signal: AbortSignal;
  readonly confirm: () => Promise<boolean>;

  constructor(client: Client, at: TopicPartition, fetch: FetchOptions | undefined, held: Held) {
    super(client, at, fetch, held.signal);
    this.generation = held.generation;
    this.memberId = held.memberId;
    this.instanceId = held.instanceId;
    this.signal = held.signal;
    this.confirm = held.confirm;
  }
}

/** What became of a generation: the group forms the next one, or this member is no longer in it. */
type GenerationEnd = 'rebalance' | 'lost' | 'stopped';

export class MemoryMember implements GroupMember {
  readonly done: Promise<void>;
  readonly #client: Client;
  readonly #options: GroupOptions;
  readonly #handlers: GroupHandlers;
  readonly #rebalanceTimeoutMs: number;
  readonly #heartbeatIntervalMs: number;
  /** Aborted by `close()`, by a handler that fails, and when the client is closed. */
  readonly #stop = new AbortController();
  readonly #stopped: AbortSignal;
  #memberId: string;
  readonly #instanceId: string | null;
  /** It has been in the group by its member id. */
  #known = false;
  #failure: { readonly cause: unknown } | null = null;
  /** Also those that outlive their generation. */
  readonly #running = new Set<Promise<void>>();

  constructor(client: Client, options: GroupOptions, handlers: GroupHandlers) {
    this.#client = client;
    this.#options = options;
    this.#handlers = handlers;
    this.#rebalanceTimeoutMs = options.rebalanceTimeoutMs ?? REBALANCE_TIMEOUT_MS;
    this.#heartbeatIntervalMs =
      options.heartbeatIntervalMs ?? Math.min(MAX_HEARTBEAT_INTERVAL_MS, options.sessionTimeoutMs / 3);
    this.#stopped = AbortSignal.any([this.#stop.signal, client.wire.closed]);
    this.#memberId = client.broker.newMemberId();
    this.#instanceId = options.instanceId ?? null;
    this.done = this.#live();
    // Who closes the member learns of a failure from `close()`, too; nobody need have looked at `done`.
    this.done.catch(() => {});
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.done;
  }

  async #live(): Promise<void> {
    while (!this.#stopped.aborted) {
      const assignment = await this.#join();
      if (!assignment) continue;
      this.#known = true;
      const end = await this.#serve(assignment);
      // Of a static member the id tells whether another process has taken its place meanwhile.
      if (end === 'lost' && this.#instanceId === null) this.#memberId = this.#client.broker.newMemberId();
    }
    // Whoever closes a member waits for its runs, however long they take.
    await Promise.all(this.#running);
    await this.#leave();
    if (this.#failure) throw this.#failure.cause;
  }

  /** null: it did not come to that; to be tried again unless stopped. */
  async #join(): Promise<Assignment | null> {
    const { broker, wire } = this.#client;
    const { groupId, topics, sessionTimeoutMs } = this.#options;
    const rebalanceTimeoutMs = this.#rebalanceTimeoutMs;
    try {
      const joined = wire.request('JoinGroup', () =>
        broker.groups.join({
          groupId,
          memberId: this.#memberId,
          instanceId: this.#instanceId,
          rejoins: this.#known,
          topics,
          sessionTimeoutMs,
          rebalanceTimeoutMs,
        }),
      );
      return await abortable(joined, this.#stopped);
    } catch (error) {
      await this.#trouble(error);
      return null;
    }
  }

  /** Runs one generation to its end: when it returns, every `run` has ended or has been given up. */
  async #serve({ generation, partitions }: Assignment): Promise<GenerationEnd> {
    const { clock } = this.#client.broker;
    const memberId = this.#memberId;
    const held = { generation, memberId, instanceId: this.#instanceId };
    const tenure = new AbortController();
    const runs: Promise<void>[] = [];
    this.#guarded(() => this.#handlers.onGeneration?.({ id: generation, memberId, partitions }));
    if (!this.#stopped.aborted) {
      for (const at of partitions) {
        const { signal } = tenure;
        const confirm = async () => {
          const holds = await this.#confirm(held);
          if (!holds) tenure.abort();
          return holds;
        };
        const partition = new MemoryAssignedPartition(this.#client, at, this.#options.fetch, {
          ...held,
          signal,
          confirm,
        });
        const run = this.#guarded(() => this.#handlers.run(partition));
        runs.push(run);
        this.#running.add(run);
        run.then(() => this.#running.delete(run));
      }
    }
    const runsEnded = new AbortController();
    const beating = this.#beat(held, tenure, runsEnded.signal);
    await aborted(tenure.signal);
    const ended = Promise.all(runs).then(() => runsEnded.abort());
    // Past the timeout the group goes on without them; `close()` waits for them longer.
    await Promise.race([ended, delay(clock, this.#rebalanceTimeoutMs, runsEnded.signal)]);
    if (this.#stopped.aborted) await ended;
    runsEnded.abort();
    return beating;
  }

  /**
   * Beats until the runs have ended, so that work in hand does not cost the session; ends the tenure when the group rebalances,
   * when the member is out of it, and when it must be by now for want of an answer.
   */
  async #beat(held: Tenure, tenure: AbortController, runsEnded: AbortSignal): Promise<GenerationEnd> {
    const { clock } = this.#client.broker;
    const { sessionTimeoutMs } = this.#options;
    const stop = () => tenure.abort();
    this.#stopped.addEventListener('abort', stop);
    if (this.#stopped.aborted) stop();
    let end: GenerationEnd = 'stopped';
    let answeredMs = clock.now();
    try {
      for (;;) {
        // A rebalance ends the wait for the next beat, but not the beating: the runs have their time.
        await delay(clock, this.#heartbeatIntervalMs, tenure.signal.aborted ? runsEnded : tenure.signal);
        if (runsEnded.aborted || this.#client.wire.closed.aborted) return end;
        const answer = await this.#heartbeat(held, answeredMs + sessionTimeoutMs - clock.now());
        if (answer === 'lost') return 'lost';
        if (answer === 'none') continue;
        answeredMs = clock.now();
        if (answer === 'rebalance') {
          end = 'rebalance';
          tenure.abort();
        }
      }
    } finally {
      this.#stopped.removeEventListener('abort', stop);
      tenure.abort();
    }
  }

  /** `lost` also when there was no answer for the rest of the session; `none`: to be tried again. */
  async #heartbeat(held: Tenure, restMs: number): Promise<'stable' | 'rebalance' | 'lost' | 'none'> {
    const { broker, wire } = this.#client;
    const { groupId } = this.#options;
    const answered = new AbortController();
    let answer: 'stable' | 'rebalance' | 'lost' | 'none' = 'lost';
    const beat = async () => {
      try {
        await wire.request('Heartbeat', () => broker.groups.heartbeat(groupId, held));
        answer = 'stable';
      } catch (error) {
        if (hasCode(error, 'REBALANCE_IN_PROGRESS')) answer = 'rebalance';
        else if (hasCode(error, 'FENCED_INSTANCE_ID')) this.#fail(instanceIdTaken(held.instanceId!, groupId, error));
        else if (!hasCode(error, 'UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION')) {
          await this.#trouble(error);
          answer = 'none';
        }
      }
      answered.abort();
    };
    await Promise.race([beat(), delay(broker.clock, restMs, answered.signal)]);
    return answer;
  }

  /** No answer for as long as a session lasts counts as no: by then the group has another generation. */
  async #confirm(held: Tenure): Promise<boolean> {
    const { broker, wire } = this.#client;
    const deadlineMs = broker.clock.now() + this.#options.sessionTimeoutMs;
    while (broker.clock.now() < deadlineMs) {
      try {
        await wire.request('Heartbeat', () => broker.groups.heartbeat(this.#options.groupId, held));
        return true;
      } catch (error) {
        // While the group rebalances nobody else gets the partition before this member has joined or was dropped.
        if (hasCode(error, 'REBALANCE_IN_PROGRESS')) return true;
        if (!(error instanceof BrokerError) || !error.canRetry) return false;
        await delay(broker.clock, RETRY_DELAY_MS, wire.closed);
      }
    }
    return false;
  }

  /** A client that was closed without closing its members has vanished: its session has to expire. */
  async #leave(): Promise<void> {
    const { broker, wire } = this.#client;
    if (wire.closed.aborted) return;
    try {
      await wire.request('LeaveGroup', () => broker.groups.remove(this.#options.groupId, this.#memberId));
    } catch (error) {
      // The session runs out instead.
      this.#handlers.onTrouble?.(error as Error);
    }
  }

  /** A handler that fails is the caller's bug: it closes the member. */
  async #guarded(handler: () => void | Promise<void>): Promise<void> {
    try {
      await handler();
    } catch (cause) {
      this.#fail(cause);
    }
  }

  #fail(cause: unknown): void {
    this.#failure ??= { cause };
    this.#stop.abort();
  }

  async #trouble(error: unknown): Promise<void> {
    if (this.#stopped.aborted) return;
    if (hasCode(error, 'FENCED_INSTANCE_ID')) {
      this.#fail(instanceIdTaken(this.#instanceId!, this.#options.groupId, error));
      return;
    }
    if (hasCode(error, 'UNKNOWN_MEMBER_ID')) {
      this.#memberId = this.#client.broker.newMemberId();
      this.#known = false;
    }
    this.#handlers.onTrouble?.(error as Error);
    await delay(this.#client.broker.clock, RETRY_DELAY_MS, this.#stopped);
  }
}
