/**
 * Kafka's record batch, format 2, both ways. Big-endian; varints are zigzag.
 *
 * | at | field | type |
 * |---|---|---|
 * | 0 | base offset | int64 |
 * | 8 | length of what follows | int32 |
 * | 12 | partition leader epoch | int32 |
 * | 16 | magic = 2 | int8 |
 * | 17 | CRC-32C of all from 21 on | uint32 |
 * | 21 | attributes: bits 0-2 codec, 3 log append time, 4 transactional, 5 control | int16 |
 * | 23 | last offset delta | int32 |
 * | 27 | base timestamp | int64 |
 * | 35 | max timestamp | int64 |
 * | 43 | producer id | int64 |
 * | 51 | producer epoch | int16 |
 * | 53 | base sequence | int32 |
 * | 57 | number of records | int32 |
 * | 61 | records, compressed together if a codec is set | |
 *
 * Record: length varint, attributes int8, timestamp delta varlong, offset delta varint, key length varint (-1: null), key,
 * value length varint (-1: null), value, number of headers varint, then per header: name length varint, name, value length
 * varint (-1: null), value.
 */
import { loadCrc32c } from '../../kernels/index.ts';
import type { CorruptBatch, Headers, Value } from '../port.ts';
import { type Compression, codecNumber, compress, decompress } from './compression.ts';
import { corruptBatch, UnreadableBatch } from './corrupt-batch.ts';
import type { Frame } from './frame-pool.ts';
import { RequestWriter, varintBytes } from './request-writer.ts';

/** kafkajs's own, a table look-up a byte, took 40 % of a processor's CPU. */
const crc32c = await loadCrc32c();

const HEADER_BYTES = 61;
const MAGIC_AT = 16;
const CRC_AT = 17;
/** What the checksum is of begins here. */
const CHECKED_FROM = 21;
const MAGIC = 2;
/** Of one partition's answer: once it has decompressed to so much, what follows is left for the next fetch. */
const MOST_INFLATED_BYTES = 32 * 1024 * 1024;
const EMPTY = new Uint8Array(0);
const NO_HEADERS = new Uint8Array([0]);

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

/** Records of one fetch answer, as positions in its bytes: nine numbers a record, no object. */
export class FetchedRecords {
  /** Behind the last whole batch, control batches included. */
  nextOffset: number;
  /** What lies there, where it cannot be read: what follows it was not looked at. */
  corrupt: CorruptBatch | null = null;
  count = 0;
  readonly #buffers: Buffer[] = [];
  #inflatedBytes = 0;
  /** Per record: buffer, key at, key length (-1: null), value at, value length (-1: null), headers at, record end. */
  #fields = new Int32Array(FIELDS * 64);
  /** Per record: offset, timestamp in Unix ms. Both stay exact below 2^53. */
  #numbers = new Float64Array(2 * 64);

  readonly #frame: Frame | undefined;
  #holders = 1;

  /** `frame` is what the bytes lie in; it is held until nobody holds these records. */
  constructor(position: number, frame?: Frame) {
    this.nextOffset = position;
    this.#frame = frame;
    frame?.hold();
  }

