/** The topics of an installation: what each must be like, how they are created, and what Weir cannot work with. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from './config.ts';
import { WeirError } from './errors.ts';
import type { Admin, TopicDescription, TopicSpec } from './kafka/port.ts';
import type { Names } from './names.ts';
import { bySignal, ITEM_NAMES, SIGNALS, type Signal } from './signals.ts';

/** Room for the headers of a dead letter: a record of exactly the ingest limit grows by them. */
export const DEAD_LETTER_HEADROOM_BYTES = 64 * 1024;

const MiB = 1024 * 1024;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** What a broker takes where a topic says nothing. */
const KAFKA_DEFAULTS: Readonly<Record<string, string>> = {
  'max.message.bytes': '1048588',
  'retention.ms': '604800000',
  'retention.bytes': '-1',
  'cleanup.policy': 'delete',
};

/** What a topic is for. */
export type TopicPurpose =
  | 'ingest'
  | 'shard'
  | 'control'
  | 'snapshots'
  | 'requests'
  | 'load'
  | 'decisions'
  | 'dead_letter';

export interface WeirTopic extends TopicSpec {
  readonly purpose: TopicPurpose;
  /** Of ingest and shard topics. */
  readonly signal?: Signal;
}

export interface TopicPlan {
  readonly topics: readonly WeirTopic[];
  /** What differs from the settings, and why: for the log. */
  readonly notes: readonly string[];
}

/** What a plan needs of a ring epoch (src/coordination/ring-epoch.ts). */
export interface RingTopics {
  readonly signals: Readonly<Record<Signal, { readonly shards: readonly { readonly topic: string }[] }>>;
}

export interface TopicPlanOptions {
  readonly config: Config;
  readonly names: Names;
  /** Number of brokers. */
  readonly brokers: number;
  /** Shard topics as the ring has them. Absent: as the settings have them. */
  readonly ring?: RingTopics;
  /** On the embedded broker: all data together stays below 2 GB. */
  readonly embedded?: boolean;
}

/** All topics, as they should be created. */
export function planTopics({ config, names, brokers, ring, embedded = false }: TopicPlanOptions): TopicPlan {
  const replicas = config.topics.replicas ?? Math.min(3, brokers);
  // acks=all means little when one replica may answer for all.
  const durable = replicas >= 3 ? { 'min.insync.replicas': '2' } : undefined;
  const shards = shardTopics(config, names, ring);
  const space = embedded ? embeddedSpace(config, 3 * config.topics.ingestPartitions + shards.length) : undefined;
  const maxMessageBytes = space?.maxMessageBytes ?? config.topics.maxMessageBytes;
  const deadLetterBytes = maxMessageBytes + DEAD_LETTER_HEADROOM_BYTES;
  const retentionMs = String(Math.round(config.topics.retentionHours * HOUR_MS));

  const topic = (
    purpose: TopicPurpose,
    name: string,
    partitions: number,
    settings: Record<string, string>,
    signal?: Signal,
  ): WeirTopic => ({
    purpose,
    name,
    partitions,
    replicas,
    config: { ...settings, ...durable },
    ...(signal && { signal }),
  });

  const carried = { 'max.message.bytes': String(maxMessageBytes), 'retention.ms': retentionMs, ...space?.carried };
  const keptFor = (ms: number) => ({ 'retention.ms': String(ms), ...(embedded && EMBEDDED_INTERNAL) });
  const forEver = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' };
  const topics = [
    ...SIGNALS.map((signal) => topic('ingest', names.ingest(signal), config.topics.ingestPartitions, carried, signal)),
    ...shards.map(({ signal, name }) => topic('shard', name, 1, carried, signal)),
    // Large enough for the slot tables of all signals in one event.
    topic('control', names.control, 1, { ...forEver, 'max.message.bytes': String(8 * MiB) }),
    // Superseded snapshots shall go within the hour, not when a segment of 1 GB is full.
    topic('snapshots', names.snapshots, 1, {
      'cleanup.policy': 'compact',
      'max.message.bytes': String(16 * MiB),
      'segment.ms': String(HOUR_MS),
      'min.cleanable.dirty.ratio': '0.1',
    }),
    topic('requests', names.requests, 1, keptFor(HOUR_MS)),
    topic('load', names.load, 1, keptFor(30 * DAY_MS)),
    topic('decisions', names.decisions, 1, keptFor(30 * DAY_MS)),
    topic('dead_letter', names.deadLetter, 1, {
      'retention.ms': retentionMs,
      ...space?.deadLetter,
      'max.message.bytes': String(deadLetterBytes),
    }),
  ];
  return { topics, notes: space?.notes ?? [] };
}

