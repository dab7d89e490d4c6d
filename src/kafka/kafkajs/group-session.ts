/**
 * The requests of one member of a consumer group (classic protocol): join -> (the leader assigns) -> sync, heartbeat, leave.
 * Kafka's group coordinator keeps the generations; the leader among the members computes who gets what, here with
 * `assign`, and each member tells what it owned in its subscription's user data.
 *
 * A static member (KIP-345) that joins without a member id takes the place of its instance id's last holder: the coordinator
 * answers with the generation and the assignment that are there, and the others hear nothing of it. If that one was the
 * leader, its successor is not told that it is (only JoinGroup v9 does), so the counts by which the leader notices that
 * topics have changed travel in each assignment's user data, and static members look, too.
 */
import type { Logger } from 'pino';
import { WeirError } from '../../errors.ts';
import { type AssignorMember, assign } from '../assignor.ts';
import { instanceIdTaken } from '../instance-id.ts';
import type { Tenure, TopicPartition } from '../port.ts';
import { askCoordinator, type ClusterView, checkCoordinator } from './cluster.ts';
import { MemberAssignment, MemberMetadata, type Protocol, requestOf } from './internals.ts';
import type { Links } from './links.ts';
import { asError, BrokerError, denied, ErrorCode, isPassing } from './outcomes.ts';
import { retry } from './retry.ts';

const PROTOCOL = 'weir-sticky-1';
const METADATA_VERSION = 1;
const FIRST_STEP_MS = 20;
const MAX_STEP_MS = 1_000;
const LEAVE_WITHIN_MS = 5_000;

/** A generation that this member is in. */
export interface Settled extends Tenure {
  readonly partitions: readonly TopicPartition[];
  /** By topic, what the assignment was computed from; null for those who need not watch it. */
  readonly counts: ReadonlyMap<string, number> | null;
}

export interface GroupSessionOptions {
  readonly groupId: string;
  readonly instanceId: string | null;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly cluster: ClusterView;
  /** The member's own connection: JoinGroup blocks it. */
  readonly links: Links;
  /** For confirming and leaving while a join is pending. */
  readonly sharedLinks: Links;
  readonly log: Logger;
  onMissingTopic(topic: string): void;
}

/** All methods throw ConnectionFault and BrokerError. */
export class GroupSession {
  readonly #options: GroupSessionOptions;
  #memberId = '';
  #owned: readonly TopicPartition[] = [];
  #generation = -1;

  constructor(options: GroupSessionOptions) {
    this.#options = options;
  }

