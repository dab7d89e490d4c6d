/**
 * Fetch v11, with the answer's records left as they are. The request is kafkajs's.
 *
 * Answer: throttle_time_ms int32, error_code int16, session_id int32, [topic string, [partition int32, error_code int16,
 * high_watermark int64, last_stable_offset int64, log_start_offset int64, [aborted: producer_id int64, first_offset int64],
 * preferred_read_replica int32, records bytes]]
 */
import { createRequire } from 'node:module';
import type { AbortedTransaction } from './fetched-batches.ts';
import type { Encoder, Protocol } from './internals.ts';

export interface FetchRequest {
  readonly isolation: 'read_committed' | 'read_uncommitted';
  /** How long the broker may hold the request back while there is nothing to send. */
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  readonly partitions: ReadonlyArray<{
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    readonly maxBytes: number;
  }>;
}

export interface FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly aborted: readonly AbortedTransaction[];
  /** Whole record batches, the last one perhaps cut off. */
  readonly records: Buffer;
}

export interface FetchAnswer {
  /** For so long the broker does not look at further requests of the connection. */
  readonly throttleMs: number;
  readonly errorCode: number;
  readonly partitions: readonly FetchedPartition[];
}

const buildRequest = createRequire(import.meta.url)('kafkajs/src/protocol/requests/fetch/v11/request') as (
  options: object,
) => { apiKey: number; apiVersion: number; apiName: string; encode(): Promise<Encoder> };

export function fetchRequest(fetch: FetchRequest): Protocol<FetchAnswer> {
  const topics = new Map<string, Array<{ partition: number; fetchOffset: string; maxBytes: number }>>();
  for (const { topic, partition, offset, maxBytes } of fetch.partitions) {
    let partitions = topics.get(topic);
    if (!partitions) {
      partitions = [];
      topics.set(topic, partitions);
    }
    partitions.push({ partition, fetchOffset: String(offset), maxBytes });
  }
  return {
    request: buildRequest({
      replicaId: -1,
      isolationLevel: fetch.isolation === 'read_committed' ? 1 : 0,
      maxWaitTime: fetch.maxWaitMs,
      minBytes: 1,
      maxBytes: fetch.maxBytes,
      topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })),
    }),
    decode,
  };
}

function decode(payload: Buffer): FetchAnswer {
  const throttleMs = payload.readInt32BE(0);
  const errorCode = payload.readInt16BE(4);
  let at = 10;
  const int32 = () => {
    at += 4;
    return payload.readInt32BE(at - 4);
  };
  const partitions: FetchedPartition[] = [];
  for (let topics = int32(); topics > 0; topics--) {
    const nameLength = payload.readInt16BE(at);
    const topic = payload.toString('utf8', at + 2, at + 2 + nameLength);
    at += 2 + nameLength;
    for (let left = int32(); left > 0; left--) {
      const partition = int32();
      const partitionError = payload.readInt16BE(at);
      at += 2 + 8 + 8 + 8;
      const aborted: AbortedTransaction[] = [];
      for (let transactions = int32(); transactions > 0; transactions--) {
        aborted.push({
          producerId: payload.readBigInt64BE(at),
          firstOffset: Number(payload.readBigInt64BE(at + 8)),
        });
        at += 16;
      }
      at += 4;
      const length = Math.max(0, int32());
      partitions.push({
        topic,
        partition,
        errorCode: partitionError,
        aborted,
        records: payload.subarray(at, at + length),
      });
      at += length;
    }
  }
  return { throttleMs, errorCode, partitions };
}
