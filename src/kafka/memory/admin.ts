import { WeirError } from '../../errors.ts';
import type { Admin, CommittedOffset, PartitionOffsets, TopicDescription, TopicPartition, TopicSpec } from '../port.ts';
import { BrokerError } from './broker-errors.ts';
import { type Client, retried } from './client.ts';

export const DESCRIPTION = 'an in-process log (not Kafka: data lives in this process)';

export class MemoryAdmin implements Admin {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  cluster(): Promise<{ brokers: number; description: string }> {
    return retried(this.#client, 'Metadata', 'Describing the cluster', () => ({
      brokers: 1,
      description: DESCRIPTION,
    }));
  }

  async createTopics(specs: readonly TopicSpec[]): Promise<readonly string[]> {
    const { topics, groups } = this.#client.broker;
    const created: string[] = [];
    for (const { name, partitions, config } of specs) {
      await retried(this.#client, 'CreateTopics', `Creating topic ${name}`, () => {
        if (!topics.create(name, partitions, config)) return;
        // Noted here and not from the reply, which may be lost: the next attempt then finds the topic there.
        created.push(name);
        groups.topicChanged(name);
      });
    }
    return created;
  }

  async deleteTopics(names: readonly string[]): Promise<void> {
    const { topics, groups, offsets } = this.#client.broker;
    for (const name of names) {
      await retried(this.#client, 'DeleteTopics', `Deleting topic ${name}`, () => {
        topics.delete(name);
        offsets.topicDeleted(name);
        groups.topicChanged(name);
      });
    }
  }

  listTopics(): Promise<readonly string[]> {
    return retried(this.#client, 'Metadata', 'Listing topics', () => this.#client.broker.topics.names());
  }

  describeTopics(names: readonly string[]): Promise<readonly TopicDescription[]> {
    const { topics } = this.#client.broker;
    return retried(this.#client, 'Metadata', 'Describing topics', () =>
      names.flatMap((name) => {
        const topic = topics.find(name);
        return topic ? [{ name, partitions: topic.partitions.length, config: topic.config.all }] : [];
      }),
    );
  }

  committedOffsets(groupId: string, topic: string): Promise<readonly CommittedOffset[]> {
    return retried(this.#client, 'OffsetFetch', `Reading the offsets of group ${groupId}`, () =>
      this.#partitions(topic).map((_, partition) => this.#committed(groupId, topic, partition)),
    );
  }

  committedOffset(groupId: string, { topic, partition }: TopicPartition): Promise<CommittedOffset> {
    return retried(this.#client, 'OffsetFetch', `Reading the offsets of group ${groupId}`, () => {
      if (this.#client.broker.offsets.isPending(groupId, topic, partition)) {
        throw new BrokerError('UNSTABLE_OFFSET_COMMIT', `${topic}/${partition} has an offset in an open transaction`);
      }
      return this.#committed(groupId, topic, partition);
    });
  }

  offsets(topic: string): Promise<readonly PartitionOffsets[]> {
    return retried(this.#client, 'ListOffsets', `Reading the offsets of topic ${topic}`, () =>
      this.#partitions(topic).map((log, partition) => ({
        partition,
        earliest: BigInt(log.earliest),
        latest: BigInt(log.lastStable),
      })),
    );
  }

  lag(groupId: string, topic: string, partitions?: readonly number[]): Promise<ReadonlyMap<number, bigint>> {
    const { offsets } = this.#client.broker;
    return retried(
      this.#client,
      'ListOffsets',
      `Reading the lag of group ${groupId}`,
      () =>
        new Map(
          this.#partitions(topic).flatMap((log, partition) => {
            if (partitions && !partitions.includes(partition)) return [];
            const from = offsets.find(groupId, topic, partition)?.offset ?? log.earliest;
            return [[partition, BigInt(log.countCommitted(from))]];
          }),
        ),
    );
  }

  #committed(groupId: string, topic: string, partition: number): CommittedOffset {
    const stored = this.#client.broker.offsets.find(groupId, topic, partition);
    return { partition, offset: stored ? BigInt(stored.offset) : null, metadata: stored?.metadata ?? '' };
  }

  #partitions(topic: string) {
    const found = this.#client.broker.topics.find(topic);
    if (!found) {
      throw new WeirError(
        'TOPIC_MISSING',
        `Cannot read the offsets of topic ${topic}: it does not exist. Create it first.`,
      );
    }
    return found.partitions;
  }
}
