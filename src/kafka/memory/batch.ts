/** What a partition log is made of. */
import type { Headers, Value } from '../port.ts';

export interface RecordToAppend {
  readonly value: Value;
  readonly key?: Value;
  readonly headers?: Headers;
}

/** A record in the log: copied when it was appended, never changed after. */
export interface StoredRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Value;
  readonly value: Value;
  readonly headers: Headers;
}

export interface Batch {
  readonly baseOffset: number;
  /** Of a compacted batch the last offset stays, though its record may be gone. */
  readonly lastOffset: number;
  records: readonly StoredRecord[];
  /** As Kafka would store it, uncompressed. */
  bytes: number;
  readonly timestampMs: number;
  /** `marker`: the control record that ends a transaction. `plain`: outside any transaction. */
  state: 'plain' | 'open' | 'committed' | 'aborted' | 'marker';
}

const BATCH_OVERHEAD_BYTES = 61;
export const MARKER_BYTES = 78;

/**
 * Size of a record batch, format v2, uncompressed: what `max.message.bytes` is compared with.
 * Record: length varint, attributes 1, timestampDelta varint (0 here: one timestamp a batch), offsetDelta varint,
 * key length varint, key, value length varint, value, header count varint, and for each header name and value likewise.
 */
export function batchBytes(records: readonly RecordToAppend[]): number {
  let total = BATCH_OVERHEAD_BYTES;
  for (let i = 0; i < records.length; i++) total += recordBytes(records[i]!, i);
  return total;
}

export function recordBytes(record: RecordToAppend, offsetDelta: number): number {
  let bytes = 2 + varintBytes(offsetDelta) + fieldBytes(record.key ?? null) + fieldBytes(record.value);
  const headers = record.headers ?? [];
  bytes += varintBytes(headers.length);
  for (const [name, value] of headers) {
    const nameBytes = Buffer.byteLength(name);
    bytes += varintBytes(nameBytes) + nameBytes + fieldBytes(value);
  }
  return varintBytes(bytes) + bytes;
}

const fieldBytes = (value: Value) => (value === null ? 1 : varintBytes(value.length) + value.length);

/** Zigzag varint of a number that is not negative. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value * 2; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

/** Copies keys, values and header values into one buffer of the log's own, so that callers may reuse theirs at once. */
export function copyRecords(
  records: readonly RecordToAppend[],
  baseOffset: number,
  timestampMs: number,
): readonly StoredRecord[] {
  let bytes = 0;
  for (const { key, value, headers } of records) {
    bytes += (key?.length ?? 0) + (value?.length ?? 0);
    for (const [, headerValue] of headers ?? []) bytes += headerValue.length;
  }
  const buffer = new Uint8Array(bytes);
  let end = 0;
  const copy = <V extends Value>(from: V): V => {
    if (from === null) return from;
    buffer.set(from, end);
    end += from.length;
    return buffer.subarray(end - from.length, end) as V;
  };
  return records.map(({ key, value, headers }, i) => ({
    offset: baseOffset + i,
    timestampMs,
    key: copy(key ?? null),
    value: copy(value),
    headers: (headers ?? []).map(([name, headerValue]) => [name, copy(headerValue)] as const),
  }));
}
