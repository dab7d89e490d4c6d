import { pause } from '../../abortable.ts';
import type { Admin, CommittedOffset, PartitionOffsets, TopicDescription, TopicPartition, TopicSpec } from '../port.ts';
import { askCoordinator, type ClusterView, checkCoordinator } from './cluster.ts';
import { requestOf } from './internals.ts';
import type { Links } from './links.ts';
import { type FetchedOffset, offsetFetchRequest } from './offset-fetch-request.ts';
import { listOffsets } from './offsets.ts';
import {
  BrokerError,
  ConnectionFault,
  check,
  denied,
  ErrorCode,
  faultOf,
  isPassing,
  missingTopic,
} from './outcomes.ts';
import { RecordCounter } from './record-counter.ts';
import { retry } from './retry.ts';

const TOPIC_RESOURCE = 2;
const STEP_MS = 20;
const MAX_STEP_MS = 250;
/**
 * EndTxn is answered before the group coordinator has seen the transaction's end: for this long the offsets of one that is
 * just ending are waited for. Those of one that stays open longer are pending, and not shown.
 */
const ENDING_TRANSACTION_MS = 200;

export interface AdminParts {
  readonly cluster: ClusterView;
  readonly links: Links;
  readonly description: string;
  readonly requestTimeoutMs: number;
}

export class KafkaAdmin implements Admin {
  readonly #parts: AdminParts;
  readonly #counter: RecordCounter;

  constructor(parts: AdminParts) {
    this.#parts = parts;
    this.#counter = new RecordCounter(parts);
  }

