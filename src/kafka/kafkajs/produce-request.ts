/**
 * Produce v7, acks = all.
 *
 * Request: transactional_id nullable string, acks int16, timeout_ms int32, [topic string, [partition int32, records bytes]];
 * exactly one batch a partition.
 * Answer: [topic string, [partition int32, error_code int16, base_offset int64, log_append_time int64,
 * log_start_offset int64]], throttle_time_ms int32
 */
import type { Compression } from './compression.ts';
import type { Protocol } from './internals.ts';
import { type OutgoingRecord, type ProducerIdentity, writeBatch } from './outgoing-batch.ts';
import { PackedPieces } from './packed-pieces.ts';
import { RequestWriter } from './request-writer.ts';

export interface OutgoingBatch {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly OutgoingRecord[];
  readonly identity: ProducerIdentity;
  readonly firstSequence: number;
  readonly timestampMs: number;
}

export interface ProducedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
}

const ACKS_ALL = -1;

export function produceRequest(options: {
  transactionalId: string | null;
  /** How long the leader may wait for its followers. */
  timeoutMs: number;
  compression: Compression;
  batches: readonly OutgoingBatch[];
}): Protocol<ProducedPartition[]> {
  const transactional = options.transactionalId !== null;
  const pieces = new PackedPieces();
  return {
    request: {
      apiKey: 0,
      apiVersion: 7,
      apiName: 'Produce',
      encode() {
        const topics = Map.groupBy(options.batches, ({ topic }) => topic);
        const out = new RequestWriter();
        out.string(options.transactionalId).int16(ACKS_ALL).int32(options.timeoutMs).int32(topics.size);
        for (const [topic, batches] of topics) {
          out.string(topic).int32(batches.length);
          for (const batch of batches) {
            out.int32(batch.partition);
            writeBatch(out, batch.records, batch.identity, {
              ...batch,
              transactional,
              compression: options.compression,
              pieces,
            });
          }
        }
        return out.pieces();
      },
    },
    decode(payload) {
      // The broker has the request.
      pieces.release();
      return decode(payload);
    },
  };
}

function decode(payload: Buffer): ProducedPartition[] {
  const produced: ProducedPartition[] = [];
  let at = 4;
  for (let topics = payload.readInt32BE(0); topics > 0; topics--) {
    const nameLength = payload.readInt16BE(at);
    const topic = payload.toString('utf8', at + 2, at + 2 + nameLength);
    at += 2 + nameLength + 4;
    for (let left = payload.readInt32BE(at - 4); left > 0; left--) {
      produced.push({ topic, partition: payload.readInt32BE(at), errorCode: payload.readInt16BE(at + 4) });
      at += 4 + 2 + 8 + 8 + 8;
    }
  }
  return produced;
}
