/** Settings of topics: those of a topic that there is, with the broker's defaults, and sizes that several settings follow from. */
import type { TopicDescription } from '../kafka/port.ts';

export const MiB = 1024 * 1024;

/** Room for the headers of a dead letter: a record of exactly the ingest limit grows by them. */
export const DEAD_LETTER_HEADROOM_BYTES = 64 * 1024;

/** What a broker uses where a topic says nothing. */
const KAFKA_DEFAULTS: Readonly<Record<string, string>> = {
  'max.message.bytes': '1048588',
  'retention.ms': '604800000',
  'retention.bytes': '-1',
  'cleanup.policy': 'delete',
};

export const settingOf = (topic: TopicDescription | undefined, name: string): string =>
  topic?.config[name] ?? KAFKA_DEFAULTS[name] ?? '';

export const numberOf = (topic: TopicDescription | undefined, name: string): number => Number(settingOf(topic, name));

/** Bytes that a record batch may have; Kafka's default for a topic that is unknown. */
export const maxMessageBytesOf = (topic: TopicDescription | undefined): number => numberOf(topic, 'max.message.bytes');
