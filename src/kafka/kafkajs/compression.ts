/**
 * The codecs of Kafka's record batches, both ways. Which one a batch has is its producer's choice, so all are read. Node has two
 * of them; snappy and lz4 are native modules, loaded when they are first needed: where a platform has none, the rest works.
 *
 * A few KB can announce gigabytes. What a batch would take is bounded before it is decompressed.
 *
 * What comes out has its memory to itself, never a part of Node's pool: the caller frees it (`free-memory.ts`) as soon as it is read. What
 * native modules return counts most: kept until the garbage collector comes, they take new pages of the system for each, five
 * times the time that lz4 itself takes.
 */
import { createRequire } from 'node:module';
import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Config } from '../../config.ts';
import { WeirError } from '../../errors.ts';
import { UnreadableBatch } from './corrupt-batch.ts';
import { freeMemory } from './free-memory.ts';

type Own = Buffer<ArrayBuffer>;
export type Compression = Config['kafka']['compression'];
export type Codec = Exclude<Compression, 'none'>;

/** By the number that stands in a batch's attributes. */
const CODECS: readonly Compression[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
/** Of one batch, decompressed. */
export const MAX_BATCH_BYTES = 256 * 1024 * 1024;

const KiB = 1024;
/** Node's zlib writes chunks and joins them; with all in one chunk it takes half the time. Smaller ones would come from Node's pool. */
const LEAST_CHUNK_BYTES = 64 * KiB;
const MOST_CHUNK_BYTES = 4096 * KiB;
/** Where nothing tells how far a batch was compressed. */
const USUAL_RATIO = 8;

export const codecNumber = (compression: Compression): number => CODECS.indexOf(compression);

const require = createRequire(import.meta.url);
const snappy = () => require('snappy') as typeof import('snappy');
const lz4 = () => require('lz4-napi') as typeof import('lz4-napi');
/** Out of snappy's own memory at once: where that is kept longer, new pages for the next output cost more than the copy. */
const copied = { copyOutputData: true };

/** Throws CONFIG_INVALID where this platform cannot compress so. */
export function requireCompression(compression: Compression): void {
  try {
    if (compression !== 'none') compress(compression, Buffer.alloc(1));
  } catch (cause) {
    throw new WeirError(
      'CONFIG_INVALID',
      `kafka.compression: ${compression} does not run on this platform (${process.platform} ${process.arch}); allowed here: none, gzip, zstd`,
      { cause },
    );
  }
}

/** The levels are the fast ones: higher ones take up to seven times as long for a tenth less. */
export function compress(codec: Codec, bytes: Buffer): Own {
  const chunkSize = chunkFor(bytes.length);
  switch (codec) {
    case 'gzip':
      return gzipSync(bytes, { level: 1, chunkSize });
    case 'snappy':
      return snappyFrame(snappy().compressSync(bytes, copied) as Own);
    case 'lz4':
      return lz4().compressFrameSync(bytes) as Own;
    case 'zstd':
      return zstdCompressSync(bytes, { chunkSize, params: { [constants.ZSTD_c_compressionLevel]: 1 } }) as Own;
  }
}

/** Throws UnreadableBatch. */
export function decompress(codec: number, bytes: Buffer): Own {
  const name = CODECS[codec];
  if (name === undefined || name === 'none') throw new UnreadableBatch('unsupported', `codec ${codec} is not known`);
  try {
    return inflate(name, bytes);
  } catch (error) {
    if (error instanceof UnreadableBatch) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
    const why = code === 'MODULE_NOT_FOUND' ? 'unsupported' : 'damaged';
    throw new UnreadableBatch(why, `its ${name} records cannot be decompressed: ${message}`, { cause: error });
  }
}

function inflate(codec: Codec, bytes: Buffer): Own {
  const maxOutputLength = MAX_BATCH_BYTES;
  switch (codec) {
    case 'gzip':
      return snug(gunzipSync(bytes, { chunkSize: chunkFor(gzipAnnounces(bytes)), maxOutputLength }));
    case 'snappy':
      return unsnappy(bytes);
    case 'lz4':
      if (lz4Bound(bytes) > MAX_BATCH_BYTES) throw tooLarge();
      return lz4().decompressFrameSync(bytes) as Own;
    case 'zstd':
      return snug(zstdDecompressSync(bytes, { chunkSize: chunkFor(zstdAnnounces(bytes)), maxOutputLength }) as Own);
  }
}

/** For so many bytes; one more than they are, since Node asks for another chunk when one is full. */
const chunkFor = (bytes: number) => Math.min(MOST_CHUNK_BYTES, Math.max(LEAST_CHUNK_BYTES, bytes + 1));

/** Many small batches would each hold a chunk. */
function snug(bytes: Own): Own {
  if (bytes.buffer.byteLength <= 2 * bytes.length) return bytes;
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  freeMemory(bytes);
  return copy;
}

/** A member ends with its decompressed length mod 2^32, uint32 little-endian. */
const gzipAnnounces = (bytes: Buffer) => (bytes.length < 4 ? 0 : bytes.readUInt32LE(bytes.length - 4));

/**
 * Magic uint32, descriptor, [window 1], [dictionary id 0, 1, 2 or 4], [content size 0, 1, 2, 4 or 8], little-endian. In the descriptor are
 * the size of the content size (bits 6 and 7), single segment (5: no window, and always a content size), the size of the dictionary id (0
 * and 1). Writers that stream, such as the Java client, leave the content size out.
 */
function zstdAnnounces(bytes: Buffer): number {
  const descriptor = bytes[4] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const at = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
  if (at + 8 <= bytes.length) {
    if (descriptor >> 6 === 1) return 256 + bytes.readUInt16LE(at);
    if (descriptor >> 6 === 2) return bytes.readUInt32LE(at);
  }
  return bytes.length * USUAL_RATIO;
}

const tooLarge = () => new UnreadableBatch('too-large', `it would be more than ${MAX_BATCH_BYTES} bytes decompressed`);
const cutOff = (codec: Codec) => new UnreadableBatch('damaged', `its ${codec} records are cut off`);

/** Magic, version int32 = 1, compatible version int32 = 1. */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00, 0, 0, 0, 1, 0, 0, 0, 1]);
const XERIAL_MAGIC = XERIAL.subarray(0, 8);

