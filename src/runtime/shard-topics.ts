/** Topics of new shards: there before the ring epoch that sends data to them is proposed. */
import type { Config } from '../config.ts';
import type { RingEpoch, ShardState } from '../coordination/ring-epoch.ts';
import { WeirError } from '../errors.ts';
import type { KafkaPort, TopicSpec } from '../kafka/port.ts';
import type { Signal } from '../signals.ts';
import { topicCommands } from '../topics/topic-commands.ts';

/** What a shard topic takes over from the signal's others: processors cut shard records to the least limit that they found at their start. */
const TAKEN_OVER = [
  'max.message.bytes',
  'retention.ms',
  'retention.bytes',
  'segment.bytes',
  'min.insync.replicas',
  'compression.type',
];

/**
 * Does nothing for topics that are there: a leader that died before it could propose has left them. Throws TOPIC_MISSING where `topics.create`
 * forbids it, and what the brokers say.
 */
export async function createShardTopics(
  { admin }: Pick<KafkaPort, 'admin'>,
  config: Pick<Config, 'topics' | 'kafka'>,
  ring: RingEpoch,
  signal: Signal,
  added: readonly ShardState[],
): Promise<void> {
  const [sibling] = await admin.describeTopics([ring.signals[signal].shards[0]!.topic]);
  const settings = Object.entries(sibling?.config ?? {}).filter(([name]) => TAKEN_OVER.includes(name));
  const { brokers } = await admin.cluster();
  const replicas = config.topics.replicas ?? Math.min(3, brokers);
  const wanted = added.map(
    ({ topic }): TopicSpec => ({ name: topic, partitions: 1, replicas, config: Object.fromEntries(settings) }),
  );
  if (config.topics.create) {
    await admin.createTopics(wanted);
    return;
  }
  const there = new Set((await admin.describeTopics(wanted.map((topic) => topic.name))).map((topic) => topic.name));
  const missing = wanted.filter((topic) => !there.has(topic.name));
  if (missing.length > 0)
    throw new WeirError(
      'TOPIC_MISSING',
      `a new shard needs a topic, and topics.create is false. Create it and ask again:\n${topicCommands(missing, config.kafka.brokers)}`,
    );
}
