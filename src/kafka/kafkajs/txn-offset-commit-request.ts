/**
 * TxnOffsetCommit v3, the first with the group's generation and member (KIP-447); kafkajs ends at 1. Flexible since 3
 * (see flexible.ts).
 *
 * Request: (header's tags) transactional_id string, group_id string, producer_id int64, producer_epoch int16,
 * generation_id int32, member_id string, group_instance_id nullable string, [topic string, [partition int32,
 * committed_offset int64, committed_leader_epoch int32, committed_metadata nullable string, tags], tags], tags
 * Answer: (header's tags) throttle_time_ms int32, [topic string, [partition int32, error_code int16, tags], tags], tags
 */
import type { OffsetToCommit, Tenure } from '../port.ts';
import { FlexibleReader, FlexibleWriter } from './flexible.ts';
import type { Protocol } from './internals.ts';

/** The broker looks at the generation only where there is one. */
const NO_TENURE: Tenure = { generation: -1, memberId: '', instanceId: null };
const NO_LEADER_EPOCH = -1;

export interface TxnOffsetCommitAnswer {
  readonly partitions: ReadonlyArray<{
    readonly topic: string;
    readonly partition: number;
    readonly errorCode: number;
  }>;
}

export function txnOffsetCommitRequest(options: {
  transactionalId: string;
  groupId: string;
  producerId: bigint;
  producerEpoch: number;
  tenure: Tenure | undefined;
  offsets: readonly OffsetToCommit[];
}): Protocol<TxnOffsetCommitAnswer> {
  const { transactionalId, groupId, producerId, producerEpoch, tenure = NO_TENURE, offsets } = options;
  const byTopic = [...Map.groupBy(offsets, ({ topic }) => topic)];
  return {
    request: {
      apiKey: 28,
      apiVersion: 3,
      apiName: 'TxnOffsetCommit',
      encode() {
        const writer = new FlexibleWriter();
        return writer
          .noTags()
          .string(transactionalId)
          .string(groupId)
          .int64(producerId)
          .int16(producerEpoch)
          .int32(tenure.generation)
          .string(tenure.memberId)
          .string(tenure.instanceId)
          .array(byTopic, ([topic, partitions]) =>
            writer
              .string(topic)
              .array(partitions, ({ partition, offset, metadata = '' }) =>
                writer.int32(partition).int64(offset).int32(NO_LEADER_EPOCH).string(metadata).noTags(),
              )
              .noTags(),
          )
          .noTags()
          .pieces();
      },
    },
    decode,
  };
}

function decode(payload: Buffer): TxnOffsetCommitAnswer {
  const reader = new FlexibleReader(payload);
  reader.skipTags();
  reader.int32();
  const partitions = reader.array(() => {
    const topic = reader.string() ?? '';
    const ofTopic = reader.array(() => {
      const answer = { topic, partition: reader.int32(), errorCode: reader.int16() };
      reader.skipTags();
      return answer;
    });
    reader.skipTags();
    return ofTopic;
  });
  return { partitions: partitions.flat() };
}