  async cluster(): Promise<{ brokers: number; description: string }> {
    return this.#retrying('to describe the cluster', async () => {
      await this.#parts.cluster.lookUp([]);
      return { brokers: this.#parts.cluster.brokerCount, description: this.#parts.description };
    });
  }

  async createTopics(topics: readonly TopicSpec[]): Promise<readonly string[]> {
    if (topics.length === 0) return [];
    const names = topics.map(({ name }) => name);
    const created = new Set<string>();
    await this.#retrying('to create topics', async () => {
      const existing = await this.#parts.cluster.allTopics();
      const missing = topics.filter(({ name }) => !existing.has(name) && !created.has(name));
      if (missing.length > 0) await this.#create(missing, created);
    });
    // A broker answers before every other one, itself included, knows of them.
    await this.#until('topics get their leaders', async () => {
      const views = await this.#parts.cluster.lookUp(names);
      return names.every((name) => views.get(name)?.leaders.every((leader) => leader !== null));
    });
    return names.filter((name) => created.has(name));
  }

  async #create(topics: readonly TopicSpec[], created: Set<string>): Promise<void> {
    const link = await this.#parts.cluster.anyLink();
    const answer = await link.request(
      requestOf('CreateTopics', {
        topics: topics.map(({ name, partitions, replicas, config }) => ({
          topic: name,
          numPartitions: partitions,
          replicationFactor: replicas ?? -1,
          configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
        })),
        validateOnly: false,
        timeout: this.#parts.requestTimeoutMs,
      }),
      this.#parts.requestTimeoutMs * 2,
    );
    let refusal: BrokerError | undefined;
    for (const { topic, errorCode, errorMessage } of answer.topicErrors) {
      if (errorCode === ErrorCode.none) created.add(topic);
      else if (errorCode !== ErrorCode.topicAlreadyExists) {
        refusal ??= new BrokerError('CreateTopics', errorCode, `topic ${topic}`, errorMessage);
      }
    }
    if (refusal) throw refusal;
  }

  async deleteTopics(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.#retrying('to delete topics', async () => {
      const link = await this.#parts.cluster.anyLink();
      const answer = await link.request(
        requestOf('DeleteTopics', { topics: names, timeout: this.#parts.requestTimeoutMs }),
        this.#parts.requestTimeoutMs * 2,
      );
      for (const { topic, errorCode } of answer.topicErrors) {
        if (errorCode !== ErrorCode.unknownTopicOrPartition) check('DeleteTopics', errorCode, `topic ${topic}`);
      }
    });
    await this.#until('topics are gone', async () => (await this.#parts.cluster.lookUp(names)).size === 0);
  }

  async listTopics(): Promise<readonly string[]> {
    const views = await this.#retrying('to list topics', () => this.#parts.cluster.allTopics());
    return [...views].flatMap(([name, view]) => (view.internal ? [] : [name])).sort();
  }

  async describeTopics(names: readonly string[]): Promise<readonly TopicDescription[]> {
    if (names.length === 0) return [];
    return this.#retrying('to describe topics', async () => {
      const views = await this.#parts.cluster.lookUp(names);
      const existing = names.filter((name) => views.has(name));
      if (existing.length === 0) return [];
      const link = await this.#parts.cluster.anyLink();
      const answer = await link.request(
        requestOf('DescribeConfigs', {
          // kafkajs sends an empty list as null, which asks for every entry.
          resources: existing.map((name) => ({ type: TOPIC_RESOURCE, name, configNames: [] })),
          includeSynonyms: false,
        }),
      );
      const configs = new Map<string, Record<string, string>>();
      for (const { resourceName, errorCode, errorMessage, configEntries } of answer.resources) {
        if (errorCode === ErrorCode.unknownTopicOrPartition) continue;
        if (errorCode !== ErrorCode.none) {
          throw new BrokerError('DescribeConfigs', errorCode, `topic ${resourceName}`, errorMessage);
        }
        const entries = configEntries.map(({ configName, configValue }) => [configName, configValue ?? '']);
        configs.set(resourceName, Object.fromEntries(entries));
      }
      return existing.flatMap((name) => {
        const config = configs.get(name);
        return config ? [{ name, partitions: views.get(name)!.leaders.length, config }] : [];
      });
    });
  }

  async committedOffsets(groupId: string, topic: string, of?: readonly number[]): Promise<readonly CommittedOffset[]> {
    return this.#retrying(`to read the offsets of group ${groupId}`, async () => {
      const partitions = of ?? (await this.#partitionsOf(topic));
      const stable = new Map<number, FetchedOffset>();
      const until = performance.now() + ENDING_TRANSACTION_MS;
      for (let missing = partitions; missing.length > 0; ) {
        const requireStable = performance.now() < until;
        for (const fetched of await this.#fetchOffsets(groupId, topic, missing, requireStable)) {
          if (fetched.errorCode === ErrorCode.unstableOffsetCommit) continue;
          check('OffsetFetch', fetched.errorCode, `group ${groupId}, ${topic}/${fetched.partition}`);
          stable.set(fetched.partition, fetched);
        }
        missing = partitions.filter((partition) => !stable.has(partition));
        if (missing.length > 0) await pause(STEP_MS);
      }
      return partitions.map((partition) => committedOf(stable.get(partition)!));
    });
  }

  /**
   * Only with require_stable: after the group coordinator has moved, an answer without it may show the offset as it was
   * before the last commits, until the followers have caught up.
   */
  async committedOffset(groupId: string, { topic, partition }: TopicPartition): Promise<CommittedOffset> {
    return this.#retrying(`to read the offsets of group ${groupId}`, async () => {
      const [fetched] = await this.#fetchOffsets(groupId, topic, [partition], true);
      if (!fetched) throw new ConnectionFault(`no answer for ${topic}/${partition}`, { sent: true });
      check('OffsetFetch', fetched.errorCode, `group ${groupId}, ${topic}/${partition}`);
      return committedOf(fetched);
    });
  }

  async offsets(topic: string, of?: readonly number[]): Promise<readonly PartitionOffsets[]> {
    return this.#retrying(`to read the offsets of topic ${topic}`, async () => {
      const partitions = of ?? (await this.#partitionsOf(topic));
      const { cluster, links } = this.#parts;
      const [earliest, latest] = await Promise.all([
        listOffsets(cluster, links, topic, partitions, 'earliest', 'read_committed'),
        listOffsets(cluster, links, topic, partitions, 'latest', 'read_committed'),
      ]);
      return partitions.map((partition) => ({
        partition,
        earliest: earliest.get(partition)!,
        latest: latest.get(partition)!,
      }));
    });
  }

  /** Exact where few offsets are left; else every offset counts, markers included. */
  async lag(groupId: string, topic: string, of?: readonly number[]): Promise<ReadonlyMap<number, bigint>> {
    const [committed, offsets] = await Promise.all([
      this.committedOffsets(groupId, topic, of),
      this.offsets(topic, of),
    ]);
    const positions = new Map(committed.map(({ partition, offset }) => [partition, offset]));
    const lags = new Map<number, bigint>();
    // One after the other: a processor measures it every few seconds, beside its work, and what is read takes memory.
    for (const { partition, earliest, latest } of offsets) {
      const position = positions.get(partition) ?? earliest;
      const from = position < earliest ? earliest : position;
      const counted = this.#retrying(`to read topic ${topic}`, () =>
        this.#counter.count({ topic, partition }, from, latest),
      );
      lags.set(partition, await counted);
    }
    return lags;
  }

  async #partitionsOf(topic: string): Promise<number[]> {
    const view = (await this.#parts.cluster.lookUp([topic])).get(topic);
    if (!view) throw missingTopic(topic);
    return view.leaders.map((_, partition) => partition);
  }

  async #fetchOffsets(
    groupId: string,
    topic: string,
    partitions: readonly number[],
    requireStable: boolean,
  ): Promise<readonly FetchedOffset[]> {
    const request = offsetFetchRequest({ groupId, topic, partitions, requireStable });
    const answer = await askCoordinator(this.#parts, 'group', groupId, request);
    checkCoordinator(this.#parts.cluster, 'group', groupId, 'OffsetFetch', answer.errorCode);
    return answer.offsets;
  }

  async #until(what: string, done: () => Promise<boolean | undefined>): Promise<void> {
    await this.#retrying(`to wait until ${what}`, async () => {
      if (!(await done())) throw new ConnectionFault(`waiting until ${what}`, { sent: false });
    });
  }

  /** All requests here may be asked twice. */
  async #retrying<T>(doing: string, work: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#parts.requestTimeoutMs;
    try {
      return await retry(work, { deadline, firstStepMs: STEP_MS, maxStepMs: MAX_STEP_MS, again: isPassing });
    } catch (error) {
      throw faultOf(error) === 'denied' ? denied(doing, error) : error;
    }
  }
}

const committedOf = ({ partition, offset, metadata }: FetchedOffset): CommittedOffset => ({
  partition,
  offset: offset < 0n ? null : offset,
  // The librdkafka driver's binding writes a NUL behind it.
  metadata: metadata.endsWith('\0') ? metadata.slice(0, -1) : metadata,
});
