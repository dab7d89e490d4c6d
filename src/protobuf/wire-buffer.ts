/**
 * Protobuf's wire format (https://protobuf.dev/programming-guides/encoding) into one growing buffer. `reserve` comes first; the
 * writes themselves check nothing, for the bridge's JSON path pays for each. Whoever thinks in fields takes `writer.ts`, which is on top.
 *
 * | wire type | what follows the tag |
 * |---|---|
 * | 0 | varint |
 * | 1 | 8 bytes LE |
 * | 2 | varint length, then that many bytes |
 * | 5 | 4 bytes LE |
 */

/** More than `maxBytes` were asked for. */
export class TooLarge extends Error {}

/** A reserve asks for more than is then used: a message that just fits must not be refused for that. */
const RESERVE_SLACK_BYTES = 1_024;

export class WireBuffer {
  /** Written up to `length`. Another one after a `reserve`. */
  out: Buffer;
  length = 0;
  private readonly maxBytes: number;

  /** `out` is to begin with, and replaced by a larger one as needed. */
  constructor(out: Buffer, maxBytes = Number.POSITIVE_INFINITY) {
    this.out = out;
    this.maxBytes = maxBytes;
  }

  /** A copy of what was written. Throws TooLarge. */
  finish(): Buffer {
    if (this.length > this.maxBytes) throw new TooLarge();
    return Buffer.from(this.out.subarray(0, this.length));
  }

  /** Throws TooLarge. */
  reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.out.length) return;
    if (needed > this.maxBytes + RESERVE_SLACK_BYTES) throw new TooLarge();
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.out.length * 2, 16 * 1024));
    this.out.copy(grown, 0, 0, this.length);
    this.out = grown;
  }

  /** Below 2^32. */
  varint(value: number): void {
    while (value > 0x7f) {
      this.out[this.length++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    this.out[this.length++] = value;
  }

  varint64(high: number, low: number): void {
    while (high > 0) {
      this.out[this.length++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.varint(low);
  }

  fixed32(value: number): void {
    this.length = this.out.writeUInt32LE(value, this.length);
  }

  fixed64(high: number, low: number): void {
    this.out.writeUInt32LE(low, this.length);
    this.length = this.out.writeUInt32LE(high, this.length + 4);
  }

  double(value: number): void {
    this.length = this.out.writeDoubleLE(value, this.length);
  }

  /** Tag and length, then the caller writes as many bytes, which are reserved here. */
  delimited(tag: number, bytes: number): void {
    this.reserve(10 + bytes);
    this.varint(tag);
    this.varint(bytes);
  }

  /**
   * Begins a message whose length is known only behind it: leaves `room` bytes for it. The guess costs nothing when it
   * is right, else `close` moves the message.
   */
  open(tag: number, room: number): number {
    this.reserve(10);
    this.varint(tag);
    const start = this.length;
    this.length += room;
    return start;
  }

  /** Returns how many bytes the length took. */
  close(start: number, room: number): number {
    const bytes = this.length - start - room;
    const needed = varintBytes(bytes);
    if (needed !== room) {
      this.reserve(5);
      this.out.copyWithin(start + needed, start + room, this.length);
    }
    this.length = start;
    this.varint(bytes);
    this.length = start + needed + bytes;
    return needed;
  }
}

/** Bytes that `value`, below 2^32, takes as a varint. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}
