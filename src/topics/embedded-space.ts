/** How the topics share the disk space that the embedded broker may use: 2 GB. */
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import { DEAD_LETTER_HEADROOM_BYTES, MiB } from './topic-settings.ts';

/**
 * A log holds at most retention.bytes + segment.bytes, plus what comes in between two checks of the broker. Ingest and
 * shard partitions share this; control, snapshots, requests, load, decisions, dead letters and the broker's own topics
 * get the rest of the 2 GB.
 */
const EMBEDDED_CARRIED_BYTES = 1_500_000_000;
/** Of topics that carry no telemetry. */
export const EMBEDDED_INTERNAL = { 'retention.bytes': String(32 * MiB), 'segment.bytes': String(8 * MiB) };
/** The broker's least segment.bytes. A record batch must fit into a segment. */
const LEAST_SEGMENT_BYTES = MiB;

interface EmbeddedSpace {
  readonly maxMessageBytes: number;
  /** Settings of ingest and shard topics. */
  readonly carried: Record<string, string>;
  /** Settings of the dead letter topic. */
  readonly deadLetter: Record<string, string>;
  readonly notes: readonly string[];
}

/** `partitions`: of all ingest and shard topics. */
export function embeddedSpace(config: Config, partitions: number): EmbeddedSpace {
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
