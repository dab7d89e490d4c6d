/**
 * OffsetFetch v7, the first with require_stable; kafkajs ends at 4. From 6 on the API is "flexible": compact strings and
 * arrays (length + 1 as unsigned varint), and tagged fields, of which none is sent here.
 *
 * Request: (header's tagged fields) group_id string, [topic string, [partition int32]], require_stable bool
 * Answer: (header's tagged fields) throttle_time_ms int32, [topic string, [partition int32, committed_offset int64,
 * leader_epoch int32, metadata nullable string, error_code int16]], error_code int16
 */
import { KafkajsEncoder, type Protocol } from './internals.ts';

export interface FetchedOffset {
  readonly partition: number;
  /** -1: none. */
  readonly offset: bigint;
  readonly metadata: string;
  readonly errorCode: number;
}

const NO_TAGS = 0;

export function offsetFetchRequest(options: {
  groupId: string;
  topic: string;
  partitions: readonly number[];
  /** Answer UNSTABLE_OFFSET_COMMIT for partitions that an unfinished transaction holds an offset of. */
  requireStable: boolean;
}): Protocol<{ errorCode: number; offsets: FetchedOffset[] }> {
  return {
    request: {
      apiKey: 9,
      apiVersion: 7,
      apiName: 'OffsetFetch',
      encode: async () => {
        const bytes: number[] = [NO_TAGS];
        const uvarint = (value: number) => {
          let rest = value;
          for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
          bytes.push(rest);
        };
        const string = (text: string) => {
          const utf8 = Buffer.from(text);
          uvarint(utf8.length + 1);
          bytes.push(...utf8);
        };
        string(options.groupId);
        uvarint(2);
        string(options.topic);
        uvarint(options.partitions.length + 1);
        for (const partition of options.partitions) {
          bytes.push(partition >>> 24, (partition >>> 16) & 0xff, (partition >>> 8) & 0xff, partition & 0xff);
        }
        bytes.push(NO_TAGS, options.requireStable ? 1 : 0, NO_TAGS);
        const encoder = new KafkajsEncoder(bytes.length);
        encoder.writeBufferInternal(Buffer.from(bytes));
        return encoder;
      },
    },
    response: { decode: async (payload) => decode(payload), parse: async (decoded) => decoded },
    logResponseError: false,
  };
}

function decode(payload: Buffer): { errorCode: number; offsets: FetchedOffset[] } {
  let at = 0;
  const uvarint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = payload.readUInt8(at++);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  };
  const skipTags = () => {
    for (let tags = uvarint(); tags > 0; tags--) {
      uvarint();
      at += uvarint();
    }
  };
  const string = () => {
    const length = uvarint() - 1;
    if (length < 0) return '';
    at += length;
    return payload.toString('utf8', at - length, at);
  };
  skipTags();
  at += 4;
  const offsets: FetchedOffset[] = [];
  for (let topics = uvarint() - 1; topics > 0; topics--) {
    string();
    for (let partitions = uvarint() - 1; partitions > 0; partitions--) {
      const partition = payload.readInt32BE(at);
      const offset = payload.readBigInt64BE(at + 4);
      at += 16;
      const metadata = string();
      offsets.push({ partition, offset, metadata, errorCode: payload.readInt16BE(at) });
      at += 2;
      skipTags();
    }
    skipTags();
  }
  return { errorCode: payload.readInt16BE(at), offsets };
}
