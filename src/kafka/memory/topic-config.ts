/** Topic settings: which names a broker takes, the defaults, and the few that the in-process log acts on. */
import { BrokerError } from './broker-errors.ts';

/** Kafka's defaults for what matters here. `max.message.bytes` is compared with the whole batch. */
const DEFAULTS: Readonly<Record<string, string>> = {
  'cleanup.policy': 'delete',
  'max.message.bytes': '1048588',
  'retention.bytes': '-1',
  'retention.ms': '604800000',
};

/** Taken, and shown by `describeTopics`, without effect. */
const WITHOUT_EFFECT = new Set([
  'compression.type',
  'delete.retention.ms',
  'file.delete.delay.ms',
  'flush.messages',
  'flush.ms',
  'index.interval.bytes',
  'local.retention.bytes',
  'local.retention.ms',
  'max.compaction.lag.ms',
  'message.timestamp.after.max.ms',
  'message.timestamp.before.max.ms',
  'message.timestamp.type',
  'min.cleanable.dirty.ratio',
  'min.compaction.lag.ms',
  'min.insync.replicas',
  'preallocate',
  'remote.storage.enable',
  'segment.bytes',
  'segment.index.bytes',
  'segment.jitter.ms',
  'segment.ms',
  'unclean.leader.election.enable',
]);

export interface TopicConfig {
  /** All settings as text, defaults filled in. */
  readonly all: Readonly<Record<string, string>>;
  readonly maxMessageBytes: number;
  /** -1: without limit. */
  readonly retentionBytes: number;
  /** -1: kept for ever, also when the log as a whole is full. */
  readonly retentionMs: number;
  readonly compacted: boolean;
}

export function topicConfigOf(given: Readonly<Record<string, string>>): TopicConfig {
  for (const name of Object.keys(given)) {
    if (!(name in DEFAULTS) && !WITHOUT_EFFECT.has(name)) {
      throw new BrokerError('INVALID_CONFIG', `unknown topic setting ${name}`);
    }
  }
  const all = { ...DEFAULTS, ...given };
  const policies = all['cleanup.policy']!.split(',').map((policy) => policy.trim());
  if (!policies.every((policy) => policy === 'delete' || policy === 'compact')) {
    throw new BrokerError(
      'INVALID_CONFIG',
      `cleanup.policy is ${all['cleanup.policy']}, allowed are delete and compact`,
    );
  }
  const integer = (name: string, least: number) => {
    const value = Number(all[name]);
    if (all[name] === '' || !Number.isSafeInteger(value) || value < least) {
      throw new BrokerError('INVALID_CONFIG', `${name} is ${all[name]}, allowed are whole numbers from ${least}`);
    }
    return value;
  };
  return {
    all,
    maxMessageBytes: integer('max.message.bytes', 0),
    retentionBytes: policies.includes('delete') ? integer('retention.bytes', -1) : -1,
    retentionMs: policies.includes('delete') ? integer('retention.ms', -1) : -1,
    compacted: policies.includes('compact'),
  };
}
