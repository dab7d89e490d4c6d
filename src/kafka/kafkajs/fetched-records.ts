/** Records of a fetch answer, where they lie. Their format is in `record-batch.ts`. */
import type { CorruptBatch, Headers, Value } from '../port.ts';
import { UnreadableBatch } from './corrupt-batch.ts';
import type { Frame } from './frame-pool.ts';
import { cutOff, VarintReader } from './varint-reader.ts';

const EMPTY = new Uint8Array(0);

/** One batch whose records can be read. */
export interface ReadableBatch {
  /** Its records are all from `from` on. */
  readonly bytes: Buffer;
  readonly from: number;
  /** Number of records. */
  readonly records: number;
  readonly baseOffset: number;
  /** In Unix ms, as is `appendTime`: what the broker says that all its records have. */
  readonly baseTimestamp: number;
  readonly appendTime: number | null;
}

/** Consecutive records of one partition, as positions in the bytes of their batches: nine numbers a record, no object. */
export class FetchedRecords {
  /** Behind the last batch read, control batches included. */
  nextOffset: number;
  /** What lies there, where it cannot be read. */
  corrupt: CorruptBatch | null = null;
  count = 0;
  readonly #buffers: Buffer[] = [];
  /** Per record: buffer, key at, key length (-1: null), value at, value length (-1: null), headers at, record end. */
  #fields = new Int32Array(FIELDS * 64);
  /** Per record: offset, timestamp in Unix ms. Both stay exact below 2^53. */
  #numbers = new Float64Array(2 * 64);

  readonly #frames: Frame[] = [];
  #holders = 1;

  constructor(position: number) {
    this.nextOffset = position;
  }

  /** What batches lie in: released once nobody holds these records. */
  lieIn(frame: Frame): void {
    this.#frames.push(frame);
  }

  hold(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders > 0) return;
    for (const frame of this.#frames) frame.release();
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

  /** Adds those records of a batch that lie at `position` or behind it. Throws UnreadableBatch, and then has added none. */
  add(batch: ReadableBatch, position: number): void {
    const before = this.count;
    try {
      this.#add(batch, position);
    } catch (error) {
      this.count = before;
      throw error;
    }
  }

  #add({ bytes, from, records, baseOffset, baseTimestamp, appendTime }: ReadableBatch, position: number): void {
    const buffer = this.#buffers.push(bytes) - 1;
    const reader = new VarintReader(bytes, from);
    for (let left = records; left > 0; left--) {
      const recordEnd = reader.varint() + reader.at;
      if (recordEnd > bytes.length) throw cutOff();
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
        const row = this.#row(offset, timestamp) * FIELDS;
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
    if (reader.at !== bytes.length) throw new UnreadableBatch('damaged', 'it holds more than its records');
  }

  #row(offset: number, timestamp: number): number {
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

function skipHeaders(reader: VarintReader): void {
  for (let left = reader.varint(); left > 0; left--) {
    const nameLength = reader.varint();
    if (nameLength < 0) throw cutOff();
    reader.at += nameLength;
    const valueLength = reader.varint();
    reader.at += Math.max(0, valueLength);
  }
}
