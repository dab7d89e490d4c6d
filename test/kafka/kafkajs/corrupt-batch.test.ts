/** Damage to a fetch answer: what lies before it comes out as it was, and nothing that was damaged ever does. */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FetchedBatches } from '../../../src/kafka/kafkajs/fetched-batches.ts';
import type { FetchedRecords } from '../../../src/kafka/kafkajs/fetched-records.ts';
import { loadCrc32c } from '../../../src/kernels/index.ts';
import { encodeBatch } from './encode-batch.ts';

const crc32c = await loadCrc32c();
const HEADER_BYTES = 61;

function batch(baseOffset: number, ...values: string[]): Buffer {
  const bytes = encodeBatch(
    values.map((value) => ({ value: Buffer.from(value), key: null, headers: [['tenant', Buffer.from('acme')]] })),
    { producerId: 5n, producerEpoch: 0 },
    { firstSequence: 0, transactional: false, timestampMs: 1_700_000_000_000 },
  );
  bytes.writeBigInt64BE(BigInt(baseOffset), 0);
  return bytes;
}

/** With the checksum that its bytes have: as whoever wrote it wrong would have sent it. */
function sealed(bytes: Buffer): Buffer {
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeUInt32BE(crc32c.update(0, bytes.subarray(21)), 17);
  return bytes;
}

/** As `batch(0, …)`, with what stands for its records. */
function withRecords(records: Buffer, { codec = 0, count = 1 } = {}): Buffer {
  const bytes = Buffer.concat([batch(0, 'x').subarray(0, HEADER_BYTES), records]);
  bytes.writeInt16BE(codec, 21);
  bytes.writeInt32BE(count - 1, 23);
  bytes.writeInt32BE(count, 57);
  return sealed(bytes);
}

function read(bytes: Buffer, position = 0): FetchedRecords {
  return new FetchedBatches(bytes, position, []).next();
}

const textsOf = (records: FetchedRecords) =>
  Array.from({ length: records.count }, (_, i) => [records.offset(i), String(records.value(i))]);

const first = batch(0, 'a', 'b');
const middle = batch(2, 'c', 'd', 'e');
const last = batch(5, 'f');

describe('a fetch answer with a damaged batch', () => {
  it('gives what lies before it, and of the batch where it begins, where it ends, and its bytes', () => {
    const damaged = Buffer.from(middle);
    damaged[damaged.length - 1]! ^= 1;
    const records = read(Buffer.concat([first, damaged, last]));
    expect(textsOf(records)).toEqual([
      [0, 'a'],
      [1, 'b'],
    ]);
    expect(records.nextOffset).toBe(2);
    expect(records.corrupt).toMatchObject({ cause: 'damaged', offset: 2n, nextOffset: 5n });
    expect(records.corrupt?.reason).toMatch(/checksum/);
    expect(Buffer.from(records.corrupt!.bytes)).toEqual(damaged);
  });

  it('never gives anything else, whichever bit is hit', () => {
    // Not the base offset and the leader epoch, which the broker sets after the checksum was made.
    const hit = fc.integer({ min: 16 * 8, max: middle.length * 8 - 1 });
    fc.assert(
      fc.property(hit, fc.boolean(), (bit, hasNext) => {
        const damaged = Buffer.from(middle);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        const records = read(Buffer.concat(hasNext ? [first, damaged, last] : [first, damaged]));
        expect(records.count).toBe(2);
        expect(records.nextOffset).toBe(2);
        expect(records.corrupt?.offset).toBe(2n);
        expect([5n, ...(hasNext ? [] : [null])]).toContain(records.corrupt?.nextOffset);
      }),
      { numRuns: 500 },
    );
  });

  it('has no end where the length is hit, and never one that is wrong', () => {
    for (let bit = 8 * 8; bit < 12 * 8; bit++) {
      const damaged = Buffer.from(middle);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const records = read(Buffer.concat([first, damaged, last]));
      expect([records.count, records.nextOffset]).toEqual([2, 2]);
      expect([null, 5n, undefined], `bit ${bit}`).toContain(records.corrupt?.nextOffset);
    }
  });

  it('can be read on from behind it', () => {
    const damaged = Buffer.from(middle);
    damaged[70]! ^= 0x80;
    expect(read(Buffer.concat([damaged, last]), 3).corrupt).toMatchObject({ offset: 3n, nextOffset: 5n });
    expect(textsOf(read(last, 5))).toEqual([[5, 'f']]);
  });
});

describe('a batch whose checksum is right', () => {
  it.each([
    ['gzip', 1],
    ['snappy', 2],
    ['lz4', 3],
    ['zstd', 4],
  ])('is refused where its %s cannot be decompressed', (_, codec) => {
    const records = read(Buffer.concat([withRecords(Buffer.from('not compressed at all'), { codec })]));
    expect(records.corrupt).toMatchObject({ cause: 'damaged', offset: 0n, nextOffset: 1n });
    expect(records.count).toBe(0);
  });

  it('is refused where what it compressed is no record', () => {
    const noise = gzipSync(Buffer.from([6, 0, 0, 0, 1, 200, 1, 0]));
    expect(read(withRecords(noise, { codec: 1 })).corrupt).toMatchObject({ cause: 'damaged' });
  });

  it('is refused where a length in it reaches too far, or not far enough', () => {
    const whole = batch(0, 'abc').subarray(HEADER_BYTES);
    for (let at = 0; at < whole.length; at++) {
      const records = Buffer.from(whole);
      records[at] = 0x7f;
      const { corrupt, count } = read(withRecords(records));
      // Timestamp, value and header bytes may be anything.
      if (corrupt) expect([corrupt.cause, count]).toEqual(['damaged', 0]);
    }
    const short = Buffer.from(whole);
    short[0]! -= 2;
    expect(read(withRecords(short)).corrupt).toMatchObject({ cause: 'damaged' });
    expect(read(withRecords(whole, { count: 2 })).corrupt).toMatchObject({ cause: 'damaged' });
    expect(read(withRecords(whole, { count: 0 })).corrupt).toMatchObject({ cause: 'damaged' });
  });

  it('is not damaged but unsupported where codec or format are not known', () => {
    const codec = withRecords(Buffer.from('?'), { codec: 5 });
    expect(read(codec).corrupt).toMatchObject({ cause: 'unsupported', reason: expect.stringContaining('codec 5') });
    const format = Buffer.from(first);
    format[16] = 3;
    expect(read(format).corrupt).toMatchObject({ cause: 'unsupported', reason: expect.stringContaining('format 3') });
  });
});