  hold(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders === 0) this.#frame?.release();
  }

  offset(index: number): number {
    return this.#numbers[index * 2]!;
  }

  timestampMs(index: number): number {
    return this.#numbers[index * 2 + 1]!;
  }

  key(index: number): Value {
    return this.#view(index, 1);
  }

  value(index: number): Value {
    return this.#view(index, 3);
  }

  valueBytes(index: number): number {
    return Math.max(0, this.#fields[index * FIELDS + 4]!);
  }

  headers(index: number): Headers {
    const at = index * FIELDS;
    const reader = new VarintReader(this.#buffers[this.#fields[at]!]!, this.#fields[at + 5]!);
    const headers: Array<[string, Uint8Array]> = [];
    for (let left = reader.varint(); left > 0; left--) {
      const name = reader.bytes(reader.varint()).toString('utf8');
      const length = reader.varint();
      headers.push([name, length < 0 ? EMPTY : reader.bytes(length)]);
    }
    return headers;
  }

  /** For tests: key, value and headers of a record become 0xDB. */
  poison(index: number): void {
    const at = index * FIELDS;
    const buffer = this.#buffers[this.#fields[at]!]!;
    const start = this.#fields[at + 1]!;
    buffer.fill(0xdb, start, this.#fields[at + 6]!);
  }

  #view(index: number, field: number): Value {
    const at = index * FIELDS;
    const length = this.#fields[at + field + 1]!;
    if (length < 0) return null;
    const start = this.#fields[at + field]!;
    return this.#buffers[this.#fields[at]!]!.subarray(start, start + length);
  }

  /**
   * Adds all visible records of `bytes` from `position` on, up to a batch that cannot be read. One that is cut off at the end
   * is left for the next fetch.
   */
  read(bytes: Buffer, position: number, aborted: readonly AbortedTransaction[]): void {
    const waiting = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
    const abortedNow = new Set<bigint>();
    this.#buffers.push(bytes);
    for (let at = 0; at + HEADER_BYTES <= bytes.length && this.#inflatedBytes < MOST_INFLATED_BYTES; ) {
      const end = at + 12 + bytes.readInt32BE(at + 8);
      if (end > bytes.length) break;
      const before = this.count;
      try {
        checkWhole(bytes, at, end);
        this.#readWhole(bytes, at, end, position, waiting, abortedNow);
      } catch (error) {
        if (!(error instanceof UnreadableBatch)) throw error;
        this.count = before;
        this.corrupt = corruptBatch(error, bytes, at, this.nextOffset);
        return;
      }
      at = end;
    }
  }

  #readWhole(
    bytes: Buffer,
    at: number,
    end: number,
    position: number,
    waiting: AbortedTransaction[],
    abortedNow: Set<bigint>,
  ): void {
    const baseOffset = Number(bytes.readBigInt64BE(at));
    const lastOffset = baseOffset + bytes.readInt32BE(at + 23);
    const attributes = bytes.readInt16BE(at + 21);
    const producerId = bytes.readBigInt64BE(at + 43);
    while (waiting.length > 0 && waiting[0]!.firstOffset <= lastOffset) abortedNow.add(waiting.shift()!.producerId);
    const transactional = (attributes & 0x10) !== 0;
    if ((attributes & 0x20) !== 0) {
      // A control record's key: version int16, type int16; type 0 ends an aborted transaction.
      if (transactional && controlType(bytes, at + HEADER_BYTES) === 0) abortedNow.delete(producerId);
    } else if (!transactional || !abortedNow.has(producerId)) {
      this.#readBatch(bytes, at, end, baseOffset, attributes, position);
    }
    this.nextOffset = Math.max(this.nextOffset, lastOffset + 1);
  }

  #readBatch(bytes: Buffer, at: number, end: number, baseOffset: number, attributes: number, position: number): void {
    const baseTimestamp = Number(bytes.readBigInt64BE(at + 27));
    const appendTime = (attributes & 0x08) !== 0 ? Number(bytes.readBigInt64BE(at + 35)) : null;
    const codec = attributes & 0x07;
    let source = bytes.subarray(0, end);
    let start = at + HEADER_BYTES;
    let buffer = 0;
    if (codec !== 0) {
      source = decompress(codec, bytes.subarray(start, end));
      start = 0;
      this.#inflatedBytes += source.length;
      buffer = this.#buffers.push(source) - 1;
    }
    const reader = new VarintReader(source, start);
    for (let left = bytes.readInt32BE(at + 57); left > 0; left--) {
      const recordEnd = reader.varint() + reader.at;
      if (recordEnd > source.length) throw cutOff();
      reader.at += 1;
      const timestamp = appendTime ?? baseTimestamp + reader.varlong();
      if (appendTime !== null) reader.varlong();
      const offset = baseOffset + reader.varint();
      const keyLength = reader.varint();
      const keyAt = reader.at;
      reader.at += Math.max(0, keyLength);
      const valueLength = reader.varint();
      const valueAt = reader.at;
      reader.at += Math.max(0, valueLength);
      const headersAt = reader.at;
      skipHeaders(reader);
      if (reader.at !== recordEnd) throw cutOff();
      if (offset >= position) {
        const row = this.#add(offset, timestamp) * FIELDS;
        // One by one: to set them from an array takes as long as the rest of the record.
        const fields = this.#fields;
        fields[row] = buffer;
        fields[row + 1] = keyAt;
        fields[row + 2] = keyLength;
        fields[row + 3] = valueAt;
        fields[row + 4] = valueLength;
        fields[row + 5] = headersAt;
        fields[row + 6] = recordEnd;
      }
    }
    if (reader.at !== source.length) throw new UnreadableBatch('damaged', 'it holds more than its records');
  }

  #add(offset: number, timestamp: number): number {
    const index = this.count++;
    if (this.count * 2 > this.#numbers.length) {
      const numbers = new Float64Array(this.#numbers.length * 2);
      numbers.set(this.#numbers);
      this.#numbers = numbers;
      const fields = new Int32Array(this.#fields.length * 2);
      fields.set(this.#fields);
      this.#fields = fields;
    }
    this.#numbers[index * 2] = offset;
    this.#numbers[index * 2 + 1] = timestamp;
    return index;
  }
}

const FIELDS = 7;

function checkWhole(bytes: Buffer, at: number, end: number): void {
  if (end < at + HEADER_BYTES) throw new UnreadableBatch('damaged', `its length says ${end - at} bytes`);
  const [told, is] = [bytes.readUInt32BE(at + CRC_AT), crc32c.update(0, bytes.subarray(at + CHECKED_FROM, end))];
  if (told !== is)
    throw new UnreadableBatch(
      'damaged',
      `its checksum says ${told.toString(16)}, that of its bytes is ${is.toString(16)}`,
    );
  const format = bytes[at + MAGIC_AT];
  if (format !== MAGIC) throw new UnreadableBatch('unsupported', `record format ${format} is not known`);
}

const cutOff = () => new UnreadableBatch('damaged', 'a record does not fill its length');

function skipHeaders(reader: VarintReader): void {
  for (let left = reader.varint(); left > 0; left--) {
    const nameLength = reader.varint();
    if (nameLength < 0) throw cutOff();
    reader.at += nameLength;
    const valueLength = reader.varint();
    reader.at += Math.max(0, valueLength);
  }
}

class VarintReader {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  varint(): number {
    let result = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) throw cutOff();
      result |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (result >>> 1) ^ -(result & 1);
    }
  }

  /** Exact below 2^53; the timestamp deltas read with it are far below. */
  varlong(): number {
    let low = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) throw cutOff();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return low % 2 === 0 ? low / 2 : -(low + 1) / 2;
      scale *= 128;
    }
  }

  bytes(length: number): Buffer {
    const start = this.at;
    this.at += length;
    return this.#bytes.subarray(start, this.at);
  }
}