function shardTopics(config: Config, names: Names, ring?: RingTopics): { signal: Signal; name: string }[] {
  return SIGNALS.flatMap((signal) =>
    ring
      ? ring.signals[signal].shards.map(({ topic }) => ({ signal, name: topic }))
      : Array.from({ length: config.routing[signal].shards }, (_, shard) => ({
          signal,
          name: names.shard(signal, shard),
        })),
  );
}

// --- the embedded broker's 2 GB

/**
 * A log holds at most retention.bytes + segment.bytes, plus what comes in between two checks of the broker. Ingest and
 * shard partitions share this; control, snapshots, requests, load, decisions, dead letters and the broker's own topics
 * get the rest of the 2 GB.
 */
const EMBEDDED_CARRIED_BYTES = 1_500_000_000;
const EMBEDDED_INTERNAL = { 'retention.bytes': String(32 * MiB), 'segment.bytes': String(8 * MiB) };
/** The broker's least segment.bytes. A record batch must fit into a segment. */
const LEAST_SEGMENT_BYTES = MiB;

interface EmbeddedSpace {
  readonly maxMessageBytes: number;
  readonly carried: Record<string, string>;
  readonly deadLetter: Record<string, string>;
  readonly notes: readonly string[];
}

function embeddedSpace(config: Config, partitions: number): EmbeddedSpace {
  const logBytes = Math.floor(EMBEDDED_CARRIED_BYTES / partitions);
  const mostMessageBytes = Math.floor(logBytes / 2);
  if (mostMessageBytes < LEAST_SEGMENT_BYTES)
    throw new WeirError(
      'CONFIG_INVALID',
      `topics.ingestPartitions and routing.*.shards make ${partitions} partitions, more than the embedded broker's 2 GB have ` +
        `room for (${Math.floor(EMBEDDED_CARRIED_BYTES / 2 / LEAST_SEGMENT_BYTES)}); lower them, or use your own Kafka with --kafka HOST:PORT`,
    );
  const maxMessageBytes = Math.min(config.topics.maxMessageBytes, mostMessageBytes);
  const segmentBytes = Math.max(maxMessageBytes, LEAST_SEGMENT_BYTES);
  const deadLetterSegmentBytes = segmentBytes + DEAD_LETTER_HEADROOM_BYTES;
  return {
    maxMessageBytes,
    carried: { 'retention.bytes': String(logBytes - segmentBytes), 'segment.bytes': String(segmentBytes) },
    deadLetter: {
      'retention.bytes': String(deadLetterSegmentBytes),
      'segment.bytes': String(deadLetterSegmentBytes),
    },
    notes:
      maxMessageBytes < config.topics.maxMessageBytes
        ? [
            `topics.maxMessageBytes is ${maxMessageBytes} instead of ${config.topics.maxMessageBytes}, so that ${partitions} ` +
              "partitions fit into the embedded broker's 2 GB",
          ]
        : [],
  };
}

// --- on a cluster

/** What the roles need to know of the topics as they are. */
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

/** Topics that each role touches, so that it needs no right on others. */
const PURPOSES = {
  bridge: ['ingest', 'load'],
  process: ['ingest', 'shard', 'control', 'snapshots', 'load', 'dead_letter'],
  control: ['ingest', 'shard', 'control', 'snapshots', 'requests', 'load', 'decisions'],
  all: ['ingest', 'shard', 'control', 'snapshots', 'requests', 'load', 'decisions', 'dead_letter'],
} as const satisfies Record<string, readonly TopicPurpose[]>;

export interface EnsureTopicsOptions extends Omit<TopicPlanOptions, 'brokers'> {
  readonly role?: keyof typeof PURPOSES;
  /** Absent: `topics.create`. */
  readonly create?: boolean;
  /** How long new topics may take to show in the brokers' metadata. */
  readonly visibleTimeoutMs?: number;
}

/**
 * Creates what is missing and checks what is there. Throws TOPIC_MISSING where nothing may be created and TOPIC_MISMATCH,
 * all mismatches at once, where a topic is such that Weir would lose data or stand still.
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
  const problems = mismatches(wanted, topics);
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

/** A new topic takes a moment until every broker knows it. */
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

