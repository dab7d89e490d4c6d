/** Reads what a record is made of: zigzag varints and stretches of bytes. */
import { UnreadableBatch } from './corrupt-batch.ts';

export const cutOff = () => new UnreadableBatch('damaged', 'a record does not fill its length');

export class VarintReader {
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
