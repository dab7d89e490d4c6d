/**
 * Who leads which partition and who coordinates which group or transactional id, as far as is known; looked up when
 * needed and forgotten when a broker says that it has moved. The connections are the caller's.
 */
import { type Protocol, requestOf } from './internals.ts';
import type { BrokerAddress, Link } from './link.ts';
import type { Links } from './links.ts';
import { BrokerError, ConnectionFault, check, ErrorCode } from './outcomes.ts';

export interface TopicView {
  readonly internal: boolean;
  /** By partition; null while it has no leader. */
  readonly leaders: ReadonlyArray<BrokerAddress | null>;
}

const COORDINATOR_TYPES = { group: 0, transaction: 1 } as const;
export type CoordinatorKind = keyof typeof COORDINATOR_TYPES;

export class ClusterView {
  readonly #links: Links;
  readonly #seeds: readonly BrokerAddress[];
  #brokers: readonly BrokerAddress[] = [];
  readonly #topics = new Map<string, TopicView>();
  readonly #coordinators = new Map<string, Promise<BrokerAddress>>();
  #wanted = new Set<string>();
  #refresh: Promise<ReadonlyMap<string, BrokerError>> | undefined;

  /** `links` carry the look-ups. */
  constructor(links: Links, seeds: readonly BrokerAddress[]) {
    this.#links = links;
    this.#seeds = seeds;
  }

  get brokerCount(): number {
    return this.#brokers.length;
  }

