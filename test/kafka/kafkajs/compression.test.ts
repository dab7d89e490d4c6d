/** What only a corrupt or unusual batch shows; that Apache Kafka reads and writes the same formats stands in `../codecs.test.ts`. */
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codecNumber, compress, decompress, MAX_BATCH_BYTES } from '../../../src/kafka/kafkajs/compression.ts';
import { freeMemory } from '../../../src/kafka/kafkajs/free-memory.ts';

const MiB = 1024 * 1024;
const CODECS = ['gzip', 'snappy', 'lz4', 'zstd'] as const;
const [, SNAPPY, LZ4] = CODECS.map((name) => codecNumber(name));

const why = (cause: string) => expect.objectContaining({ name: 'UnreadableBatch', why: cause });
const thrownBy = (codec: number, bytes: Buffer): unknown => {
  try {
    decompress(codec, bytes);
  } catch (error) {
    return error;
  }
  return undefined;
};

describe.each(CODECS)('%s', (name) => {
  const codec = codecNumber(name);

  it('gives back what it was given, and makes it smaller', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 400 }), (piece, times) => {
        const bytes = Buffer.concat(Array.from({ length: times }, () => piece));
        const packed = compress(name, bytes);
        if (times > 50 && piece.length > 50) expect(packed.length).toBeLessThan(bytes.length / 5);
        expect(Buffer.compare(decompress(codec, packed), bytes)).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it('comes out in memory of its own, which can be freed: never in the pool of small buffers', () => {
    for (const length of [0, 1, 3_000, 100_000, 9_000_000]) {
      const packed = compress(name, Buffer.alloc(length, 'abc'));
      const unpacked = decompress(codec, packed);
      const pool = Buffer.from('of the pool');
      for (const bytes of [unpacked, packed])
        expect([bytes.byteOffset, bytes.buffer === pool.buffer]).toEqual([0, false]);
      freeMemory(unpacked);
      freeMemory(packed);
      expect([unpacked.length, packed.length, String(pool)]).toEqual([0, 0, 'of the pool']);
    }
  });

  it('that is cut off anywhere, or hit in any byte, is refused or comes out as something else, and does not hang', () => {
    const bytes = Buffer.from('a batch of records, a batch of records, and another batch of records');
    const packed = compress(name, bytes);
    for (let end = 0; end < packed.length; end++) {
      const thrown = thrownBy(codec, packed.subarray(0, end));
      if (thrown) expect(thrown, `${end}`).toEqual(why('damaged'));
      else expect(decompress(codec, packed.subarray(0, end)).equals(bytes), `${end}`).toBe(false);
    }
    for (let at = 0; at < packed.length; at++) {
      const hit = Buffer.from(packed);
      hit[at]! ^= 0xff;
      const thrown = thrownBy(codec, hit);
      if (thrown) expect(thrown, `${at}`).toMatchObject({ name: 'UnreadableBatch' });
    }
  });
});

describe('a batch that would be larger than what is taken', () => {
  const pieceBytes = 32 * MiB;
  const pieces = MAX_BATCH_BYTES / pieceBytes + 1;
  const repeated = (piece: Buffer) => Buffer.concat(Array.from({ length: pieces }, () => piece));

  it('is refused as gzip', () => {
    expect(thrownBy(1, repeated(gzipSync(Buffer.alloc(pieceBytes))))).toEqual(why('too-large'));
  });

  it('is refused as zstd', () => {
    expect(thrownBy(4, zstdCompressSync(Buffer.alloc(MAX_BATCH_BYTES + 1)))).toEqual(why('too-large'));
  });

  it('is refused as snappy by what it announces, in one block or in all', () => {
    const announces = (bytes: number) => {
      const varint = [];
      let rest = bytes;
      for (; rest >= 0x80; rest = Math.floor(rest / 128)) varint.push((rest & 0x7f) | 0x80);
      return Buffer.from([...varint, rest, 0, 0]);
    };
    expect(thrownBy(SNAPPY!, announces(MAX_BATCH_BYTES + 1))).toEqual(why('too-large'));
    expect(thrownBy(SNAPPY!, announces(2 ** 32 - 1))).toEqual(why('too-large'));
    const block = announces(pieceBytes);
    const length = Buffer.from([0, 0, 0, block.length]);
    const frame = compress('snappy', Buffer.alloc(0)).subarray(0, 16);
    expect(thrownBy(SNAPPY!, Buffer.concat([frame, repeated(Buffer.concat([length, block]))]))).toEqual(
      why('too-large'),
    );
  });

  it('is refused as lz4 by how many blocks it has', () => {
    const packed = compress('lz4', Buffer.alloc(pieceBytes));
    const [header, blocks, end] = [packed.subarray(0, 7), packed.subarray(7, -4), packed.subarray(-4)];
    expect(thrownBy(LZ4!, Buffer.concat([header, repeated(blocks), end]))).toEqual(why('too-large'));
    expect(decompress(LZ4!, Buffer.concat([header, blocks, blocks, end])).length).toBe(2 * pieceBytes);
  });
});

describe('snappy', () => {
  /** 'abcd', then a copy of each kind: 4 bytes from 2 back, 5 from 4 back, 6 from 1 back. */
  const block = Buffer.concat([
    Buffer.from([19, 3 << 2]),
    Buffer.from('abcd'),
    Buffer.from([0x01, 2, (4 << 2) | 2, 4, 0, (5 << 2) | 3, 1, 0, 0, 0]),
  ]);

  it('is read as one block without a frame, as librdkafka writes it', () => {
    expect(decompress(SNAPPY!, block).toString()).toBe('abcdcdcdcdcdccccccc');
  });

  it('is refused, and does not hang, wherever such a block is cut off', () => {
    for (let end = 0; end < block.length; end++)
      expect(thrownBy(SNAPPY!, block.subarray(0, end)), `${end}`).toEqual(why('damaged'));
  });
});

it('a codec that is not known is not taken for damage', () => {
  expect(thrownBy(5, Buffer.from('?'))).toEqual(why('unsupported'));
});
