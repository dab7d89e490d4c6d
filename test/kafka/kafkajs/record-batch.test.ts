import { createRequire } from 'node:module';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FetchedBatches } from '../../../src/kafka/kafkajs/fetched-batches.ts';
import type { FetchedRecords } from '../../../src/kafka/kafkajs/fetched-records.ts';
import { encodeHeaders, recordBytes, writeBatch } from '../../../src/kafka/kafkajs/outgoing-batch.ts';
import { RequestWriter } from '../../../src/kafka/kafkajs/request-writer.ts';
import { encodeBatch } from './encode-batch.ts';

// kafkajs's own codec is the independent one.
const require = createRequire(import.meta.url);
const Decoder = require('kafkajs/src/protocol/decoder');
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder');
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0');
const Record = require('kafkajs/src/protocol/recordBatch/record/v0');
const crc32c = require('kafkajs/src/protocol/recordBatch/crc32C');

const IDENTITY = { producerId: 4_711n, producerEpoch: 3 };
const encode = (records: Parameters<typeof encodeBatch>[0], transactional = false) =>
  encodeBatch(records, IDENTITY, { firstSequence: 17, transactional, timestampMs: 1_700_000_000_123 });
const plain = (value: string) => ({ value: Buffer.from(value), key: null, headers: [] });

const bytes = fc.uint8Array({ maxLength: 300 });
const nullable = fc.option(bytes);
const record = fc.record({
  value: nullable,
  key: nullable,
  headers: fc.array(fc.tuple(fc.string({ unit: 'grapheme', maxLength: 9 }), bytes), { maxLength: 4 }),
});

function at(batch: Buffer, baseOffset: number): Buffer {
  const moved = Buffer.from(batch);
  moved.writeBigInt64BE(BigInt(baseOffset), 0);
  return moved;
}

/** As the broker writes it: `type` 0 aborts, 1 commits. */
function marker(baseOffset: number, type: 0 | 1, producerId = IDENTITY.producerId): Buffer {
  const batch = encodeBatch(
    [{ key: Buffer.from([0, 0, 0, type]), value: Buffer.alloc(6), headers: [] }],
    { producerId, producerEpoch: 3 },
    { firstSequence: -1, transactional: true, timestampMs: 0 },
  );
  batch.writeInt16BE(0x30, 21);
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return at(batch, baseOffset);
}

function read(buffer: Buffer, position = 0, aborted: ConstructorParameters<typeof Array>[0][] = []) {
  return new FetchedBatches(buffer, position, aborted as never).next();
}

const texts = (records: FetchedRecords) =>
  Array.from({ length: records.count }, (_, i) => [records.offset(i), String(records.value(i))]);

