/**
 * The ingest topics as they are on the cluster. `max.message.bytes` may be altered while the bridge runs: it is read again once
 * a minute, and when Kafka finds a record too large that was cut to fit.
 */
import type { Logger } from 'pino';
import type { Admin } from '../kafka/port.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { maxMessageBytesOf } from '../topics/topic-settings.ts';

export interface IngestTopic {
  readonly topic: string;
  readonly partitions: number;
  /** Its `max.message.bytes`, which in Kafka bounds a whole batch, as it was when it was last looked at. */
  readonly maxMessageBytes: number;
}

export interface IngestTopics extends Readonly<Record<Signal, IngestTopic>> {
  /** Looks now. Calls that come meanwhile share the look. */
  lookAgain(): Promise<void>;
  stop(): void;
}

const LOOK_INTERVAL_MS = 60_000;

export function followIngestTopics(
  found: Readonly<Record<Signal, IngestTopic>>,
  {
    admin,
    log,
    intervalMs = LOOK_INTERVAL_MS,
  }: { admin: Pick<Admin, 'describeTopics'>; log: Logger; intervalMs?: number },
): IngestTopics {
  const topics = { traces: { ...found.traces }, metrics: { ...found.metrics }, logs: { ...found.logs } };
  let looking: Promise<void> | null = null;

  async function look(): Promise<void> {
    const described = await admin.describeTopics(SIGNALS.map((signal) => topics[signal].topic));
    for (const signal of SIGNALS) {
      const topic = topics[signal];
      const now = described.find(({ name }) => name === topic.topic);
      const maxMessageBytes = now ? maxMessageBytesOf(now) : topic.maxMessageBytes;
      if (maxMessageBytes === topic.maxMessageBytes) continue;
      log.info(
        { topic: topic.topic, from: topic.maxMessageBytes, to: maxMessageBytes },
        'max.message.bytes was altered',
      );
      topic.maxMessageBytes = maxMessageBytes;
    }
  }
  // What was known stays in force.
  const lookIfPossible = () =>
    look().catch((err: unknown) => log.debug({ err }, 'cannot read max.message.bytes of the ingest topics again'));

  const timer = setInterval(() => void lookIfPossible(), intervalMs);
  timer.unref();
  return {
    ...topics,
    // Not that of the timer: it may have begun before what made somebody ask.
    lookAgain() {
      looking ??= lookIfPossible().finally(() => {
        looking = null;
      });
      return looking;
    },
    stop: () => clearInterval(timer),
  };
}