/**
 * Snappy has no frame of its own in Kafka. Either one block, as librdkafka writes it, or blocks in the framing of snappy-java, which the
 * Java client and the broker write and all read: the header above, then per block its length int32 and the block.
 */
function snappyFrame(block: Own): Own {
  const frame = Buffer.allocUnsafeSlow(XERIAL.length + 4 + block.length);
  XERIAL.copy(frame);
  frame.writeInt32BE(block.length, XERIAL.length);
  block.copy(frame, XERIAL.length + 4);
  freeMemory(block);
  return frame;
}

function unsnappy(bytes: Buffer): Own {
  const blocks: Buffer[] = [];
  if (bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) {
    for (let at = XERIAL.length; at < bytes.length; ) {
      const end = at + 4 <= bytes.length ? at + 4 + bytes.readInt32BE(at) : at;
      if (end < at + 4 || end > bytes.length) throw cutOff('snappy');
      blocks.push(bytes.subarray(at + 4, end));
      at = end;
    }
  } else blocks.push(bytes);
  const announced = blocks.reduce((sum, block) => sum + announcedBytes(block), 0);
  if (announced > MAX_BATCH_BYTES) throw tooLarge();
  if (blocks.length === 1) return unsnappyBlock(blocks[0]!);
  const all = Buffer.allocUnsafeSlow(announced);
  let at = 0;
  for (const block of blocks) {
    const part = unsnappyBlock(block);
    at += part.copy(all, at);
    freeMemory(part);
  }
  return all;
}

const unsnappyBlock = (block: Buffer) => snappy().uncompressSync(block, { asBuffer: true, ...copied }) as Own;

/** A block begins with its decompressed length, a varint of at most 5 bytes. */
function announcedBytes(block: Buffer): number {
  let bytes = 0;
  for (let at = 0; at < 5; at++) {
    const byte = block[at];
    if (byte === undefined) break;
    bytes += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return bytes;
  }
  throw cutOff('snappy');
}

const LZ4_MAGIC = 0x184d2204;
const LZ4_FLAGS = { dictionaryId: 0x01, contentSize: 0x08, blockChecksum: 0x10 } as const;
/** A byte that extends a copy's length stands for so many. */
const LZ4_MOST_PER_BYTE = 255;

/**
 * Most that a frame can hold. Magic uint32, flags, block size code in bits 4 to 6 (4: 64 KiB, each further one four times as much),
 * [content size 8], [dictionary id 4], header checksum 1; blocks of length uint32 (its high bit: stored as it is), bytes,
 * [checksum 4]; a length of 0; [checksum 4]. Little-endian.
 */
function lz4Bound(bytes: Buffer): number {
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== LZ4_MAGIC)
    throw new UnreadableBatch('damaged', 'its lz4 records do not begin like a frame');
  const flags = bytes[4]!;
  const blockBytes = 2 ** (8 + 2 * ((bytes[5]! >> 4) & 7));
  let at = 7;
  if ((flags & LZ4_FLAGS.contentSize) !== 0) at += 8;
  if ((flags & LZ4_FLAGS.dictionaryId) !== 0) at += 4;
  for (let bound = 0; ; ) {
    if (at + 4 > bytes.length) throw cutOff('lz4');
    const length = bytes.readUInt32LE(at) % 2 ** 31;
    if (bytes.readUInt32LE(at) === 0) return bound;
    at += 4 + length + ((flags & LZ4_FLAGS.blockChecksum) === 0 ? 0 : 4);
    bound += Math.min(blockBytes, length * LZ4_MOST_PER_BYTE);
  }
}
