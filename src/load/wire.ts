/**
 * The protobuf wire format (https://protobuf.dev/programming-guides/encoding), as far as load reports and metrics need it.
 *
 * | wire type | what follows the tag |
 * |---|---|
 * | 0 | varint |
 * | 1 | 8 bytes LE |
 * | 2 | varint length, then that many bytes |
 * | 5 | 4 bytes LE |
 */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

const utf8 = new TextDecoder();

/** Appends fields; a field of the default value is left out, as proto3 does. */
export class WireWriter {
  #buffer = Buffer.allocUnsafe(1_024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A copy of all that was written. */
  finish(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.#buffer, 0, this.#length);
  }

  /** A whole number from 0 to 2^53 - 1. */
  uint(field: number, value: number): void {
    if (value === 0) return;
    this.#tag(field, VARINT);
    this.#varint(value);
  }

  double(field: number, value: number): void {
    if (value !== 0) this.presentDouble(field, value);
  }

  /** Of a field with presence: 0 is written, too. */
  presentDouble(field: number, value: number): void {
    this.#tag(field, FIXED64);
    this.#room(8);
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
  }

  string(field: number, value: string): void {
    if (value !== '') this.bytes(field, Buffer.from(value));
  }

  /** Also an empty message is written: it counts where the field is repeated. */
  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, BYTES);
    this.#varint(value.length);
    this.#room(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  packed(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const inner = new WireWriter();
    for (const value of values) inner.#varint(value);
    this.bytes(field, inner.#buffer.subarray(0, inner.#length));
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  #varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a whole number from 0: ${value}`);
    this.#room(10);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

/** Bytes that are not what they should be. */
export class WireError extends Error {}

/** Reads one message field by field: `while (reader.next()) switch (reader.field) …`; what is not read is skipped. */
export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;
  #unread = false;
  field = 0;
  wireType = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Throws WireError when the message is cut off or has an unknown wire type. */
  next(): boolean {
    if (this.#unread) this.#skip();
    if (this.#position === this.#bytes.length) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.field === 0) throw new WireError('field number 0');
    this.#unread = true;
    return true;
  }

  /** Above 2^53 the nearest double. */
  uint(): number {
    this.#expect(VARINT);
    return this.#varint();
  }

  double(): number {
    this.#expect(FIXED64);
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** sfixed64, as a double. */
  sfixed64(): number {
    this.#expect(FIXED64);
    return Number(this.#view.getBigInt64(this.#take(8), true));
  }

  /** A view. */
  bytes(): Uint8Array {
    this.#expect(BYTES);
    const length = this.#varint();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  string(): string {
    return utf8.decode(this.bytes());
  }

  message(): WireReader {
    return new WireReader(this.bytes());
  }

  /** Adds a repeated number, packed or not. */
  numbers(into: number[]): void {
    if (this.wireType === VARINT) {
      into.push(this.uint());
      return;
    }
    const inner = this.message();
    while (inner.#position < inner.#bytes.length) into.push(inner.#varint());
  }

  #expect(wireType: number): void {
    if (this.wireType !== wireType)
      throw new WireError(`field ${this.field} has wire type ${this.wireType}, not ${wireType}`);
    this.#unread = false;
  }

  #skip(): void {
    this.#unread = false;
    if (this.wireType === VARINT) this.#varint();
    else if (this.wireType === FIXED64) this.#take(8);
    else if (this.wireType === BYTES) this.#take(this.#varint());
    else if (this.wireType === FIXED32) this.#take(4);
    else throw new WireError(`field ${this.field} has the unknown wire type ${this.wireType}`);
  }

  #take(length: number): number {
    const start = this.#position;
    if (length > this.#bytes.length - start) throw new WireError(`field ${this.field} is cut off`);
    this.#position = start + length;
    return start;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      const byte = this.#bytes[this.#position++];
      if (byte === undefined) throw new WireError('a varint is cut off');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new WireError('a varint of more than 10 bytes');
  }
}
