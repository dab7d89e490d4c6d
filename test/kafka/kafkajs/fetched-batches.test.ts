/** How much of a fetch answer is read at a time, and what memory that takes; what is read stands in `record-batch.test.ts`. */
import { describe, expect, it } from 'vitest';
import { FetchedBatches } from '../../../src/kafka/kafkajs/fetched-batches.ts';
import type { FetchedRecords } from '../../../src/kafka/kafkajs/fetched-records.ts';
import { FramePool } from '../../../src/kafka/kafkajs/frame-pool.ts';
import { encodeBatch } from './encode-batch.ts';

const KiB = 1024;
const PRODUCER_ID = 5n;

function batch(baseOffset: number, valueBytes: number, compression: 'none' | 'zstd' = 'zstd', transactional = false) {
  const bytes = encodeBatch(
    [{ value: Buffer.alloc(valueBytes, `${baseOffset}`), key: null, headers: [] }],
    { producerId: PRODUCER_ID, producerEpoch: 0 },
    { firstSequence: 0, transactional, timestampMs: 0, compression },
  );
  bytes.writeBigInt64BE(BigInt(baseOffset), 0);
  return bytes;
}

const answerOf = (count: number, valueBytes: number, compression?: 'none') =>
  Buffer.concat(Array.from({ length: count }, (_, i) => batch(i, valueBytes, compression)));
const offsetsOf = (records: FetchedRecords) => Array.from({ length: records.count }, (_, i) => records.offset(i));

describe('the batches of a fetch answer', () => {
  it('that are compressed are read as far as a poll needs, and on from there', () => {
    const batches = new FetchedBatches(answerOf(9, 100 * KiB), 0, []);
    const polls = [1, 2, 3].map(() => batches.next(410 * KiB));
    expect(polls.map(offsetsOf)).toEqual([[0, 1, 2, 3], [4, 5, 6, 7], [8]]);
    expect(polls.map(({ nextOffset }) => nextOffset)).toEqual([4, 8, 9]);
  });

  it('that are larger than a poll come one by one', () => {
    const batches = new FetchedBatches(answerOf(2, 100 * KiB), 0, []);
    expect([batches.next(10), batches.next(10), batches.next(10)].map(offsetsOf)).toEqual([[0], [1], []]);
  });

  it('that are not compressed take no memory of their own, and are all read at once', () => {
    const pool = new FramePool(0);
    const batches = new FetchedBatches(answerOf(3, 100 * KiB, 'none'), 0, [], { pool });
    expect(offsetsOf(batches.next(10))).toEqual([0, 1, 2]);
    expect([pool.heldBytes, batches.packing, batches.hasAnother(10)]).toEqual([0, 1, false]);
  });

  it('are done with when what is left fills less than half a poll', () => {
    const batches = new FetchedBatches(answerOf(10, 100 * KiB), 0, []);
    batches.next(400 * KiB);
    expect([batches.hasAnother(1_000 * KiB), batches.hasAnother(2_000 * KiB)]).toEqual([true, false]);
    expect(batches.packing).toBeLessThan(0.01);
  });

  it('know which transactions are aborted from one poll to the next', () => {
    const mine = [0, 1, 2].map((offset) => batch(offset, 100 * KiB, 'zstd', true));
    const answer = Buffer.concat([...mine, batch(3, 100 * KiB)]);
    const aborted = [{ producerId: PRODUCER_ID, firstOffset: 1 }];
    const batches = new FetchedBatches(answer, 0, aborted);
    const polls = [batches.next(10), batches.next(10)];
    expect(polls.map(offsetsOf)).toEqual([[0], [3]]);
  });

  it('show one that cannot be read when it is reached', () => {
    const damaged = batch(2, 100 * KiB);
    damaged[damaged.length - 1]! ^= 1;
    const answer = Buffer.concat([batch(0, 100 * KiB), batch(1, 100 * KiB), damaged, batch(3, 100 * KiB)]);
    const batches = new FetchedBatches(answer, 0, []);
    const [first, second] = [batches.next(110 * KiB), batches.next(110 * KiB)];
    expect([offsetsOf(first), first.corrupt]).toEqual([[0], null]);
    expect(offsetsOf(second)).toEqual([1]);
    const third = batches.next(110 * KiB);
    expect([third.count, third.nextOffset, batches.hasAnother(1)]).toEqual([0, 2, false]);
    expect(third.corrupt).toMatchObject({ cause: 'damaged', offset: 2n, nextOffset: 3n });
  });
});

describe('the memory of what is read', () => {
  it('counts as held from when it is decompressed until nobody holds the records, and is free then', () => {
    const pool = new FramePool(0);
    const batches = new FetchedBatches(answerOf(3, 100 * KiB), 0, [], { pool });
    expect(pool.heldBytes).toBe(0);
    const records = batches.next(10);
    expect(pool.heldBytes).toBeGreaterThan(100 * KiB);
    expect(pool.heldBytes).toBeLessThan(110 * KiB);
    const value = records.value(0)!;
    records.hold();
    records.release();
    expect(String(value.subarray(0, 3))).toBe('000');
    records.release();
    expect([pool.heldBytes, value.length]).toEqual([0, 0]);
  });

  it('of small batches is no larger than they are', () => {
    const pool = new FramePool(0);
    new FetchedBatches(answerOf(50, KiB), 0, [], { pool }).next();
    expect(pool.heldBytes).toBeLessThan(50 * 1.1 * KiB);
  });

  it('is the frame where a batch is not compressed: held by its records, and until the batches are done with', () => {
    const pool = new FramePool(0);
    const answer = Buffer.concat([batch(0, 10 * KiB, 'none'), batch(1, 10 * KiB)]);
    const frame = pool.take(answer.length);
    const held = pool.heldBytes;
    answer.copy(frame.bytes);
    const batches = new FetchedBatches(frame.bytes, 0, [], { pool, frame });
    frame.release();
    const records = batches.next();
    batches.release();
    expect(pool.heldBytes).toBeGreaterThan(held);
    expect(String(records.value(0)!.subarray(0, 2))).toBe('00');
    records.release();
    expect(pool.heldBytes).toBe(0);
  });
});
