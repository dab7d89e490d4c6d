/**
 * A member of a consumer group, classic protocol, eager: for each generation
 * join -> (the leader assigns) -> sync -> run partitions, heartbeat -> on a rebalance abort the partitions' signals, wait for
 * them -> join again. Heartbeats are on a timer of their own and go on while polls are worked on and while partitions
 * are being given back.
 */
import type { Logger } from 'pino';
import { WeirError } from '../../errors.ts';
import { type AssignorMember, assign } from '../assignor.ts';
import type { AssignedPartition, GroupHandlers, GroupMember, GroupOptions, TopicPartition } from '../port.ts';
import { askCoordinator, type ClusterView, checkCoordinator } from './cluster.ts';
import { Fetcher } from './fetcher.ts';
import { MemberAssignment, MemberMetadata, type Protocol, requestOf } from './internals.ts';
import type { Links } from './links.ts';
import { asError, BrokerError, denied, ErrorCode, faultOf, isPassing } from './outcomes.ts';
import type { FetchReader } from './reader.ts';
import { pause, retry, sparsely } from './retry.ts';

const PROTOCOL = 'weir-sticky-1';
const METADATA_VERSION = 1;
const DEFAULT_REBALANCE_TIMEOUT_MS = 30_000;
/** How soon a rebalance is noticed; a fifth of the session leaves four more tries. */
const DEFAULT_HEARTBEAT_MS = 1_000;
const TROUBLE_INTERVAL_MS = 5_000;
const FIRST_BACKOFF_MS = 20;
const MAX_BACKOFF_MS = 2_000;
/** How often the leader looks whether topics have come, gone or grown. */
const TOPIC_CHECK_MS = 10_000;
const MISSING_TOPIC_CHECK_MS = 1_000;

interface Settled {
  readonly id: number;
  readonly memberId: string;
  readonly partitions: readonly TopicPartition[];
  /** By topic, what the assignment was computed from; null for those who are not the leader. */
  readonly counts: ReadonlyMap<string, number> | null;
}

type GenerationEnd = 'rebalance' | 'lost' | 'closed' | { readonly failed: Error };

export interface MembershipParts {
  readonly cluster: ClusterView;
  /** Shared connections: for look-ups, and for leaving while a join is pending. */
  readonly links: Links;
  readonly openLinks: () => Links;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
}

export class Membership implements GroupMember {
  readonly done: Promise<void>;
  readonly #options: GroupOptions;
  readonly #handlers: GroupHandlers;
  readonly #parts: MembershipParts;
  readonly #links: Links;
  readonly #fetcher: Fetcher;
  readonly #closing = new AbortController();
  readonly #trouble: (cause: Error) => void;
  readonly #rebalanceTimeoutMs: number;
  readonly #heartbeatMs: number;
  #memberId = '';
  #owned: readonly TopicPartition[] = [];
  #generation = -1;
  readonly #running = new Set<Promise<void>>();