  /** A connection to whichever broker answers: the known ones first, then the configured ones. */
  async anyLink(): Promise<Link> {
    let last: Error = new ConnectionFault('no broker is known', { sent: false });
    for (const address of [...this.#brokers, ...this.#seeds]) {
      try {
        return await this.#links.to(address);
      } catch (error) {
        if (!(error instanceof ConnectionFault)) throw error;
        last = error;
      }
    }
    throw last;
  }

  /** Asks anew. Topics that do not exist are left out; throws BrokerError when one may not be seen. */
  async lookUp(topics: readonly string[]): Promise<ReadonlyMap<string, TopicView>> {
    for (const topic of topics) this.#topics.delete(topic);
    // kafkajs sends an empty list as null, which means all topics.
    const { views, refusals } = await this.#metadata(topics.length > 0 ? topics : ['']);
    for (const refusal of refusals.values()) throw refusal;
    return views;
  }

  async allTopics(): Promise<ReadonlyMap<string, TopicView>> {
    return (await this.#metadata([])).views;
  }

  /** From memory, else asked; callers that come together share the question. Null: unknown or without a leader. */
  async leaderOf(topic: string, partition: number): Promise<BrokerAddress | null> {
    const known = this.#topics.get(topic)?.leaders[partition];
    if (known) return known;
    this.#wanted.add(topic);
    this.#refresh ??= Promise.resolve().then(async () => {
      const topics = [...this.#wanted];
      this.#wanted = new Set();
      this.#refresh = undefined;
      return (await this.#metadata(topics)).refusals;
    });
    const refusal = (await this.#refresh).get(topic);
    if (refusal) throw refusal;
    return this.#topics.get(topic)?.leaders[partition] ?? null;
  }

  /** `leaderOf`, or throws ConnectionFault: worth another try, as every partition gets a leader sooner or later. */
  async requireLeader(topic: string, partition: number): Promise<BrokerAddress> {
    const leader = await this.leaderOf(topic, partition);
    if (leader) return leader;
    throw new ConnectionFault(`${topic}/${partition} does not exist or has no leader`, { sent: false });
  }

  /** Whether the last answer had this partition, with a leader or without. */
  knows(topic: string, partition: number): boolean {
    return partition < (this.#topics.get(topic)?.leaders.length ?? 0);
  }

  forgetLeader(topic: string): void {
    this.#topics.delete(topic);
  }

  /** A broker that does not answer may have lost its partitions to others. */
  forgetLeaderships(of: BrokerAddress): void {
    for (const [topic, view] of this.#topics) {
      if (view.leaders.some((leader) => leader && same(leader, of))) this.#topics.delete(topic);
    }
  }

  async coordinatorOf(kind: CoordinatorKind, key: string): Promise<BrokerAddress> {
    const id = `${kind} ${key}`;
    const known = this.#coordinators.get(id);
    if (known) return known;
    const asking = this.#findCoordinator(kind, key);
    this.#coordinators.set(id, asking);
    try {
      return await asking;
    } catch (error) {
      this.forgetCoordinator(kind, key);
      throw error;
    }
  }

  forgetCoordinator(kind: CoordinatorKind, key: string): void {
    this.#coordinators.delete(`${kind} ${key}`);
  }

  async #findCoordinator(kind: CoordinatorKind, key: string): Promise<BrokerAddress> {
    const link = await this.anyLink();
    const found = await link.request(
      requestOf('GroupCoordinator', { groupId: key, coordinatorType: COORDINATOR_TYPES[kind] }),
    );
    check('FindCoordinator', found.errorCode, `${kind === 'group' ? 'group' : 'transactional id'} ${key}`);
    return { host: found.coordinator.host, port: found.coordinator.port };
  }

  async #metadata(topics: readonly string[]): Promise<{
    views: Map<string, TopicView>;
    /** Of topics that this principal may not see, or that cannot be. */
    refusals: Map<string, BrokerError>;
  }> {
    const link = await this.anyLink();
    const answer = await link.request(requestOf('Metadata', { topics, allowAutoTopicCreation: false }));
    const addresses = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]));
    if (addresses.size > 0) this.#brokers = [...addresses.values()];
    const views = new Map<string, TopicView>();
    const refusals = new Map<string, BrokerError>();
    for (const { topic, topicErrorCode, isInternal, partitionMetadata } of answer.topicMetadata) {
      if (topic === '') continue;
      if (topicErrorCode !== ErrorCode.none) {
        const error = new BrokerError('Metadata', topicErrorCode, `topic ${topic}`);
        if (error.fault !== 'moved') refusals.set(topic, error);
        continue;
      }
      const leaders: Array<BrokerAddress | null> = new Array(partitionMetadata.length).fill(null);
      for (const { partitionId, leader } of partitionMetadata) leaders[partitionId] = addresses.get(leader) ?? null;
      const view = { internal: isInternal, leaders };
      views.set(topic, view);
      this.#topics.set(topic, view);
    }
    return { views, refusals };
  }

  /** For a caller that must not wait: null when it has to be asked. */
  knownLeader(topic: string, partition: number): BrokerAddress | null {
    return this.#topics.get(topic)?.leaders[partition] ?? null;
  }
}

const same = (a: BrokerAddress, b: BrokerAddress) => a.host === b.host && a.port === b.port;

/** Asks the coordinator. One that does not answer may have handed over, so it is looked up anew next time. */
export async function askCoordinator<D>(
  parts: { cluster: ClusterView; links: Links },
  kind: CoordinatorKind,
  key: string,
  protocol: Protocol<D>,
  timeoutMs?: number,
): Promise<D> {
  try {
    const link = await parts.links.to(await parts.cluster.coordinatorOf(kind, key));
    return await link.request(protocol, timeoutMs);
  } catch (error) {
    parts.cluster.forgetCoordinator(kind, key);
    throw error;
  }
}

/** Throws BrokerError for every code but 0. */
export function checkCoordinator(
  cluster: ClusterView,
  kind: CoordinatorKind,
  key: string,
  request: string,
  code: number,
): void {
  if (code === ErrorCode.none) return;
  const error = new BrokerError(request, code, `${kind === 'group' ? 'group' : 'transactional id'} ${key}`);
  if (error.fault === 'moved') cluster.forgetCoordinator(kind, key);
  throw error;
}
