/**
 * The bytes of a request as the pieces that go to the socket one after the other. Small things are written into chunks, large
 * values stay where they are: they are read when the socket takes them, and not copied before.
 */
import type { Value } from '../port.ts';

/** A value from here on is a piece of its own; below, to copy it costs less than a piece does. */
const OWN_PIECE_BYTES = 2_048;
const CHUNK_BYTES = 4_096;

/** A place in what was written. */
export interface Mark {
  readonly piece: number;
  readonly byte: number;
}

export class RequestWriter {
  readonly #pieces: Uint8Array[] = [];
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  /** Of the chunk, [from, at) is not among the pieces yet. */
  #from = 0;
  #at = 0;

  int8(value: number): this {
    const at = this.#take(1);
    this.#chunk.writeInt8(value, at);
    return this;
  }

  int16(value: number): this {
    const at = this.#take(2);
    this.#chunk.writeInt16BE(value, at);
    return this;
  }

  int32(value: number): this {
    const at = this.#take(4);
    this.#chunk.writeInt32BE(value, at);
    return this;
  }

  int64(value: bigint): this {
    const at = this.#take(8);
    this.#chunk.writeBigInt64BE(value, at);
    return this;
  }

  /** Length as int16, -1 for null. */
  string(text: string | null): this {
    if (text === null) return this.int16(-1);
    return this.int16(Buffer.byteLength(text)).utf8(text);
  }

  /** Without a length. */
  utf8(text: string): this {
    const at = this.#take(Buffer.byteLength(text));
    this.#chunk.write(text, at);
    return this;
  }

  /** Zigzag. */
  varint(value: number): this {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0;
    let at = this.#take(varintBytes(value));
    for (; rest >= 0x80; rest >>>= 7) this.#chunk[at++] = (rest & 0x7f) | 0x80;
    this.#chunk[at] = rest;
    return this;
  }

  /** Length as varint, -1 for null. */
  value(value: Value): this {
    if (value === null) return this.varint(-1);
    this.varint(value.length);
    return this.bytes(value);
  }

  bytes(bytes: Uint8Array): this {
    if (bytes.length < OWN_PIECE_BYTES) {
      const at = this.#take(bytes.length);
      this.#chunk.set(bytes, at);
      return this;
    }
    this.#cut();
    this.#pieces.push(bytes);
    return this;
  }

  /** So many bytes in one stretch, to be filled in by the caller. */
  reserve(bytes: number): Buffer {
    const at = this.#take(bytes);
    return this.#chunk.subarray(at, at + bytes);
  }

  mark(): Mark {
    return { piece: this.#pieces.length, byte: this.#at - this.#from };
  }

  /** All that was written from the mark on. */
  since(mark: Mark): Uint8Array[] {
    const pieces = [...this.#pieces.slice(mark.piece), this.#chunk.subarray(this.#from, this.#at)];
    pieces[0] = pieces[0]!.subarray(mark.byte);
    return pieces;
  }

  pieces(): readonly Uint8Array[] {
    this.#cut();
    return this.#pieces;
  }

  #cut(): void {
    if (this.#at > this.#from) this.#pieces.push(this.#chunk.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }

  /** Where the next `bytes` go. */
  #take(bytes: number): number {
    if (this.#at + bytes > this.#chunk.length) {
      this.#cut();
      this.#chunk = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, bytes));
      this.#from = 0;
      this.#at = 0;
    }
    const at = this.#at;
    this.#at += bytes;
    return at;
  }
}

/** Of a zigzag varint. */
export function varintBytes(value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  let bytes = 1;
  for (; rest >= 0x80; rest >>>= 7) bytes++;
  return bytes;
}
