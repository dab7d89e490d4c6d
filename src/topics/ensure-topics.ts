/** Sees to it that the topics of an installation are there, and that Weir can work with them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WeirError } from '../errors.ts';
import type { Admin, TopicDescription } from '../kafka/port.ts';
import { bySignal, type Signal } from '../signals.ts';
import { planTopics, type TopicPlanOptions, type TopicPurpose, type WeirTopic } from './topic-plan.ts';
import { topicProblems } from './topic-problems.ts';
import { maxMessageBytesOf } from './topic-settings.ts';

/** What the roles need to know of the topics that there are. */
export interface TopicFacts {
  /** Names of the topics that were created. */
  readonly created: readonly string[];
  readonly ingest: Readonly<Record<Signal, { topic: string; partitions: number; maxMessageBytes: number }>>;
  /** Least `max.message.bytes` of the signal's shard topics; undefined for a role that has none. */
  readonly shardMaxMessageBytes: Readonly<Record<Signal, number | undefined>>;
  /** undefined for a role that writes none. */
  readonly deadLetterMaxMessageBytes: number | undefined;
  /** For the log. */
  readonly notes: readonly string[];
}

/** The topics that each role uses: it needs no access to others. */
const PURPOSES = {
  bridge: ['ingest', 'load'],
  process: ['ingest', 'shard', 'control', 'snapshots', 'load', 'dead_letter'],
  control: ['ingest', 'shard', 'control', 'snapshots', 'requests', 'load', 'decisions'],
  all: ['ingest', 'shard', 'control', 'snapshots', 'requests', 'load', 'decisions', 'dead_letter'],
} as const satisfies Record<string, readonly TopicPurpose[]>;

export interface EnsureTopicsOptions extends Omit<TopicPlanOptions, 'brokers'> {
  readonly role?: keyof typeof PURPOSES;
  /** Whether missing topics may be created. Absent: as `topics.create` says. */
  readonly create?: boolean;
  /** How long new topics may take to appear in the brokers' metadata. */
  readonly visibleTimeoutMs?: number;
}

/**
 * Creates the topics that are missing and checks those that there are. Throws TOPIC_MISSING where topics are missing and may not be created, and TOPIC_MISMATCH,
 * with all problems at once, where Weir would lose data or stand still with a topic as it is.
 */
export async function ensureTopics(admin: Admin, options: EnsureTopicsOptions): Promise<TopicFacts> {
  const { config, names, role = 'all', create = config.topics.create, visibleTimeoutMs = 15_000 } = options;
  const { brokers } = await admin.cluster();
  const plan = planTopics({ ...options, brokers });
  const purposes: readonly TopicPurpose[] = PURPOSES[role];
  const wanted = plan.topics.filter(({ purpose }) => purposes.includes(purpose));

  let found = await admin.describeTopics(wanted.map(({ name }) => name));
  let created: readonly string[] = [];
  if (found.length < wanted.length) {
    const missing = wanted.filter(({ name }) => !found.some((topic) => topic.name === name));
    if (!create) throw missingTopics(missing.map(({ name }) => name));
    created = await admin.createTopics(missing);
    found = await describeUntilVisible(admin, wanted, visibleTimeoutMs);
  }

  const topics = new Map(found.map((topic) => [topic.name, topic]));
  const problems = topicProblems(wanted, topics);
  if (problems.length > 0) throw new WeirError('TOPIC_MISMATCH', problems.join('\n  '));
  const maxMessageBytes = (name: string) => maxMessageBytesOf(topics.get(name));
  return {
    created,
    ingest: bySignal((signal) => {
      const topic = names.ingest(signal);
      return { topic, partitions: topics.get(topic)?.partitions ?? 0, maxMessageBytes: maxMessageBytes(topic) };
    }),
    shardMaxMessageBytes: bySignal((signal) => {
      const shards = wanted.filter((topic) => topic.purpose === 'shard' && topic.signal === signal);
      return shards.length === 0 ? undefined : Math.min(...shards.map(({ name }) => maxMessageBytes(name)));
    }),
    deadLetterMaxMessageBytes: topics.has(names.deadLetter) ? maxMessageBytes(names.deadLetter) : undefined,
    notes: plan.notes,
  };
}

/** It takes a moment until every broker knows a new topic. */
async function describeUntilVisible(
  admin: Admin,
  wanted: readonly WeirTopic[],
  timeoutMs: number,
): Promise<readonly TopicDescription[]> {
  const deadline = Date.now() + timeoutMs;
  for (let waitMs = 20; ; waitMs = Math.min(waitMs * 2, 500)) {
    const found = await admin.describeTopics(wanted.map(({ name }) => name));
    if (found.length >= wanted.length) return found;
    if (Date.now() > deadline) {
      const missing = wanted.filter(({ name }) => !found.some((topic) => topic.name === name));
      throw missingTopics(missing.map(({ name }) => name));
    }
    await sleep(waitMs);
  }
}

function missingTopics(names: readonly string[]): WeirError {
  const shown = names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
  return new WeirError(
    'TOPIC_MISSING',
    `topics are missing: ${shown}; create them with \`weir topics --create\`, or by hand with what \`weir topics --print\` shows`,
  );
}
