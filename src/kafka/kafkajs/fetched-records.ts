/** The records of a fetch answer, where they lie. Their format is in `record-batch.ts`. */
import type { CorruptBatch, Headers, Value } from '../port.ts';
import { decompress } from './compression.ts';
import { corruptBatch, UnreadableBatch } from './corrupt-batch.ts';
import type { Frame } from './frame-pool.ts';
import {
  AT,
  CHECKED_FROM,
  CODEC,
  CONTROL,
  COUNTED_FROM,
  crc32c,
  FORMAT,
  HEADER_BYTES,
  LOG_APPEND_TIME,
  TRANSACTIONAL,
} from './record-batch.ts';

/** Of one partition's answer: once it has decompressed to so much, what follows is left for the next fetch. */
const MOST_INFLATED_BYTES = 32 * 1024 * 1024;
const EMPTY = new Uint8Array(0);

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
      const end = at + COUNTED_FROM + bytes.readInt32BE(at + AT.length);
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
    const lastOffset = baseOffset + bytes.readInt32BE(at + AT.lastOffsetDelta);
    const attributes = bytes.readInt16BE(at + AT.attributes);
    const producerId = bytes.readBigInt64BE(at + AT.producerId);
    while (waiting.length > 0 && waiting[0]!.firstOffset <= lastOffset) abortedNow.add(waiting.shift()!.producerId);
    const transactional = (attributes & TRANSACTIONAL) !== 0;
    if ((attributes & CONTROL) !== 0) {
      // A control record's key: version int16, type int16; type 0 ends an aborted transaction.
      if (transactional && controlType(bytes, at + HEADER_BYTES) === 0) abortedNow.delete(producerId);
    } else if (!transactional || !abortedNow.has(producerId)) {
      this.#readBatch(bytes, at, end, baseOffset, attributes, position);
    }
    this.nextOffset = Math.max(this.nextOffset, lastOffset + 1);
  }

  #readBatch(bytes: Buffer, at: number, end: number, baseOffset: number, attributes: number, position: number): void {
    const baseTimestamp = Number(bytes.readBigInt64BE(at + AT.baseTimestamp));
    const appendTime = (attributes & LOG_APPEND_TIME) !== 0 ? Number(bytes.readBigInt64BE(at + AT.maxTimestamp)) : null;
    const codec = attributes & CODEC;
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
    for (let left = bytes.readInt32BE(at + AT.records); left > 0; left--) {
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
  const [told, is] = [bytes.readUInt32BE(at + AT.checksum), crc32c.update(0, bytes.subarray(at + CHECKED_FROM, end))];
  if (told !== is)
    throw new UnreadableBatch(
      'damaged',
      `its checksum says ${told.toString(16)}, that of its bytes is ${is.toString(16)}`,
    );
  const format = bytes[at + AT.format];
  if (format !== FORMAT) throw new UnreadableBatch('unsupported', `record format ${format} is not known`);
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
