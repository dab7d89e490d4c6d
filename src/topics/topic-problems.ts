/** What Weir cannot work with: topics with which it would lose data or stand still. */
import type { TopicDescription } from '../kafka/port.ts';
import { ITEM_NAMES } from '../signals.ts';
import type { TopicPurpose, WeirTopic } from './topic-plan.ts';
import { DEAD_LETTER_HEADROOM_BYTES, MiB, maxMessageBytesOf, numberOf, settingOf } from './topic-settings.ts';

interface CheckedTopic extends Pick<WeirTopic, 'name' | 'signal'> {
  readonly topic: TopicDescription;
  readonly maxMessageBytes: number;
  /** Largest record that may come in on an ingest topic. */
  readonly ingestBytes: number;
}

/** The problem as a sentence; null: none. */
type Check = (of: CheckedTopic) => string | null;

const CHECKS: Readonly<Partial<Record<TopicPurpose, readonly Check[]>>> = {
  ingest: [mustTakeRecordsWithoutKey],
  shard: [mustBeOneShardPartition, mustTakeRecordsWithoutKey, mustHoldShardRecords],
  control: [mustBeOneLogPartition, mustBeKept],
  dead_letter: [mustTakeRecordsWithoutKey, mustHoldDeadLetters],
};

/** Of all wanted topics that there are. */
export function topicProblems(
  wanted: readonly WeirTopic[],
  topics: ReadonlyMap<string, TopicDescription>,
): readonly string[] {
  const ingest = wanted.filter(({ purpose }) => purpose === 'ingest');
  const ingestBytes = Math.max(0, ...ingest.map(({ name }) => maxMessageBytesOf(topics.get(name))));
  return wanted.flatMap(({ name, purpose, signal }) => {
    const topic = topics.get(name);
    if (!topic) return [];
    const checked = { name, signal, topic, maxMessageBytes: maxMessageBytesOf(topic), ingestBytes };
    return (CHECKS[purpose] ?? []).flatMap((check) => check(checked) ?? []);
  });
}

function mustBeOneLogPartition({ name, topic }: CheckedTopic): string | null {
  return topic.partitions === 1 ? null : notOnePartition(name, topic, 'its order is the order of events');
}

function mustBeOneShardPartition({ name, topic }: CheckedTopic): string | null {
  return topic.partitions === 1 ? null : notOnePartition(name, topic, 'a shard is one partition');
}

function notOnePartition(name: string, { partitions }: TopicDescription, why: string): string {
  return `${name} has ${partitions} partitions and must have one, as ${why}; delete it if it holds nothing yet, or choose another --prefix`;
}

function mustBeKept({ name, topic }: CheckedTopic): string | null {
  const limits = ['retention.ms', 'retention.bytes'].filter((setting) => numberOf(topic, setting) >= 0);
  if (settingOf(topic, 'cleanup.policy') === 'delete' && limits.length === 0) return null;
  const shown = ['cleanup.policy', ...limits].map((setting) => `${setting}=${settingOf(topic, setting)}`).join(', ');
  const alter = alterCommand(name, 'cleanup.policy=delete,retention.ms=-1,retention.bytes=-1');
  return `${name} is not kept for ever (${shown}), and it is the single source of truth; set it with ${alter}`;
}

/** Weir's records have no key, and a compacted topic refuses those. */
function mustTakeRecordsWithoutKey({ name, topic, signal }: CheckedTopic): string | null {
  const policy = settingOf(topic, 'cleanup.policy');
  if (!policy.includes('compact')) return null;
  const what = signal ? ITEM_NAMES[signal] : 'records';
  const alter = alterCommand(name, 'cleanup.policy=delete');
  return `${name} is compacted (cleanup.policy=${policy}) and would refuse ${what}, which have no key; set it with ${alter}`;
}

function mustHoldShardRecords({ name, maxMessageBytes }: CheckedTopic): string | null {
  if (maxMessageBytes >= DEAD_LETTER_HEADROOM_BYTES) return null;
  const alter = alterCommand(name, `max.message.bytes=${8 * MiB}`);
  return `${name} has max.message.bytes=${maxMessageBytes}, and a shard needs at least ${DEAD_LETTER_HEADROOM_BYTES}; set it with ${alter}`;
}

function mustHoldDeadLetters({ name, maxMessageBytes, ingestBytes }: CheckedTopic): string | null {
  const needed = ingestBytes + DEAD_LETTER_HEADROOM_BYTES;
  if (maxMessageBytes >= needed) return null;
  const alter = alterCommand(name, `max.message.bytes=${needed}`);
  return `${name} has max.message.bytes=${maxMessageBytes}, but a record of ${ingestBytes} bytes may come in and grows by its headers: it could never be put away and would come back for ever; set it with ${alter}`;
}

function alterCommand(name: string, setting: string): string {
  return `kafka-configs.sh --alter --entity-type topics --entity-name ${name} --add-config ${setting}`;
}
