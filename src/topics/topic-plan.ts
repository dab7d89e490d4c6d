/** The topics of an installation: what each is for, and how it should be created. */
import type { Config } from '../config.ts';
import type { TopicSpec } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { EMBEDDED_INTERNAL, embeddedSpace } from './embedded-space.ts';
import { DEAD_LETTER_HEADROOM_BYTES, MiB } from './topic-settings.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

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
  /** Only of ingest and shard topics. */
  readonly signal?: Signal;
}

export interface TopicPlan {
  readonly topics: readonly WeirTopic[];
  /** For the log: what differs from the settings, and why. */
  readonly notes: readonly string[];
}

/** The part of a ring epoch (src/coordination/ring-epoch.ts) that a plan needs. */
export interface RingTopics {
  readonly signals: Readonly<Record<Signal, { readonly shards: readonly { readonly topic: string }[] }>>;
}

export interface TopicPlanOptions {
  readonly config: Config;
  readonly names: Names;
  /** Number of brokers. */
  readonly brokers: number;
  /** Shard topics are those of this ring. Absent: those of the settings. */
  readonly ring?: RingTopics;
  /** On the embedded broker: all data together stays below 2 GB. */
  readonly embedded?: boolean;
}

/** All topics, as they should be created. */
export function planTopics({ config, names, brokers, ring, embedded = false }: TopicPlanOptions): TopicPlan {
  const replicas = config.topics.replicas ?? Math.min(3, brokers);
  // acks=all means little when a single in-sync replica is enough.
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
    // Snapshots that are superseded should be gone within the hour, not when a segment of 1 GB is full.
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
