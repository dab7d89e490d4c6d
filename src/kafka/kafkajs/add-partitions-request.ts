/**
 * AddPartitionsToTxn v1. kafkajs's own makes an encoder for each topic and one for each partition, and promises to read the
 * answer with: with a topic for each of many shards that was a large part of a transaction.
 *
 * Request: transactional_id string, producer_id int64, producer_epoch int16, [topic string, [partition int32]]
 * Answer: throttle_time_ms int32, [topic string, [partition int32, error_code int16]]
 */
import type { TopicPartition } from '../port.ts';
import type { Protocol } from './internals.ts';
import type { ProducerIdentity } from './outgoing-batch.ts';
import { RequestWriter } from './request-writer.ts';

export interface AddedPartition extends TopicPartition {
  readonly errorCode: number;
}

export function addPartitionsRequest(options: {
  transactionalId: string;
  identity: ProducerIdentity;
  partitions: readonly TopicPartition[];
}): Protocol<AddedPartition[]> {
  return {
    request: {
      apiKey: 24,
      apiVersion: 1,
      apiName: 'AddPartitionsToTxn',
      encode() {
        const { producerId, producerEpoch } = options.identity;
        const topics = Map.groupBy(options.partitions, ({ topic }) => topic);
        const out = new RequestWriter();
        out.string(options.transactionalId).int64(producerId).int16(producerEpoch).int32(topics.size);
        for (const [topic, partitions] of topics) {
          out.string(topic).int32(partitions.length);
          for (const { partition } of partitions) out.int32(partition);
        }
        return out.pieces();
      },
    },
    decode,
  };
}

function decode(payload: Buffer): AddedPartition[] {
  const added: AddedPartition[] = [];
  let at = 8;
  for (let topics = payload.readInt32BE(4); topics > 0; topics--) {
    const nameLength = payload.readInt16BE(at);
    const topic = payload.toString('utf8', at + 2, at + 2 + nameLength);
    at += 2 + nameLength + 4;
    for (let left = payload.readInt32BE(at - 4); left > 0; left--) {
      added.push({ topic, partition: payload.readInt32BE(at), errorCode: payload.readInt16BE(at + 4) });
      at += 4 + 2;
    }
  }
  return added;
}
