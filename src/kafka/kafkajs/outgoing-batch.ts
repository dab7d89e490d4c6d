/** Record batches as they are sent. Their format is in `record-batch.ts`. */
import type { Headers, Value } from '../port.ts';
import { type Codec, type Compression, codecNumber, compress } from './compression.ts';
import { freeMemory } from './free-memory.ts';
import { PackedPieces } from './packed-pieces.ts';
import { AT, CHECKED_FROM, COUNTED_FROM, crc32c, FORMAT, HEADER_BYTES, TRANSACTIONAL } from './record-batch.ts';
import { RequestWriter, varintBytes } from './request-writer.ts';

const NO_HEADERS = new Uint8Array([0]);

export interface OutgoingRecord {
  readonly value: Value;
  readonly key: Value;
  /** As encodeHeaders has them: the records of a poll mostly have the same. */
  readonly headers: Uint8Array;
}

/** The end of a record: the number of its headers, and these. */
export function encodeHeaders(headers: Headers): Uint8Array {
  if (headers.length === 0) return NO_HEADERS;
  const out = new RequestWriter();
  out.varint(headers.length);
  for (const [name, value] of headers) out.varint(Buffer.byteLength(name)).utf8(name).value(value);
  return Buffer.concat(out.pieces());
}

export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/**
 * One batch behind its length, as int32, its records compressed where that makes them smaller; large values of one that is
 * not compressed are pieces of their own. Reads the views anew at each call.
 */
export function writeBatch(
  out: RequestWriter,
  records: readonly OutgoingRecord[],
  identity: ProducerIdentity,
  options: {
    firstSequence: number;
    transactional: boolean;
    timestampMs: number;
    compression?: Compression;
    /** Where compressed records stay. */
    pieces?: PackedPieces;
  },
): void {
  const { compression = 'none', pieces = new PackedPieces() } = options;
  const timestamp = BigInt(options.timestampMs);
  const bodies = records.map((record, index) => bodyBytes(record, index));
  const plainBytes = bodies.reduce((sum, body) => sum + varintBytes(body) + body, 0);
  const packed = compression === 'none' ? null : packedRecords(compression, records, bodies, plainBytes);
  const total = HEADER_BYTES + (packed?.length ?? plainBytes);
  const header = out.int32(total).reserve(HEADER_BYTES);
  const body = out.mark();
  header.writeBigInt64BE(0n, 0);
  header.writeInt32BE(total - COUNTED_FROM, AT.length);
  header.writeInt32BE(-1, AT.leaderEpoch);
  header[AT.format] = FORMAT;
  header.writeInt16BE(
    (options.transactional ? TRANSACTIONAL : 0) | (packed ? codecNumber(compression) : 0),
    AT.attributes,
  );
  header.writeInt32BE(records.length - 1, AT.lastOffsetDelta);
  header.writeBigInt64BE(timestamp, AT.baseTimestamp);
  header.writeBigInt64BE(timestamp, AT.maxTimestamp);
  header.writeBigInt64BE(identity.producerId, AT.producerId);
  header.writeInt16BE(identity.producerEpoch, AT.producerEpoch);
  header.writeInt32BE(options.firstSequence, AT.firstSequence);
  header.writeInt32BE(records.length, AT.records);
  if (packed) out.bytes(pieces.take(packed));
  else writeRecords(out, records, bodies);
  let crc = crc32c.update(0, header.subarray(CHECKED_FROM));
  for (const piece of out.since(body)) crc = crc32c.update(crc, piece);
  header.writeUInt32BE(crc, AT.checksum);
}

/** null: compressing makes them no smaller. */
function packedRecords(
  codec: Codec,
  records: readonly OutgoingRecord[],
  bodies: readonly number[],
  plainBytes: number,
): Buffer<ArrayBuffer> | null {
  const plain = new RequestWriter();
  writeRecords(plain, records, bodies);
  const joined = Buffer.allocUnsafeSlow(plainBytes);
  let at = 0;
  for (const piece of plain.pieces()) {
    joined.set(piece, at);
    at += piece.length;
  }
  const packed = compress(codec, joined);
  freeMemory(joined);
  if (packed.length < plainBytes) return packed;
  freeMemory(packed);
  return null;
}

/** `bodies` is how many bytes each has behind its length. */
function writeRecords(out: RequestWriter, records: readonly OutgoingRecord[], bodies: readonly number[]): void {
  for (const [index, { key, value, headers }] of records.entries()) {
    out.varint(bodies[index]!).int8(0).varint(0).varint(index).value(key).value(value).bytes(headers);
  }
}

/** Upper bound of what a record adds to a batch. */
export function recordBytes(record: OutgoingRecord): number {
  const bytes = bodyBytes(record, 0x7fff);
  return bytes + varintBytes(bytes);
}

function bodyBytes({ key, value, headers }: OutgoingRecord, offsetDelta: number): number {
  return 2 + varintBytes(offsetDelta) + valueBytes(key) + valueBytes(value) + headers.length;
}

const valueBytes = (value: Value) => (value === null ? 1 : varintBytes(value.length) + value.length);