  constructor(options: GroupOptions, handlers: GroupHandlers, parts: MembershipParts) {
    this.#options = options;
    this.#handlers = handlers;
    this.#parts = parts;
    this.#links = parts.openLinks();
    this.#rebalanceTimeoutMs = options.rebalanceTimeoutMs ?? DEFAULT_REBALANCE_TIMEOUT_MS;
    this.#heartbeatMs = options.heartbeatIntervalMs ?? Math.min(DEFAULT_HEARTBEAT_MS, options.sessionTimeoutMs / 5);
    this.#trouble = sparsely(TROUBLE_INTERVAL_MS, (cause) => {
      parts.log.debug({ err: cause, group: options.groupId }, 'trouble in a consumer group; trying on');
      handlers.onTrouble?.(cause);
    });
    this.#fetcher = new Fetcher({
      cluster: parts.cluster,
      links: parts.links,
      openLinks: parts.openLinks,
      isolation: options.fetch?.isolation ?? 'read_committed',
      onTrouble: this.#trouble,
    });
    this.done = this.#live();
    // Whoever does not wait for `done` still hears of its failure from the next `close()`.
    this.done.catch(() => 'told to whoever awaits done or close');
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.done;
  }

  async #live(): Promise<void> {
    const { signal } = this.#closing;
    try {
      for (let backoffMs = FIRST_BACKOFF_MS; !signal.aborted; ) {
        let settled: Settled | null;
        try {
          settled = await this.#join();
          backoffMs = FIRST_BACKOFF_MS;
        } catch (error) {
          if (signal.aborted) break;
          if (!mayTryAgain(error)) throw this.#explained(error);
          if (faultOf(error) !== 'rejoin') this.#trouble(asError(error));
          await pause(faultOf(error) === 'rejoin' ? FIRST_BACKOFF_MS : backoffMs, signal);
          backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
          continue;
        }
        if (!settled) break;
        const end = await this.#generationOf(settled);
        if (typeof end === 'object') throw end.failed;
      }
    } finally {
      // Also those that outlived their generation's rebalance timeout.
      await Promise.all(this.#running);
      this.#fetcher.close();
      await this.#leave();
      this.#links.destroy();
    }
  }

  /** Null: closed meanwhile. */
  async #join(): Promise<Settled | null> {
    const { groupId, topics, sessionTimeoutMs } = this.#options;
    const userData = Buffer.from(JSON.stringify({ generation: this.#generation, owned: this.#owned }));
    const metadata = MemberMetadata.encode({ version: METADATA_VERSION, topics, userData });
    const join = () =>
      requestOf('JoinGroup', {
        groupId,
        sessionTimeout: sessionTimeoutMs,
        rebalanceTimeout: this.#rebalanceTimeoutMs,
        memberId: this.#memberId,
        protocolType: 'consumer',
        groupProtocols: [{ name: PROTOCOL, metadata }],
      });
    // The broker answers when all members have joined or the rebalance timeout is over.
    const joinTimeoutMs = this.#rebalanceTimeoutMs + this.#parts.requestTimeoutMs;
    const requested = this.#untilClosed(
      (async () => {
        let joined = await this.#ask(join(), joinTimeoutMs);
        if (joined.errorCode === ErrorCode.memberIdRequired) {
          this.#memberId = joined.memberId;
          joined = await this.#ask(join(), joinTimeoutMs);
        }
        this.#checkGroup('JoinGroup', joined.errorCode);
        this.#memberId = joined.memberId;
        const leads = joined.leaderId === joined.memberId;
        const computed = leads ? await this.#assignAll(joined.members) : null;
        const synced = await this.#ask(
          requestOf('SyncGroup', {
            groupId,
            generationId: joined.generationId,
            memberId: joined.memberId,
            groupAssignment: computed?.groupAssignment ?? [],
          }),
          joinTimeoutMs,
        );
        this.#checkGroup('SyncGroup', synced.errorCode);
        const assignment = synced.memberAssignment ? MemberAssignment.decode(synced.memberAssignment) : null;
        const partitions = Object.entries(assignment?.assignment ?? {}).flatMap(([topic, ids]) =>
          ids.map((partition) => ({ topic, partition })),
        );
        return { id: joined.generationId, memberId: joined.memberId, partitions, counts: computed?.counts ?? null };
      })(),
    );
    const settled = await requested;
    if (!settled) return null;
    this.#generation = settled.id;
    this.#owned = settled.partitions;
    return settled;
  }

  async #assignAll(members: ReadonlyArray<{ memberId: string; memberMetadata: Buffer }>) {
    const claims = members.map(({ memberId, memberMetadata }) => {
      const { topics, userData } = MemberMetadata.decode(memberMetadata);
      return { id: memberId, topics, ...claimsOf(userData) };
    });
    const views = undisputed(claims);
    const counts = await this.#partitionCounts([...new Set(views.flatMap(({ topics }) => topics))]);
    const groupAssignment = [...assign(views, counts)].map(([memberId, partitions]) => {
      const assignment: Record<string, number[]> = {};
      for (const { topic, partition } of partitions) {
        assignment[topic] ??= [];
        assignment[topic].push(partition);
      }
      return {
        memberId,
        memberAssignment: MemberAssignment.encode({
          version: METADATA_VERSION,
          assignment,
          userData: Buffer.alloc(0),
        }),
      };
    });
    return { counts, groupAssignment };
  }

  async #partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const views = await this.#parts.cluster.lookUp(topics);
    for (const topic of topics) {
      if (!views.has(topic)) this.#trouble(new Error(`topic ${topic} does not exist (yet)`));
    }
    return new Map(topics.map((topic) => [topic, views.get(topic)?.leaders.length ?? 0]));
  }

  async #generationOf(settled: Settled): Promise<GenerationEnd> {
    const partitions = settled.partitions.map((at) => {
      const abort = new AbortController();
      const reader = this.#fetcher.reader(at, this.#options.fetch ?? {});
      return {
        reader,
        abort,
        assigned: assignedPartition(reader, settled, abort.signal, () => this.#confirm(settled)),
      };
    });
    let failed: Error | undefined;
    const { promise: end, resolve: tell } = Promise.withResolvers<GenerationEnd>();
    // At once, so that whoever asked for the end finds the partitions aborted.
    const finish = (why: GenerationEnd) => {
      tell(why);
      for (const { abort, reader } of partitions) {
        abort.abort();
        reader.end();
      }
    };
    const onClose = () => finish('closed');
    this.#closing.signal.addEventListener('abort', onClose, { once: true });
    if (this.#closing.signal.aborted) onClose();

    const rest = new AbortController();
    const beating = this.#heartbeats(settled, finish, rest.signal);
    const watching = settled.counts ? this.#watchTopics(settled.counts, finish, rest.signal) : undefined;
    const generation = { id: settled.id, memberId: settled.memberId, partitions: settled.partitions };
    try {
      this.#handlers.onGeneration?.(generation);
    } catch (error) {
      finish({ failed: asError(error) });
    }
    const runs = partitions.map(({ assigned, reader }) => {
      const run = (async () => {
        try {
          await this.#handlers.run(assigned);
        } catch (error) {
          failed ??= asError(error);
          finish({ failed: failed });
        } finally {
          reader.end();
        }
      })();
      this.#running.add(run);
      return run.finally(() => this.#running.delete(run));
    });

    const why = await end;
    const timeout = new AbortController();
    const allEnded = Promise.all(runs).then(() => timeout.abort());
    // Past this the group goes on without them; what they still write is fenced by the next owner's InitProducerId.
    // Closing has no such limit: it holds up nobody but the caller.
    await pause(this.#rebalanceTimeoutMs, AbortSignal.any([timeout.signal, this.#closing.signal]));
    if (this.#closing.signal.aborted) await allEnded;
    rest.abort();
    this.#closing.signal.removeEventListener('abort', onClose);
    await Promise.all([beating, watching]);
    return failed ? { failed } : why;
  }

  /** Until `signal`. Goes on while partitions are given back: the broker must not take this member for dead. */
  async #heartbeats(settled: Settled, finish: (why: GenerationEnd) => void, signal: AbortSignal): Promise<void> {
    const { groupId, sessionTimeoutMs } = this.#options;
    let lastAnswer = performance.now();
    // By our own clock too: after a long pause of the process the group may have gone on without us, and what
    // works for this generation must stop before the first heartbeat is answered.
    const watchdog = setInterval(
      () => {
        if (performance.now() - lastAnswer > sessionTimeoutMs) finish('lost');
      },
      Math.min(this.#heartbeatMs, 500),
    );
    try {
      for (;;) {
        await pause(this.#heartbeatMs, signal);
        if (signal.aborted) return;
        try {
          const { errorCode } = await this.#ask(
            requestOf('Heartbeat', { groupId, groupGenerationId: settled.id, memberId: settled.memberId }),
            Math.max(1_000, sessionTimeoutMs / 3),
          );
          if (errorCode === ErrorCode.none || errorCode === ErrorCode.rebalanceInProgress) {
            lastAnswer = performance.now();
          }
          if (errorCode === ErrorCode.rebalanceInProgress) finish('rebalance');
          else this.#checkGroup('Heartbeat', errorCode);
        } catch (error) {
          if (faultOf(error) === 'rejoin') {
            finish('lost');
            return;
          }
          if (!mayTryAgain(error)) {
            finish({ failed: this.#explained(error) });
            return;
          }
          this.#trouble(asError(error));
        }
      }
    } finally {
      clearInterval(watchdog);
    }
  }

  /** No answer for as long as a session lasts counts as no: by then the group has another generation. */
  async #confirm(settled: Settled): Promise<boolean> {
    const { groupId, sessionTimeoutMs } = this.#options;
    const { cluster, links } = this.#parts;
    const ask = async () => {
      const { errorCode } = await askCoordinator(
        { cluster, links },
        'group',
        groupId,
        requestOf('Heartbeat', { groupId, groupGenerationId: settled.id, memberId: settled.memberId }),
        sessionTimeoutMs,
      );
      // While the group rebalances nobody else gets the partition before this member has joined or was dropped.
      if (errorCode !== ErrorCode.rebalanceInProgress) this.#checkCoordinator('Heartbeat', errorCode);
      return true;
    };
    try {
      return await retry(ask, {
        deadline: performance.now() + sessionTimeoutMs,
        firstStepMs: FIRST_BACKOFF_MS,
        maxStepMs: MAX_BACKOFF_MS,
        again: isPassing,
        signal: this.#closing.signal,
      });
    } catch (error) {
      this.#parts.log.debug({ err: error, group: groupId, generation: settled.id }, 'membership is not confirmed');
      return false;
    }
  }

  async #watchTopics(
    counts: ReadonlyMap<string, number>,
    finish: (why: GenerationEnd) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const topics = [...counts.keys()];
    const missing = [...counts.values()].some((count) => count === 0);
    for (;;) {
      await pause(missing ? MISSING_TOPIC_CHECK_MS : TOPIC_CHECK_MS, signal);
      if (signal.aborted) return;
      try {
        const views = await this.#parts.cluster.lookUp(topics);
        if (topics.some((topic) => (views.get(topic)?.leaders.length ?? 0) !== counts.get(topic))) {
          finish('rebalance');
          return;
        }
      } catch (error) {
        this.#trouble(asError(error));
      }
    }
  }

  async #leave(): Promise<void> {
    if (!this.#memberId) return;
    const { groupId } = this.#options;
    try {
      const address = await this.#parts.cluster.coordinatorOf('group', groupId);
      const link = await this.#parts.links.to(address);
      await link.request(
        requestOf('LeaveGroup', { groupId, memberId: this.#memberId }),
        this.#options.sessionTimeoutMs,
      );
    } catch (error) {
      // The session timeout does the same, later.
      this.#parts.log.debug({ err: error, group: groupId }, 'could not leave the consumer group');
    }
  }

  #ask<D>(protocol: Protocol<D>, timeoutMs: number): Promise<D> {
    const { cluster } = this.#parts;
    return askCoordinator({ cluster, links: this.#links }, 'group', this.#options.groupId, protocol, timeoutMs);
  }

  #checkGroup(request: string, code: number): void {
    // After ILLEGAL_GENERATION and REBALANCE_IN_PROGRESS the member id is still good.
    if (code === ErrorCode.unknownMemberId) this.#memberId = '';
    this.#checkCoordinator(request, code);
  }

  #checkCoordinator(request: string, code: number): void {
    checkCoordinator(this.#parts.cluster, 'group', this.#options.groupId, request, code);
  }

  #explained(error: unknown): Error {
    const { groupId, sessionTimeoutMs } = this.#options;
    if (error instanceof BrokerError) {
      if (error.fault === 'denied') return denied(`to use group ${groupId} and its topics`, error);
      if (error.code === ErrorCode.invalidSessionTimeout) {
        return new WeirError(
          'CONFIG_INVALID',
          `the broker does not allow a session timeout of ${sessionTimeoutMs} ms (its group.min.session.timeout.ms and group.max.session.timeout.ms; by default at least 6,000 ms). Set kafka.sessionTimeoutMs accordingly.`,
          { cause: error },
        );
      }
      if (error.code === ErrorCode.inconsistentGroupProtocol) {
        return new WeirError(
          'CONFIG_INVALID',
          `group ${groupId} is in use by another application. Choose another --prefix.`,
          { cause: error },
        );
      }
    }
    return asError(error);
  }

  /** The result, or null once this member is being closed: a pending join is left behind with its connection. */
  async #untilClosed<T>(work: Promise<T>): Promise<T | null> {
    const { signal } = this.#closing;
    let onAbort = () => {};
    const closed = new Promise<null>((resolve) => {
      onAbort = () => resolve(null);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
    try {
      return await Promise.race([work, closed]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

const mayTryAgain = (error: unknown) => isPassing(error) || faultOf(error) === 'rejoin';

function assignedPartition(
  reader: FetchReader,
  settled: Settled,
  signal: AbortSignal,
  confirm: () => Promise<boolean>,
): AssignedPartition {
  return {
    topic: reader.topic,
    partition: reader.partition,
    generation: settled.id,
    memberId: settled.memberId,
    signal,
    confirm,
    get position() {
      return reader.position;
    },
    seek: (to) => reader.seek(to),
    poll: (maxWaitMs) => reader.poll(maxWaitMs),
    pause: () => reader.pause(),
    resume: () => reader.resume(),
  };
}

interface Claim extends AssignorMember {
  readonly generation: number;
}

/** Of two claims to a partition the one from the newer generation holds: the older is of a member that was away. */
function undisputed(claims: readonly Claim[]): AssignorMember[] {
  const newest = new Map<string, number>();
  for (const { owned, generation } of claims) {
    for (const at of owned) newest.set(nameOf(at), Math.max(generation, newest.get(nameOf(at)) ?? generation));
  }
  return claims.map(({ id, topics, owned, generation }) => ({
    id,
    topics,
    owned: owned.filter((at) => newest.get(nameOf(at)) === generation),
  }));
}

const nameOf = ({ topic, partition }: TopicPartition) => `${topic}/${partition}`;

/** Whatever another version of a member may have written: its claims only save moves. */
function claimsOf(userData: Buffer | null): { owned: TopicPartition[]; generation: number } {
  try {
    const claims = JSON.parse(userData?.toString('utf8') || '{}') as { owned?: TopicPartition[]; generation?: number };
    return { owned: Array.isArray(claims.owned) ? claims.owned : [], generation: claims.generation ?? -1 };
  } catch {
    return { owned: [], generation: -1 };
  }
}
