/**
 * The codecs of Kafka's record batches: 1 gzip, 2 snappy, 3 lz4, 4 zstd. Which one a batch has is its producer's choice, and
 * a batch that cannot be read stops its partition, so all of them are here. Node has two of them; the others are read by
 * hand, each from its published format, every length checked against what is there.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { UnreadableBatch } from './corrupt-batch.ts';

/** Of one batch. A few KB can announce gigabytes; more than the kernel takes in one call is refused instead. */
const MAX_BYTES = 256 * 1024 * 1024;

/** Throws UnreadableBatch. */
export function decompress(codec: number, bytes: Buffer): Buffer {
  try {
    return inflate(codec, bytes);
  } catch (error) {
    if (error instanceof UnreadableBatch) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'ERR_BUFFER_TOO_LARGE' ? 'too-large' : 'damaged';
    throw new UnreadableBatch(why, `its compressed records cannot be read: ${message}`, { cause: error });
  }
}

function inflate(codec: number, bytes: Buffer): Buffer {
  switch (codec) {
    case 1:
      return gunzipSync(bytes, { maxOutputLength: MAX_BYTES });
    case 2:
      return snappy(bytes);
    case 3:
      return lz4(bytes);
    case 4:
      return zstdDecompressSync(bytes, { maxOutputLength: MAX_BYTES });
    default:
      throw new UnreadableBatch('unsupported', `codec ${codec} is not known`);
  }
}

/** Bytes that come one after the other, some of them repeated from before: what both formats are made of. */
class Output {
  bytes: Buffer;
  length = 0;

  constructor(room: number) {
    this.bytes = Buffer.allocUnsafe(room);
  }

  literal(source: Buffer, at: number, length: number): void {
    if (at + length > source.length) throw corrupt();
    this.#reserve(length);
    source.copy(this.bytes, this.length, at, at + length);
    this.length += length;
  }

  /** `distance` may be less than `length`: what is being written is then repeated. */
  copy(distance: number, length: number): void {
    if (distance < 1 || distance > this.length) throw corrupt();
    this.#reserve(length);
    const { bytes } = this;
    const end = this.length + length;
    for (let at = this.length; at < end; at++) bytes[at] = bytes[at - distance]!;
    this.length = end;
  }

  get written(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  #reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    if (needed > MAX_BYTES) throw new UnreadableBatch('too-large', `it holds more than ${MAX_BYTES} bytes`);
    const grown = Buffer.allocUnsafe(Math.min(MAX_BYTES, Math.max(needed, this.bytes.length * 2)));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }
}

const corrupt = () => new RangeError('a compressed record batch is corrupt');

const FIRST_ROOM = 4;
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);

/**
 * Either one block, as librdkafka writes it, or blocks in the framing of snappy-java, which the Java client and the broker
 * write: magic 8 bytes, version int32, compatible version int32, then per block its length int32 and the block.
 */
function snappy(bytes: Buffer): Buffer {
  const output = new Output(bytes.length * FIRST_ROOM);
  if (!bytes.subarray(0, XERIAL.length).equals(XERIAL)) {
    snappyBlock(bytes, output);
    return output.written;
  }
  for (let at = XERIAL.length + 8; at < bytes.length; ) {
    const end = at + 4 + int32(bytes, at);
    if (end < at + 4 || end > bytes.length) throw corrupt();
    snappyBlock(bytes.subarray(at + 4, end), output);
    at = end;
  }
  return output.written;
}

/**
 * Length of what comes out, as varint; then elements, by the two low bits of their tag: 0 a literal of tag >> 2 (+ 1) bytes, from
 * 60 on with its length - 1 in 1 to 4 bytes; 1 a copy of 4 to 11 bytes from up to 2 KB back, 2 and 3 a copy of up to 64 bytes, its
 * distance in 2 or 4 bytes. Little-endian.
 */
function snappyBlock(bytes: Buffer, output: Output): void {
  const start = output.length;
  let at = 0;
  let announced = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = uint8(bytes, at++);
    announced += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
    if (shift === 28) throw corrupt();
  }
  while (at < bytes.length) {
    const tag = uint8(bytes, at++);
    const size = tag >> 2;
    switch (tag & 3) {
      case 0: {
        const more = Math.max(0, size - 59);
        const length = (more > 0 ? littleEndian(bytes, at, more) : size) + 1;
        output.literal(bytes, at + more, length);
        at += more + length;
        break;
      }
      case 1:
        output.copy(((tag >> 5) << 8) | uint8(bytes, at), (size & 7) + 4);
        at += 1;
        break;
      case 2:
        output.copy(littleEndian(bytes, at, 2), size + 1);
        at += 2;
        break;
      default:
        output.copy(littleEndian(bytes, at, 4), size + 1);
        at += 4;
    }
  }
  if (output.length - start !== announced) throw corrupt();
}

const LZ4_MAGIC = 0x184d2204;
const LZ4_FLAGS = { dictionaryId: 0x01, contentChecksum: 0x04, contentSize: 0x08, blockChecksum: 0x10 } as const;

/**
 * A frame: magic uint32, flags, block size code, [content size 8], [dictionary id 4], header checksum 1; blocks of length
 * uint32 (its high bit: stored as it is), bytes, [checksum 4]; a length of 0; [checksum 4]. Little-endian. The checksums are not
 * looked at: the batch has one of its own.
 */
function lz4(bytes: Buffer): Buffer {
  if (littleEndian(bytes, 0, 4) !== LZ4_MAGIC) throw corrupt();
  const flags = uint8(bytes, 4);
  if ((flags & LZ4_FLAGS.dictionaryId) !== 0) throw new RangeError('a record batch needs an lz4 dictionary');
  const output = new Output(bytes.length * FIRST_ROOM);
  for (let at = (flags & LZ4_FLAGS.contentSize) === 0 ? 7 : 15; ; ) {
    const length = littleEndian(bytes, at, 4);
    at += 4;
    if (length === 0) return output.written;
    const stored = length >= 2 ** 31;
    const end = at + (stored ? length - 2 ** 31 : length);
    if (end > bytes.length) throw corrupt();
    if (stored) output.literal(bytes, at, end - at);
    else lz4Block(bytes.subarray(at, end), output);
    at = end + ((flags & LZ4_FLAGS.blockChecksum) === 0 ? 0 : 4);
  }
}

/**
 * Sequences: a token of two lengths (literals, and a copy's - 4; 15: more bytes follow, each added, up to one below 255),
 * literals, the copy's distance uint16. The last sequence ends after its literals.
 */
function lz4Block(bytes: Buffer, output: Output): void {
  let at = 0;
  const lengthFrom = (short: number) => {
    let length = short;
    if (short < 15) return length;
    for (;;) {
      const byte = uint8(bytes, at++);
      length += byte;
      if (byte < 255) return length;
    }
  };
  while (at < bytes.length) {
    const token = uint8(bytes, at++);
    const literals = lengthFrom(token >> 4);
    output.literal(bytes, at, literals);
    at += literals;
    if (at === bytes.length) return;
    const distance = littleEndian(bytes, at, 2);
    at += 2;
    output.copy(distance, lengthFrom(token & 15) + 4);
  }
}

function uint8(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw corrupt();
  return byte;
}

function littleEndian(bytes: Buffer, at: number, length: number): number {
  if (at + length > bytes.length) throw corrupt();
  return bytes.readUIntLE(at, length);
}

function int32(bytes: Buffer, at: number): number {
  if (at + 4 > bytes.length) throw corrupt();
  return bytes.readInt32BE(at);
}
