/**
 * Writes protobuf messages field by field into one growing buffer. Nested messages are written in place: one byte is
 * kept for the length, and the content moves up where the length needs more.
 */
export class ProtobufWriter {
  #buffer: Buffer;
  #end = 0;

  /** The buffer grows as needed; start it at the bytes that a usual message takes. */
  constructor(initialBytes = 64 * 1024) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  /** Bytes written since the last `finish()`. */
  get lengthBytes(): number {
    return this.#end;
  }

  /** Wire type 0. A negative value is written as protobuf does it: 64-bit two's complement, ten bytes. */
  varint(field: number, value: number | bigint): void {
    this.#tag(field, 0);
    if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
      this.#uint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    this.#reserve(10);
    while (rest > 0x7fn) {
      this.#buffer[this.#end++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#end++] = Number(rest);
  }

  /** Wire type 1: fixed64, sfixed64. */
  fixed64(field: number, value: bigint): void {
    this.#tag(field, 1);
    this.#reserve(8);
    this.#end = this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, value), this.#end);
  }

  /** Wire type 1. */
  double(field: number, value: number): void {
    this.#tag(field, 1);
    this.#reserve(8);
    this.#end = this.#buffer.writeDoubleLE(value, this.#end);
  }

  /** Wire type 5: fixed32. */
  fixed32(field: number, value: number): void {
    this.#tag(field, 5);
    this.#reserve(4);
    this.#end = this.#buffer.writeUInt32LE(value >>> 0, this.#end);
  }

  /** Wire type 2: bytes, strings in UTF-8, messages that are encoded already. */
  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, 2);
    this.#uint(value.length);
    this.raw(value);
  }

  string(field: number, value: string): void {
    this.#tag(field, 2);
    const length = Buffer.byteLength(value);
    this.#uint(length);
    this.#reserve(length);
    this.#end += this.#buffer.write(value, this.#end);
  }

  /** Wire type 2: a nested message of what `write` writes. */
  message(field: number, write: () => void): void {
    this.#tag(field, 2);
    this.#reserve(1);
    const start = ++this.#end;
    write();
    const length = this.#end - start;
    if (length < 0x80) {
      this.#buffer[start - 1] = length;
      return;
    }
    const extra = varintBytes(length) - 1;
    this.#reserve(extra);
    this.#buffer.copyWithin(start + extra, start, this.#end);
    const end = this.#end + extra;
    this.#end = start - 1;
    this.#uint(length);
    this.#end = end;
  }

  /** Bytes as they stand, without a tag: a field, or several, encoded already. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#end);
    this.#end += value.length;
  }

  /** The message, as a copy; the writer starts anew. */
  finish(): Uint8Array {
    const message = Uint8Array.prototype.slice.call(this.#buffer, 0, this.#end);
    this.#end = 0;
    return message;
  }

  #tag(field: number, wireType: number): void {
    this.#uint(field * 8 + wireType);
  }

  #uint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#end++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#end++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#end + bytes));
    grown.set(this.#buffer.subarray(0, this.#end));
    this.#buffer = grown;
  }
}

/** Bytes that `value` (0 to 2^53) takes as a varint. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}