function controlType(bytes: Buffer, recordsAt: number): number {
  const reader = new VarintReader(bytes, recordsAt);
  reader.varint();
  reader.at += 1;
  reader.varlong();
  reader.varint();
  return reader.varint() >= 4 ? bytes.readInt16BE(reader.at + 2) : -1;
}

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
  options: { firstSequence: number; transactional: boolean; timestampMs: number; compression?: Compression },
): void {
  const { compression = 'none' } = options;
  const timestamp = BigInt(options.timestampMs);
  const bodies = records.map((record, index) => bodyBytes(record, index));
  const plainBytes = bodies.reduce((sum, body) => sum + varintBytes(body) + body, 0);
  const packed = compression === 'none' ? null : packedRecords(compression, records, bodies, plainBytes);
  const total = HEADER_BYTES + (packed?.length ?? plainBytes);
  const header = out.int32(total).reserve(HEADER_BYTES);
  const body = out.mark();
  header.writeBigInt64BE(0n, 0);
  header.writeInt32BE(total - 12, 8);
  header.writeInt32BE(-1, 12);
  header[MAGIC_AT] = MAGIC;
  header.writeInt16BE((options.transactional ? 0x10 : 0) | (packed ? codecNumber(compression) : 0), 21);
  header.writeInt32BE(records.length - 1, 23);
  header.writeBigInt64BE(timestamp, 27);
  header.writeBigInt64BE(timestamp, 35);
  header.writeBigInt64BE(identity.producerId, 43);
  header.writeInt16BE(identity.producerEpoch, 51);
  header.writeInt32BE(options.firstSequence, 53);
  header.writeInt32BE(records.length, 57);
  if (packed) out.bytes(packed);
  else writeRecords(out, records, bodies);
  let crc = crc32c.update(0, header.subarray(CHECKED_FROM));
  for (const piece of out.since(body)) crc = crc32c.update(crc, piece);
  header.writeUInt32BE(crc, CRC_AT);
}

/** null: compressing makes them no smaller. */
function packedRecords(
  compression: Exclude<Compression, 'none'>,
  records: readonly OutgoingRecord[],
  bodies: readonly number[],
  plainBytes: number,
): Buffer | null {
  const plain = new RequestWriter();
  writeRecords(plain, records, bodies);
  const packed = compress(compression, Buffer.concat(plain.pieces(), plainBytes));
  return packed.length < plainBytes ? packed : null;
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