describe('a record batch', () => {
  it('comes back as it was written: keys, values, null and empty, headers in order and twice', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 80 }), (written) => {
        const records = read(at(encode(written), 1_000), 0);
        expect(records.count).toBe(written.length);
        expect(records.nextOffset).toBe(1_000 + written.length);
        for (const [i, { value, key, headers }] of written.entries()) {
          expect(records.offset(i)).toBe(1_000 + i);
          expect(records.timestampMs(i)).toBe(1_700_000_000_123);
          expect(records.value(i) && Buffer.from(records.value(i)!)).toEqual(value && Buffer.from(value));
          expect(records.key(i) && Buffer.from(records.key(i)!)).toEqual(key && Buffer.from(key));
          expect(records.headers(i).map(([name, header]) => [name, Buffer.from(header)])).toEqual(
            headers.map(([name, header]) => [name, Buffer.from(header)]),
          );
        }
      }),
    );
  });

  it('is what another decoder reads, its checksum right', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 20 }), async (written) => {
        const batch = encode(written, true);
        expect(batch.readUInt32BE(17)).toBe(crc32c(batch.subarray(21)));
        const decoded = await decodeBatch(new Decoder(batch));
        expect(decoded).toMatchObject({ producerId: '4711', producerEpoch: 3, firstSequence: 17, inTransaction: true });
        expect(decoded.records.map(({ value }: { value: Buffer | null }) => value && [...value])).toEqual(
          written.map(({ value }) => value && [...value]),
        );
      }),
      { numRuns: 40 },
    );
  });

  it.each([0, 300, 1_000, 4_000, 20_000, 150_000, 1_048_576])(
    "has kafkajs's checksum around values of %i bytes",
    (length) => {
      const value = Buffer.from(Array.from({ length }, (_, i) => (i * 2_654_435_761) >>> 24));
      for (const count of [1, 3]) {
        const batch = encode(Array.from({ length: count }, () => ({ value, key: Buffer.from('k'), headers: [] })));
        expect(batch.readUInt32BE(17)).toBe(crc32c(batch.subarray(21)));
      }
    },
  );

  it('has the right checksum wherever in a request it stands', () => {
    const out = new RequestWriter();
    const record = {
      value: Buffer.from('v'),
      key: null,
      headers: encodeHeaders([['weir-source', Buffer.from('t/0')]]),
    };
    for (let i = 0; i < 300; i++) {
      writeBatch(out, [record], IDENTITY, { firstSequence: i, transactional: true, timestampMs: i });
    }
    let rest = Buffer.concat(out.pieces());
    for (let i = 0; i < 300; i++) {
      const batch = rest.subarray(4, 4 + rest.readInt32BE());
      expect(batch.readUInt32BE(17), `batch ${i}`).toBe(crc32c(batch.subarray(21)));
      rest = rest.subarray(4 + batch.length);
    }
    expect(rest.length).toBe(0);
  });

  it('of another encoder is read', async () => {
    const records = [0, 1, 2].map((i) =>
      Record({
        offsetDelta: i,
        timestampDelta: i * 1_000,
        key: Buffer.from(`k${i}`),
        value: Buffer.from(`v${i}`),
        headers: { a: Buffer.from('1'), b: [Buffer.from('2'), Buffer.from('3')] },
      }),
    );
    const batch = await RecordBatch({ records, firstTimestamp: 5_000, maxTimestamp: 7_000, lastOffsetDelta: 2 });
    const decoded = read(at(batch.buffer, 40));
    expect(texts(decoded)).toEqual([
      [40, 'v0'],
      [41, 'v1'],
      [42, 'v2'],
    ]);
    expect(decoded.timestampMs(2)).toBe(7_000);
    expect(decoded.headers(1).map(([name, value]) => [name, String(value)])).toEqual([
      ['a', '1'],
      ['b', '2'],
      ['b', '3'],
    ]);
  });

  it.each([
    ['gzip', 1, gzipSync],
    ['zstd', 4, zstdCompressSync],
  ] as const)('compressed with %s is read', (_, codec, compress) => {
    const batch = encode([plain('one'), plain('two')]);
    const records = compress(batch.subarray(61));
    const compressed = Buffer.concat([batch.subarray(0, 61), records]);
    compressed.writeInt32BE(compressed.length - 12, 8);
    compressed.writeInt16BE(codec, 21);
    compressed.writeUInt32BE(crc32c(compressed.subarray(21)), 17);
    expect(texts(read(at(compressed, 7)))).toEqual([
      [7, 'one'],
      [8, 'two'],
    ]);
  });

  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'that we compress with %s is read, and smaller',
    (compression) => {
      const written = [plain('text '.repeat(200)), plain('text '.repeat(100))];
      const options = { firstSequence: 17, transactional: true, timestampMs: 0, compression };
      const batch = encodeBatch(written, IDENTITY, options);
      expect(batch.length).toBeLessThan(encode(written).length / 3);
      expect(batch.readUInt32BE(17)).toBe(crc32c(batch.subarray(21)));
      expect(texts(read(at(batch, 3)))).toEqual(written.map(({ value }, i) => [3 + i, String(value)]));
    },
  );

  it('that gets no smaller is left as it is', () => {
    const options = { firstSequence: 17, transactional: false, timestampMs: 1_700_000_000_123 };
    const written = [plain('x')];
    expect(encodeBatch(written, IDENTITY, { ...options, compression: 'gzip' })).toEqual(encode(written));
  });

  it('takes no more room than its records announce', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 30 }), (written) => {
        const announced = written.reduce(
          (sum, each) => sum + recordBytes({ ...each, headers: encodeHeaders(each.headers) }),
          61,
        );
        expect(encode(written).length).toBeLessThanOrEqual(announced);
      }),
    );
  });
});

describe('the records of a fetch', () => {
  it('end before a batch that is cut off, wherever it is cut', () => {
    const [first, second] = [at(encode([plain('a'), plain('b')]), 0), at(encode([plain('c')]), 2)];
    const whole = Buffer.concat([first, second]);
    for (let length = 0; length <= whole.length; length++) {
      const records = read(whole.subarray(0, length));
      const batches = length === whole.length ? 3 : length >= first.length ? 2 : 0;
      expect([records.count, records.nextOffset], `cut at ${length}`).toEqual([batches, batches]);
    }
  });

  it('begin at the position, also in the middle of a batch', () => {
    expect(texts(read(at(encode([plain('a'), plain('b'), plain('c')]), 10), 11))).toEqual([
      [11, 'b'],
      [12, 'c'],
    ]);
  });

  it('leave out aborted transactions and markers, and pass over both', () => {
    const buffer = Buffer.concat([
      at(encode([plain('aborted')], true), 0),
      at(encode([plain('not transactional')]), 1),
      marker(2, 0),
      at(encode([plain('committed')], true), 3),
      marker(4, 1),
    ]);
    const records = read(buffer, 0, [{ producerId: IDENTITY.producerId, firstOffset: 0 }]);
    expect(texts(records)).toEqual([
      [1, 'not transactional'],
      [3, 'committed'],
    ]);
    expect(records.nextOffset).toBe(5);
  });

  it('show aborted records where nobody says that they are', () => {
    const buffer = Buffer.concat([at(encode([plain('aborted')], true), 0), marker(1, 0)]);
    expect(texts(read(buffer))).toEqual([[0, 'aborted']]);
  });

  it('may be none, while the position moves on', () => {
    const records = read(marker(8, 1), 8);
    expect([records.count, records.nextOffset]).toEqual([0, 9]);
  });
});
