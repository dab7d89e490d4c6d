/** What a record of the ingest topics takes in a batch, at most: `max.message.bytes` limits the batch, not the value. */
import type { Headers } from '../kafka/port.ts';

/** Header of a record batch (61 bytes) with some to spare. */
export const BATCH_OVERHEAD_BYTES = 128;
/** A record's own framing: length, attributes, deltas, lengths of key and value, header count. */
const RECORD_OVERHEAD_BYTES = 32;
/** Lengths of a header's name and value. */
const HEADER_OVERHEAD_BYTES = 10;

/** `headers` have names in ASCII. */
export function recordBytes(valueBytes: number, headers: Headers): number {
  let bytes = valueBytes + RECORD_OVERHEAD_BYTES;
  for (const [name, value] of headers) bytes += name.length + value.length + HEADER_OVERHEAD_BYTES;
  return bytes;
}

/** Bytes left for the value of a record with these headers. */
export function maxValueBytes(maxMessageBytes: number, headers: Headers): number {
  return maxMessageBytes - BATCH_OVERHEAD_BYTES - recordBytes(0, headers);
}
