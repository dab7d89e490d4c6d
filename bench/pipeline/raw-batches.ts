/**
 * Uncompressed record batches, looked at no more than must be to pass their values on: no checksum, no control batches, no headers.
 */
import { AT, COUNTED_FROM, HEADER_BYTES } from '../../src/kafka/kafkajs/record-batch.ts';

export interface RawBatches {
  /** Those that are whole; one that is cut off at the end is left for the next fetch. */
  readonly bytes: Buffer;
  readonly records: number;
  /** Behind the last whole batch; the position where there is none. */
  readonly nextOffset: number;
}

export function wholeBatches(bytes: Buffer, position: number): RawBatches {
  let [at, records, nextOffset] = [0, 0, position];
  while (at + HEADER_BYTES <= bytes.length) {
    const end = endOf(bytes, at);
    if (end > bytes.length) break;
    nextOffset = Number(bytes.readBigInt64BE(at)) + bytes.readInt32BE(at + AT.lastOffsetDelta) + 1;
    records += bytes.readInt32BE(at + AT.records);
    at = end;
  }
  return { bytes: bytes.subarray(0, at), records, nextOffset };
}

/** Views, in order; a record without a value has none. */
export function valuesOf({ bytes }: RawBatches): Buffer[] {
  const values: Buffer[] = [];
  let at = 0;
  const varint = () => {
    let result = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      result |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (result >>> 1) ^ -(result & 1);
    }
  };
  for (let batch = 0; batch < bytes.length; batch = endOf(bytes, batch)) {
    at = batch + HEADER_BYTES;
    for (let left = bytes.readInt32BE(batch + AT.records); left > 0; left--) {
      const length = varint();
      const end = at + length;
      // Attributes; the timestamp's delta, which may have more than 32 bits; the offset's.
      at++;
      while (bytes[at++]! >= 0x80);
      varint();
      const keyBytes = varint();
      at += Math.max(0, keyBytes);
      const valueBytes = varint();
      if (valueBytes >= 0) values.push(bytes.subarray(at, at + valueBytes));
      at = end;
    }
  }
  return values;
}

const endOf = (bytes: Buffer, batch: number) => batch + COUNTED_FROM + bytes.readInt32BE(batch + AT.length);
