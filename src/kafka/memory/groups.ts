/**
 * The group coordinator: members, generations, sessions. Eager, as kafkajs's protocol is: at a rebalance every member gives
 * everything back and joins anew; the assignment itself is the shared assignor's.
 */
import { assign } from '../assignor.ts';
import type { Tenure, TopicPartition } from '../port.ts';
import { BrokerError } from './broker-errors.ts';
import type { Clock } from './clock.ts';
import type { Topics } from './topics.ts';

export interface JoinRequest {
  readonly groupId: string;
  readonly memberId: string;
  readonly instanceId: string | null;
  /** It has been in the group by this member id. */
  readonly rejoins: boolean;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
}

export interface Assignment {
  readonly generation: number;
  readonly partitions: readonly TopicPartition[];
}

interface Member {
  readonly id: string;
  request: JoinRequest;
  /** Its partitions of the last settled generation. */
  owned: readonly TopicPartition[];
  /** Set while it waits for the generation that is being formed. Its session cannot expire meanwhile. */
  waiting: PromiseWithResolvers<Assignment> | null;
  cancelSession(): void;
}

interface Group {
  readonly id: string;
  generation: number;
  readonly members: Map<string, Member>;
  /** Set while a generation is being formed: who has not joined when it ends is out. */
  cancelRebalance: (() => void) | null;
}

const nothing = () => {};

export class GroupCoordinator {
  readonly #clock: Clock;
  readonly #topics: Topics;
  readonly #groups = new Map<string, Group>();

  constructor(clock: Clock, topics: Topics) {
    this.#clock = clock;
    this.#topics = topics;
  }

  /**
   * Resolves when the generation has settled: every member has joined, or the rebalance timeout has passed. At once, with the
   * generation that is, for who takes a static member's place.
   */
  join(request: JoinRequest): Promise<Assignment> {
    const group = this.#group(request.groupId);
    const predecessor = this.#predecessorOf(group, request);
    let member = group.members.get(request.memberId);
    if (!member) {
      const owned = predecessor?.owned ?? [];
      member = { id: request.memberId, request, owned, waiting: null, cancelSession: nothing };
      group.members.set(member.id, member);
    }
    if (predecessor && !group.cancelRebalance) {
      this.#startSession(group, member);
      return Promise.resolve({ generation: group.generation, partitions: member.owned });
    }
    member.request = request;
    member.cancelSession();
    const waiting = Promise.withResolvers<Assignment>();
    // Nobody need be listening any more when it is rejected: the client may have gone.
    waiting.promise.catch(nothing);
    member.waiting?.reject(new BrokerError('UNKNOWN_MEMBER_ID', `member ${member.id} joined once more`));
    member.waiting = waiting;
    this.#rebalance(group);
    return waiting.promise;
  }

  /** Prolongs the session; throws when the member has to join (again). */
  heartbeat(groupId: string, tenure: Tenure): void {
    const group = this.#group(groupId);
    this.#startSession(group, this.#holderOf(group, tenure));
    if (group.cancelRebalance) throw new BrokerError('REBALANCE_IN_PROGRESS', `group ${groupId} rebalances`);
  }

  /** Throws when it is over. While the group forms its next generation this one's members still hold what they have. */
  checkTenure(groupId: string, tenure: Tenure): void {
    this.#holderOf(this.#group(groupId), tenure);
  }

  /** The member has left, or its session has expired. */
  remove(groupId: string, memberId: string): void {
    const group = this.#group(groupId);
    const member = group.members.get(memberId);
    if (!member) return;
    group.members.delete(memberId);
    member.cancelSession();
    member.waiting?.reject(new BrokerError('UNKNOWN_MEMBER_ID', `member ${memberId} is out of group ${groupId}`));
    this.#rebalance(group);
  }

  /** The topic was created or deleted: who subscribes to it needs another assignment. */
  topicChanged(topic: string): void {
    for (const group of this.#groups.values()) {
      if ([...group.members.values()].some((member) => member.request.topics.includes(topic))) this.#rebalance(group);
    }
  }

  /** Of a new process with the instance id of one that is in the group: that one, which is out from here on. */
  #predecessorOf(group: Group, { memberId, instanceId, rejoins }: JoinRequest): Member | undefined {
    const holder = instanceOf(group, instanceId);
    if (!holder || holder.id === memberId) return undefined;
    if (rejoins) throw fenced(group, memberId);
    group.members.delete(holder.id);
    holder.cancelSession();
    holder.waiting?.reject(fenced(group, holder.id));
    return holder;
  }

  #holderOf(group: Group, { generation, memberId, instanceId }: Tenure): Member {
    const holder = instanceOf(group, instanceId);
    if (holder && holder.id !== memberId) throw fenced(group, memberId);
    const member = group.members.get(memberId);
    if (!member) throw new BrokerError('UNKNOWN_MEMBER_ID', `group ${group.id} has no member ${memberId}`);
    if (generation !== group.generation) {
      throw new BrokerError('ILLEGAL_GENERATION', `group ${group.id} is at ${group.generation}, not ${generation}`);
    }
    return member;
  }

  #group(id: string): Group {
    let group = this.#groups.get(id);
    if (!group) {
      group = { id, generation: 0, members: new Map(), cancelRebalance: null };
      this.#groups.set(id, group);
    }
    return group;
  }

  #rebalance(group: Group): void {
    const members = [...group.members.values()];
    if (members.every((member) => member.waiting)) {
      this.#settle(group);
    } else if (!group.cancelRebalance) {
      const timeoutMs = Math.max(...members.map((member) => member.request.rebalanceTimeoutMs));
      group.cancelRebalance = this.#clock.setTimer(() => this.#dropLaggards(group), timeoutMs, true);
    }
  }

  #dropLaggards(group: Group): void {
    for (const member of [...group.members.values()]) {
      if (member.waiting) continue;
      member.cancelSession();
      group.members.delete(member.id);
    }
    this.#settle(group);
  }

  #settle(group: Group): void {
    group.cancelRebalance?.();
    group.cancelRebalance = null;
    if (group.members.size === 0) return;
    group.generation++;
    const members = [...group.members.values()];
    const assigned = assign(
      members.map((member) => ({ id: member.id, topics: member.request.topics, owned: member.owned })),
      this.#partitionCounts(members),
    );
    for (const member of members) {
      member.owned = assigned.get(member.id)!;
      this.#startSession(group, member);
      member.waiting!.resolve({ generation: group.generation, partitions: member.owned });
      member.waiting = null;
    }
  }

  #partitionCounts(members: readonly Member[]): Map<string, number> {
    const counts = new Map<string, number>();
    for (const name of members.flatMap((member) => member.request.topics)) {
      const topic = this.#topics.find(name);
      if (topic) counts.set(name, topic.partitions.length);
    }
    return counts;
  }

  #startSession(group: Group, member: Member): void {
    member.cancelSession();
    member.cancelSession = this.#clock.setTimer(
      () => this.remove(group.id, member.id),
      member.request.sessionTimeoutMs,
      true,
    );
  }
}

const instanceOf = (group: Group, instanceId: string | null): Member | undefined =>
  instanceId === null
    ? undefined
    : [...group.members.values()].find(({ request }) => request.instanceId === instanceId);

const fenced = (group: Group, memberId: string) =>
  new BrokerError('FENCED_INSTANCE_ID', `another process has the place of ${memberId} in group ${group.id}`);