function mismatches(wanted: readonly WeirTopic[], topics: ReadonlyMap<string, TopicDescription>): string[] {
  const problems: string[] = [];
  const ingestBytes = Math.max(
    0,
    ...wanted
      .filter(({ purpose }) => purpose === 'ingest')
      .map(({ name }) => numberOf(topics.get(name), 'max.message.bytes')),
  );
  for (const { name, purpose, signal } of wanted) {
    const topic = topics.get(name);
    if (!topic) continue;
    const policy = settingOf(topic, 'cleanup.policy');
    const maxMessageBytes = numberOf(topic, 'max.message.bytes');
    const alter = (setting: string) =>
      `kafka-configs.sh --alter --entity-type topics --entity-name ${name} --add-config ${setting}`;

    if (purpose === 'control') {
      if (topic.partitions !== 1)
        problems.push(
          `${name} has ${topic.partitions} partitions and must have one, as its order is the order of events; delete it if it ` +
            'holds nothing yet, or choose another --prefix',
        );
      const limits = ['retention.ms', 'retention.bytes'].filter((setting) => numberOf(topic, setting) >= 0);
      if (policy !== 'delete' || limits.length > 0) {
        const shown = ['cleanup.policy', ...limits]
          .map((setting) => `${setting}=${settingOf(topic, setting)}`)
          .join(', ');
        problems.push(
          `${name} is not kept for ever (${shown}), and it is the single source of truth; set it with ` +
            alter('cleanup.policy=delete,retention.ms=-1,retention.bytes=-1'),
        );
      }
    }
    if (purpose === 'shard' && topic.partitions !== 1)
      problems.push(
        `${name} has ${topic.partitions} partitions and must have one, as a shard is one partition; delete it if it holds ` +
          'nothing yet, or choose another --prefix',
      );
    // Weir's records have no key, and a compacted topic refuses those.
    if ((purpose === 'ingest' || purpose === 'shard' || purpose === 'dead_letter') && policy.includes('compact'))
      problems.push(
        `${name} is compacted (cleanup.policy=${policy}) and would refuse ${signal ? ITEM_NAMES[signal] : 'records'}, which ` +
          `have no key; set it with ${alter('cleanup.policy=delete')}`,
      );
    if (purpose === 'shard' && maxMessageBytes < DEAD_LETTER_HEADROOM_BYTES)
      problems.push(
        `${name} has max.message.bytes=${maxMessageBytes}, and a shard needs at least ${DEAD_LETTER_HEADROOM_BYTES}; set it with ` +
          alter(`max.message.bytes=${8 * MiB}`),
      );
    if (purpose === 'dead_letter' && maxMessageBytes < ingestBytes + DEAD_LETTER_HEADROOM_BYTES)
      problems.push(
        `${name} has max.message.bytes=${maxMessageBytes}, but a record of ${ingestBytes} bytes may come in and grows by ` +
          `its headers: it could never be put away and would come back for ever; set it with ` +
          alter(`max.message.bytes=${ingestBytes + DEAD_LETTER_HEADROOM_BYTES}`),
      );
  }
  return problems;
}

/** Bytes that a record batch may have; Kafka's default for a topic that is unknown. */
export const maxMessageBytesOf = (topic: TopicDescription | undefined): number => numberOf(topic, 'max.message.bytes');

const settingOf = (topic: TopicDescription | undefined, name: string): string =>
  topic?.config[name] ?? KAFKA_DEFAULTS[name] ?? '';
const numberOf = (topic: TopicDescription | undefined, name: string): number => Number(settingOf(topic, name));

// --- for those who create topics by hand

/** Commands for a shell, ready to paste. */
export function topicCommands(topics: readonly TopicSpec[], brokers: string): string {
  const lines = topics.map(({ name, partitions, replicas, config }) => {
    const settings = Object.entries(config).map(([key, value]) => ` --config ${key}=${value}`);
    return `$create --topic ${name} --partitions ${partitions}${replicas ? ` --replication-factor ${replicas}` : ''}${settings.join('')}`;
  });
  return [
    `# Add --command-config FILE to the next line where the brokers ask for TLS or a log-in.`,
    `create="kafka-topics.sh --bootstrap-server ${brokers} --create --if-not-exists"`,
    ...lines,
    '',
  ].join('\n');
}
