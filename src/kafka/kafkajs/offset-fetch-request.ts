/**
 * OffsetFetch v7, the first with require_stable; kafkajs ends at 4. Flexible since 6 (see flexible.ts).
 *
 * Request: (header's tags) group_id string, [topic string, [partition int32], tags], require_stable bool, tags
 * Answer: (header's tags) throttle_time_ms int32, [topic string, [partition int32, committed_offset int64,
 * leader_epoch int32, metadata nullable string, error_code int16, tags], tags], error_code int16, tags
 */
import { FlexibleReader, FlexibleWriter } from './flexible.ts';
import type { Protocol } from './internals.ts';

export interface FetchedOffset {
  readonly partition: number;
  /** -1: none. */
  readonly offset: bigint;
  readonly metadata: string;
  readonly errorCode: number;
}

export function offsetFetchRequest(options: {
  groupId: string;
  topic: string;
  partitions: readonly number[];
  /** Answer UNSTABLE_OFFSET_COMMIT for partitions that an unfinished transaction holds an offset of. */
  requireStable: boolean;
}): Protocol<{ errorCode: number; offsets: FetchedOffset[] }> {
  const { groupId, topic, partitions, requireStable } = options;
  return {
    request: {
      apiKey: 9,
      apiVersion: 7,
      apiName: 'OffsetFetch',
      encode() {
        const writer = new FlexibleWriter();
        return writer
          .noTags()
          .string(groupId)
          .array([topic], (name) =>
            writer
              .string(name)
              .array(partitions, (partition) => writer.int32(partition))
              .noTags(),
          )
          .boolean(requireStable)
          .noTags()
          .pieces();
      },
    },
    decode,
  };
}

function decode(payload: Buffer): { errorCode: number; offsets: FetchedOffset[] } {
  const reader = new FlexibleReader(payload);
  reader.skipTags();
  reader.int32();
  const offsets = reader.array(() => {
    reader.string();
    const ofTopic = reader.array(() => {
      const partition = reader.int32();
      const offset = reader.int64();
      reader.int32();
      const metadata = reader.string() ?? '';
      const errorCode = reader.int16();
      reader.skipTags();
      return { partition, offset, metadata, errorCode };
    });
    reader.skipTags();
    return ofTopic;
  });
  return { errorCode: reader.int16(), offsets: offsets.flat() };
}