  /** Resolves when the group has settled: all members have joined, or the rebalance timeout is over. */
  async join(): Promise<Settled> {
    const { groupId, instanceId, rebalanceTimeoutMs, requestTimeoutMs } = this.#options;
    const timeoutMs = rebalanceTimeoutMs + requestTimeoutMs;
    let joined = await this.#ask(this.#joinRequest(), timeoutMs);
    if (joined.errorCode === ErrorCode.memberIdRequired) {
      this.#memberId = joined.memberId;
      joined = await this.#ask(this.#joinRequest(), timeoutMs);
    }
    this.#check('JoinGroup', joined.errorCode);
    this.#memberId = joined.memberId;
    const computed = joined.leaderId === joined.memberId ? await this.#assignAll(joined.members) : null;
    const synced = await this.#ask(
      requestOf('SyncGroup', {
        groupId,
        generationId: joined.generationId,
        memberId: joined.memberId,
        groupInstanceId: instanceId,
        groupAssignment: computed?.groupAssignment ?? [],
      }),
      timeoutMs,
    );
    this.#check('SyncGroup', synced.errorCode);
    const given = synced.memberAssignment ? MemberAssignment.decode(synced.memberAssignment) : null;
    const partitions = Object.entries(given?.assignment ?? {}).flatMap(([topic, ids]) =>
      ids.map((partition) => ({ topic, partition })),
    );
    this.#generation = joined.generationId;
    this.#owned = partitions;
    const { generationId: generation, memberId } = joined;
    const counts = computed?.counts ?? (instanceId === null ? null : countsOf(given?.userData));
    return { generation, memberId, instanceId, partitions, counts };
  }

  async heartbeat(settled: Settled): Promise<'stable' | 'rebalance'> {
    const { groupId, sessionTimeoutMs } = this.#options;
    const request = heartbeatRequest(groupId, settled);
    const { errorCode } = await this.#ask(request, Math.max(1_000, sessionTimeoutMs / 3));
    if (errorCode === ErrorCode.rebalanceInProgress) return 'rebalance';
    this.#check('Heartbeat', errorCode);
    return 'stable';
  }

  /** No answer for as long as a session lasts counts as no: by then the group has another generation. Never throws. */
  async confirm(settled: Settled, signal: AbortSignal): Promise<boolean> {
    const { groupId, sessionTimeoutMs, cluster, sharedLinks: links, log } = this.#options;
    try {
      await confirmTenure({ cluster, links }, groupId, settled, sessionTimeoutMs, signal);
      return true;
    } catch (error) {
      log.debug({ err: error, group: groupId, generation: settled.generation }, 'membership is not confirmed');
      return false;
    }
  }

  /** Never throws: what it cannot do the session timeout does later. */
  async leave(): Promise<void> {
    if (!this.#memberId) return;
    const { groupId, instanceId: groupInstanceId, cluster, sharedLinks: links, log } = this.#options;
    try {
      const request = requestOf('LeaveGroup', { groupId, memberId: this.#memberId, groupInstanceId });
      await askCoordinator({ cluster, links }, 'group', groupId, request, LEAVE_WITHIN_MS);
    } catch (error) {
      log.debug({ err: error, group: groupId }, 'could not leave the consumer group');
    }
  }

  /** Whether topics have come, gone or grown since they were assigned, or a predecessor asked for fewer of them. */
  async topicsChanged(counts: ReadonlyMap<string, number>): Promise<boolean> {
    if (this.#options.topics.some((topic) => !counts.has(topic))) return true;
    const views = await this.#options.cluster.lookUp([...counts.keys()]);
    return [...counts].some(([topic, count]) => (views.get(topic)?.leaders.length ?? 0) !== count);
  }

  /** An error that trying again cannot mend, in words for the user. */
  explain(error: unknown): Error {
    const { groupId, instanceId, sessionTimeoutMs } = this.#options;
    if (error instanceof BrokerError) {
      if (error.fault === 'fenced' && instanceId !== null) return instanceIdTaken(instanceId, groupId, error);
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

  #joinRequest() {
    const { groupId, instanceId: groupInstanceId, topics, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    const userData = Buffer.from(JSON.stringify({ generation: this.#generation, owned: this.#owned }));
    const metadata = MemberMetadata.encode({ version: METADATA_VERSION, topics, userData });
    return requestOf('JoinGroup', {
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      memberId: this.#memberId,
      groupInstanceId,
      protocolType: 'consumer',
      groupProtocols: [{ name: PROTOCOL, metadata }],
    });
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
          userData: Buffer.from(JSON.stringify({ counts: Object.fromEntries(counts) })),
        }),
      };
    });
    return { counts, groupAssignment };
  }

  async #partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const views = await this.#options.cluster.lookUp(topics);
    for (const topic of topics) {
      if (!views.has(topic)) this.#options.onMissingTopic(topic);
    }
    return new Map(topics.map((topic) => [topic, views.get(topic)?.leaders.length ?? 0]));
  }

  #ask<D>(protocol: Protocol<D>, timeoutMs: number): Promise<D> {
    const { cluster, links, groupId } = this.#options;
    return askCoordinator({ cluster, links }, 'group', groupId, protocol, timeoutMs);
  }

  #check(request: string, code: number): void {
    // After ILLEGAL_GENERATION and REBALANCE_IN_PROGRESS the member id is still good.
    if (code === ErrorCode.unknownMemberId) this.#memberId = '';
    checkCoordinator(this.#options.cluster, 'group', this.#options.groupId, request, code);
  }
}

/** Asks beside the session, until there is an answer within the time. Throws what `checkCoordinator` does when it is over. */
export function confirmTenure(
  parts: { cluster: ClusterView; links: Links },
  groupId: string,
  tenure: Tenure,
  withinMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const ask = async () => {
    const { errorCode } = await askCoordinator(parts, 'group', groupId, heartbeatRequest(groupId, tenure), withinMs);
    // While the group rebalances nobody else gets the partition before this member has joined or was dropped.
    if (errorCode === ErrorCode.rebalanceInProgress) return;
    checkCoordinator(parts.cluster, 'group', groupId, 'Heartbeat', errorCode);
  };
  return retry(ask, {
    deadline: performance.now() + withinMs,
    firstStepMs: FIRST_STEP_MS,
    maxStepMs: MAX_STEP_MS,
    again: isPassing,
    ...(signal && { signal }),
  });
}

function heartbeatRequest(groupId: string, { generation, memberId, instanceId }: Tenure) {
  return requestOf('Heartbeat', {
    groupId,
    groupGenerationId: generation,
    memberId,
    groupInstanceId: instanceId,
  });
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

/** What an assignment was computed from; null where another version of the leader has left it out. */
function countsOf(userData: Buffer | null | undefined): ReadonlyMap<string, number> | null {
  const { counts } = contentOf<{ counts: Record<string, number> }>(userData);
  return counts ? new Map(Object.entries(counts)) : null;
}

/** Claims only save moves. */
function claimsOf(userData: Buffer | null): { owned: TopicPartition[]; generation: number } {
  const { owned, generation = -1 } = contentOf<{ owned: TopicPartition[]; generation: number }>(userData);
  return { owned: Array.isArray(owned) ? owned : [], generation };
}

/** Empty for whatever another version of a member may have written. */
function contentOf<T extends object>(userData: Buffer | null | undefined): Partial<T> {
  try {
    return JSON.parse(userData?.toString('utf8') || '{}') as Partial<T>;
  } catch {
    return {};
  }
}
