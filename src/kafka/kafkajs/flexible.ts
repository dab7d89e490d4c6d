/**
 * The encoding of "flexible" request versions (KIP-482), which kafkajs does not have: strings and arrays begin with their
 * length + 1 as an unsigned varint (0: null), and tagged fields end each structure, of which none is sent here and all
 * are skipped. Header and body of a request are one such structure each: kafkajs writes the header, but for its tags.
 */
import { RequestWriter } from './request-writer.ts';

export class FlexibleWriter {
  readonly #out = new RequestWriter();

  boolean(value: boolean): this {
    this.#out.int8(value ? 1 : 0);
    return this;
  }

  int16(value: number): this {
    this.#out.int16(value);
    return this;
  }

  int32(value: number): this {
    this.#out.int32(value);
    return this;
  }

  int64(value: bigint): this {
    this.#out.int64(value);
    return this;
  }

  string(text: string | null): this {
    if (text === null) return this.#uvarint(0);
    this.#uvarint(Buffer.byteLength(text) + 1);
    this.#out.utf8(text);
    return this;
  }

  array<T>(items: readonly T[], each: (item: T) => void): this {
    this.#uvarint(items.length + 1);
    for (const item of items) each(item);
    return this;
  }

  /** Ends a structure. */
  noTags(): this {
    return this.#uvarint(0);
  }

  pieces(): readonly Uint8Array[] {
    return this.#out.pieces();
  }

  #uvarint(value: number): this {
    let rest = value;
    for (; rest >= 0x80; rest >>>= 7) this.#out.reserve(1)[0] = (rest & 0x7f) | 0x80;
    this.#out.reserve(1)[0] = rest;
    return this;
  }
}

/** Throws RangeError on an answer that is cut off. */
export class FlexibleReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  int64(): bigint {
    this.#at += 8;
    return this.#bytes.readBigInt64BE(this.#at - 8);
  }

  string(): string | null {
    const length = this.#uvarint() - 1;
    if (length < 0) return null;
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError(`a string of ${length} bytes is cut off`);
    return this.#bytes.toString('utf8', from, this.#at);
  }

  array<T>(each: () => T): T[] {
    const items: T[] = [];
    for (let left = this.#uvarint() - 1; left > 0; left--) items.push(each());
    return items;
  }

  skipTags(): void {
    for (let tags = this.#uvarint(); tags > 0; tags--) {
      this.#uvarint();
      const length = this.#uvarint();
      this.#at += length;
    }
  }

  #uvarint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#at++);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }
}
