/** What only a corrupt or unusual batch shows; that Apache Kafka's own compression is read stands in the contract suite. */
import { describe, expect, it } from 'vitest';
import { UnreadableBatch } from '../../../src/kafka/kafkajs/corrupt-batch.ts';
import { decompress } from '../../../src/kafka/kafkajs/decompress.ts';

const SNAPPY = 2;
const LZ4 = 3;
const text = (codec: number, bytes: Buffer) => decompress(codec, bytes).toString();
const lz4Frame = (flags: number, ...parts: Buffer[]) =>
  Buffer.concat([Buffer.from([0x04, 0x22, 0x4d, 0x18, flags, 0x40]), ...parts, Buffer.alloc(4)]);
const lz4Length = (length: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(length);
  return bytes;
};

/** 'abcd', then a copy of each kind: 4 bytes from 2 back, 5 from 4 back, 6 from 1 back. */
const snappyBlock = Buffer.concat([
  Buffer.from([19, 3 << 2]),
  Buffer.from('abcd'),
  Buffer.from([0x01, 2, (4 << 2) | 2, 4, 0, (5 << 2) | 3, 1, 0, 0, 0]),
]);
/** 'abc', then 19 bytes from 3 back, then 'xy'. */
const lz4Block = Buffer.concat([
  Buffer.from([0x3f]),
  Buffer.from('abc'),
  Buffer.from([3, 0, 0, 0x20]),
  Buffer.from('xy'),
]);
const LZ4_TEXT = `${'abc'.repeat(7)}a${'xy'}`;

describe('snappy', () => {
  it('is read as one block without a frame, with copies that repeat what they write', () => {
    expect(text(SNAPPY, snappyBlock)).toBe('abcdcdcdcdcdccccccc');
  });

  it('is read with a literal whose length stands in bytes of its own', () => {
    const long = 'x'.repeat(300);
    expect(text(SNAPPY, Buffer.concat([Buffer.from([0xac, 0x02, 61 << 2, 43, 1]), Buffer.from(long)]))).toBe(long);
  });

  it('is refused, and does not hang, wherever it is cut off or points beyond its beginning', () => {
    for (let end = 0; end < snappyBlock.length; end++) {
      expect(() => decompress(SNAPPY, snappyBlock.subarray(0, end)), `${end}`).toThrow(UnreadableBatch);
    }
    expect(() => decompress(SNAPPY, Buffer.from([5, 0, 0x61, 0x01, 2]))).toThrow(UnreadableBatch);
  });
});

describe('lz4', () => {
  it('is read with compressed and stored blocks, that may reach back into earlier ones', () => {
    const stored = Buffer.concat([lz4Length(2 ** 31 + 3), Buffer.from('abc')]);
    const compressed = Buffer.concat([lz4Length(lz4Block.length), lz4Block]);
    const reachingBack = Buffer.concat([lz4Length(4), Buffer.from([0x01, 2, 0, 0x00])]);
    const frame = lz4Frame(0x40, Buffer.alloc(1), stored, compressed, reachingBack);
    expect(text(LZ4, frame)).toBe(`abc${LZ4_TEXT}xyxyx`);
  });

  it('is read with the length and checksums that a frame may have', () => {
    const block = Buffer.concat([lz4Length(lz4Block.length), lz4Block, Buffer.alloc(4)]);
    expect(text(LZ4, lz4Frame(0x5c, Buffer.alloc(8), Buffer.alloc(1), block))).toBe(LZ4_TEXT);
  });

  it('is refused, and does not hang, wherever it is cut off or points beyond its beginning', () => {
    const frame = lz4Frame(0x60, Buffer.alloc(1), lz4Length(lz4Block.length), lz4Block);
    for (let end = 0; end < frame.length; end++) {
      expect(() => decompress(LZ4, frame.subarray(0, end)), `${end}`).toThrow(UnreadableBatch);
    }
    const block = Buffer.from([0x10, 0x61, 2, 0]);
    expect(() => decompress(LZ4, lz4Frame(0x60, Buffer.alloc(1), lz4Length(4), block))).toThrow(UnreadableBatch);
  });
});
