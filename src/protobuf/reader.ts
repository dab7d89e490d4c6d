/** Reads protobuf messages field by field. The table of wire types is in `wire-buffer.ts`. */

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

const utf8 = new TextDecoder();

/** Bytes that are not what they should be. */
export class ProtobufError extends Error {}

/** Reads one message field by field: `while (reader.next()) switch (reader.field) …`; what is not read is skipped. */
export class ProtobufReader {
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

  /** Throws ProtobufError when the message is cut off or has an unknown wire type. */
  next(): boolean {
    if (this.#unread) this.#skip();
    if (this.#position === this.#bytes.length) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.field === 0) throw new ProtobufError('field number 0');
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
    this.#expect(DELIMITED);
    const length = this.#varint();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  string(): string {
    return utf8.decode(this.bytes());
  }

  message(): ProtobufReader {
    return new ProtobufReader(this.bytes());
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
      throw new ProtobufError(`field ${this.field} has wire type ${this.wireType}, not ${wireType}`);
    this.#unread = false;
  }

  #skip(): void {
    this.#unread = false;
    if (this.wireType === VARINT) this.#varint();
    else if (this.wireType === FIXED64) this.#take(8);
    else if (this.wireType === DELIMITED) this.#take(this.#varint());
    else if (this.wireType === FIXED32) this.#take(4);
    else throw new ProtobufError(`field ${this.field} has the unknown wire type ${this.wireType}`);
  }

  #take(length: number): number {
    const start = this.#position;
    if (length > this.#bytes.length - start) throw new ProtobufError(`field ${this.field} is cut off`);
    this.#position = start + length;
    return start;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      const byte = this.#bytes[this.#position++];
      if (byte === undefined) throw new ProtobufError('a varint is cut off');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new ProtobufError('a varint of more than 10 bytes');
  }
}
