/** Writes protobuf messages field by field, each as it is told: a default value, too. Nested messages are written in place. */
import { WireBuffer } from './wire-buffer.ts';

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;
/** Of a tag, and of a number of at most 64 bits. */
const TAG_BYTES = 5;
const NUMBER_BYTES = 10;

export class ProtobufWriter {
  readonly #wire: WireBuffer;

  /** The buffer grows as needed; start it at the bytes that a usual message takes. */
  constructor(initialBytes = 64 * 1024) {
    this.#wire = new WireBuffer(Buffer.allocUnsafeSlow(initialBytes));
  }

  /** Bytes written since the last `finish()` or `clear()`. */
  get lengthBytes(): number {
    return this.#wire.length;
  }

  /** Wire type 0. A negative value is written as protobuf does it: 64-bit two's complement, ten bytes. */
  varint(field: number, value: number | bigint): void {
    this.#tag(field, VARINT, NUMBER_BYTES);
    this.#varint(value);
  }

  /** Wire type 1: fixed64, sfixed64. */
  fixed64(field: number, value: bigint): void {
    const wire = this.#tag(field, FIXED64, 8);
    wire.length = wire.out.writeBigUInt64LE(BigInt.asUintN(64, value), wire.length);
  }

  /** Wire type 1. */
  double(field: number, value: number): void {
    this.#tag(field, FIXED64, 8).double(value);
  }

  /** Wire type 5: fixed32. */
  fixed32(field: number, value: number): void {
    this.#tag(field, FIXED32, 4).fixed32(value >>> 0);
  }

  /** Wire type 2: bytes, messages that are encoded already. */
  bytes(field: number, value: Uint8Array): void {
    const wire = this.#wire;
    wire.delimited(field * 8 + DELIMITED, value.length);
    wire.out.set(value, wire.length);
    wire.length += value.length;
  }

  /** Wire type 2: in UTF-8. */
  string(field: number, value: string): void {
    const wire = this.#wire;
    wire.delimited(field * 8 + DELIMITED, Buffer.byteLength(value));
    wire.length += wire.out.write(value, wire.length);
  }

  /** Wire type 2: a nested message of what `write` writes. */
  message(field: number, write: () => void): void {
    const start = this.#wire.open(field * 8 + DELIMITED, 1);
    write();
    this.#wire.close(start, 1);
  }

  /** Wire type 2: a repeated varint, packed. */
  packed(field: number, values: Iterable<number | bigint>): void {
    this.message(field, () => {
      for (const value of values) {
        this.#wire.reserve(NUMBER_BYTES);
        this.#varint(value);
      }
    });
  }

  /** The message, as a copy; the writer starts anew. */
  finish(): Buffer {
    const message = this.#wire.finish();
    this.clear();
    return message;
  }

  /** Starts anew. */
  clear(): void {
    this.#wire.length = 0;
  }

  #tag(field: number, wireType: number, payloadBytes: number): WireBuffer {
    const wire = this.#wire;
    wire.reserve(TAG_BYTES + payloadBytes);
    wire.varint(field * 8 + wireType);
    return wire;
  }

  #varint(value: number | bigint): void {
    if (typeof value === 'number' && value >>> 0 === value) {
      this.#wire.varint(value);
      return;
    }
    const bits = BigInt.asUintN(64, BigInt(value));
    this.#wire.varint64(Number(bits >> 32n), Number(bits & 0xffff_ffffn));
  }
}
