import { describe, expect, it } from 'vitest';
import { FetchedBatches } from '../../../src/kafka/kafkajs/fetched-batches.ts';
import type { FetchedRecords } from '../../../src/kafka/kafkajs/fetched-records.ts';
import { LeasedPoll } from '../../../src/kafka/kafkajs/poll.ts';
import { encodeBatch } from './encode-batch.ts';

const AT = { topic: 't', partition: 3 };
const LIMITS = { maxRecords: 512, maxBytes: 1_000, poison: false };

function fetched(values: readonly string[]): FetchedRecords {
  const batch = encodeBatch(
    values.map((value) => ({ value: Buffer.from(value), key: Buffer.from('key'), headers: [] })),
    { producerId: -1n, producerEpoch: -1 },
    { firstSequence: -1, transactional: false, timestampMs: 0 },
  );
  return new FetchedBatches(batch, 0, []).next();
}

describe('a poll', () => {
  it('ends at the most records, and the next one goes on there', () => {
    const records = fetched(['a', 'b', 'c']);
    const first = LeasedPoll.cut(AT, records, 0, { ...LIMITS, maxRecords: 2 });
    expect([first.count, first.bytes, first.nextOffset]).toEqual([2, 2, 2n]);
    const second = LeasedPoll.cut(AT, records, 2, { ...LIMITS, maxRecords: 2 });
    expect([second.count, second.offset(0), second.nextOffset]).toEqual([1, 2n, 3n]);
  });

  it('ends before the record that would cross the most bytes; one that crosses them alone comes alone', () => {
    const records = fetched(['aaaa', 'bbbb', 'c'.repeat(50), 'd']);
    const cut = (from: number) => LeasedPoll.cut(AT, records, from, { ...LIMITS, maxBytes: 9 }).count;
    expect([cut(0), cut(2), cut(3)]).toEqual([2, 1, 1]);
  });

  it('throws when it is used after its release, or beyond its end', () => {
    const poll = LeasedPoll.cut(AT, fetched(['a', 'b']), 0, { ...LIMITS, maxRecords: 1 });
    expect(() => poll.value(1)).toThrow(RangeError);
    poll.release();
    poll.release();
    expect(() => poll.value(0)).toThrow('after its release');
  });

  it('overwrites its views at release where it is told to, and no others', () => {
    const records = fetched(['aaa', 'bbb']);
    const limits = { ...LIMITS, maxRecords: 1, poison: true };
    const [first, second] = [LeasedPoll.cut(AT, records, 0, limits), LeasedPoll.cut(AT, records, 1, limits)];
    const views = [first.value(0)!, first.key(0)!];
    first.release();
    for (const view of views) expect([...view]).toEqual([0xdb, 0xdb, 0xdb]);
    expect(String(second.value(0))).toBe('bbb');
    expect(second.offset(0)).toBe(1n);
  });
});
