import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PartitionLog } from '../../../src/kafka/memory/log.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const texts = (read: ReturnType<PartitionLog['read']>) =>
  read!.records.map((record) => Buffer.from(record.value!).toString());

const everything = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as const;
const append = (log: PartitionLog, values: string[], producer?: Parameters<PartitionLog['append']>[0]['producer']) =>
  log.append({ records: values.map((value) => ({ value: bytes(value) })), timestampMs: 1, producer });
const transactional = (producerId: number, baseSequence: number, epoch = 0) => ({
  producerId,
  epoch,
  baseSequence,
  transactional: true,
});

describe('a partition log', () => {
  it('copies what it is given', () => {
    const log = new PartitionLog();
    const [value, key, header] = [bytes('value'), bytes('key'), bytes('header')];
    log.append({ records: [{ value, key, headers: [['h', header]] }], timestampMs: 1 });
    for (const memory of [value, key, header]) memory.fill(0xdb);
    const [record] = log.read(0, 'read_committed', ...everything)!.records;
    expect([record!.value!, record!.key!, record!.headers[0]![1]].map((view) => Buffer.from(view).toString())).toEqual([
      'value',
      'key',
      'header',
    ]);
  });

  it('takes a batch for a duplicate by producer, epoch and sequence alone, whatever is in it', () => {
    const log = new PartitionLog();
    expect(append(log, ['a', 'b'], transactional(1, 0))).toBe(0);
    expect(append(log, ['a', 'b'], transactional(1, 0))).toBe(0);
    log.endTransaction(1, 0, 'aborted', 1);
    // What loses data when a client aborts after a lost reply and goes on with the sequence that it remembers.
    expect(append(log, ['c', 'd'], transactional(1, 0))).toBe(0);
    expect(log.end).toBe(3);
    expect(texts(log.read(0, 'read_uncommitted', ...everything))).toEqual(['a', 'b']);
  });

  it('refuses a gap in the sequence, and an older epoch', () => {
    const log = new PartitionLog();
    append(log, ['a', 'b'], transactional(1, 0));
    expect(() => append(log, ['c'], transactional(1, 3))).toThrow(/OUT_OF_ORDER_SEQUENCE_NUMBER.*expected 2/);
    expect(() => append(log, ['c'], transactional(1, 1))).toThrow(/OUT_OF_ORDER_SEQUENCE_NUMBER/);
    expect(append(log, ['c'], transactional(1, 2))).toBe(2);
    log.endTransaction(1, 4, 'aborted', 1);
    expect(() => append(log, ['d'], transactional(1, 3))).toThrow(/INVALID_PRODUCER_EPOCH/);
    expect(() => append(log, ['d'], transactional(1, 3, 4))).toThrow(/OUT_OF_ORDER_SEQUENCE_NUMBER/);
    expect(append(log, ['d'], transactional(1, 0, 4))).toBe(4);
  });

  it('remembers the last five batches of a producer, no more', () => {
    const log = new PartitionLog();
    for (let i = 0; i < 6; i++) append(log, [`${i}`], transactional(1, i));
    expect(append(log, ['1'], transactional(1, 1))).toBe(1);
    expect(() => append(log, ['0'], transactional(1, 0))).toThrow(/OUT_OF_ORDER_SEQUENCE_NUMBER/);
    expect(log.end).toBe(6);
  });

  it('holds read_committed back at the oldest open transaction', () => {
    const log = new PartitionLog();
    append(log, ['a'], transactional(1, 0));
    append(log, ['b'], transactional(2, 0));
    append(log, ['c'], transactional(1, 1));
    expect(log.lastStable).toBe(0);
    log.endTransaction(1, 0, 'committed', 1);
    expect(log.lastStable).toBe(1);
    expect(texts(log.read(0, 'read_committed', ...everything))).toEqual(['a']);
    log.endTransaction(2, 0, 'aborted', 1);
    expect(log.lastStable).toBe(5);
    expect(texts(log.read(0, 'read_committed', ...everything))).toEqual(['a', 'c']);
    expect(log.read(0, 'read_committed', ...everything)!.nextOffset).toBe(5);
  });

  it('puts the position behind the markers that follow the last record, not behind a record that was cut off', () => {
    const log = new PartitionLog();
    append(log, ['a'], transactional(1, 0));
    log.endTransaction(1, 0, 'committed', 1);
    append(log, ['b', 'c']);
    const first = log.read(0, 'read_committed', 1, 100)!;
    expect([texts(first), first.nextOffset]).toEqual([['a'], 2]);
    const second = log.read(first.nextOffset, 'read_committed', 1, 100)!;
    expect([texts(second), second.nextOffset]).toEqual([['b'], 3]);
  });

  it('begins in the middle of a batch after a truncation, and counts from there', () => {
    const log = new PartitionLog();
    append(log, ['a', 'b', 'c']);
    log.truncate(2);
    expect(log.earliest).toBe(2);
    expect(log.read(1, 'read_committed', ...everything)).toBeNull();
    expect(texts(log.read(2, 'read_committed', ...everything))).toEqual(['c']);
    expect(log.countCommitted(0)).toBe(1);
    log.truncate(100);
    expect(log.earliest).toBe(3);
    expect(log.bytes).toBe(0);
    expect(append(log, ['d'])).toBe(3);
  });

  it('keeps the newest record of each key when it is compacted, and its offsets', () => {
    const log = new PartitionLog();
    const put = (...records: [key: string, value: string][]) =>
      log.append({
        records: records.map(([key, value]) => ({ key: bytes(key), value: bytes(value) })),
        timestampMs: 1,
      });
    put(['k', '1'], ['other', 'x'], ['k', '2']);
    put(['k', '3'], ['k', '4']);
    log.append({
      records: [{ key: bytes('k'), value: bytes('aborted') }],
      timestampMs: 1,
      producer: transactional(1, 0),
    });
    log.endTransaction(1, 0, 'aborted', 1);
    const before = log.bytes;
    log.compact();
    const read = log.read(0, 'read_committed', ...everything)!;
    expect(read.records.map((record) => record.offset)).toEqual([1, 4]);
    expect(texts(read)).toEqual(['x', '4']);
    expect(read.nextOffset).toBe(7);
    expect(log.bytes).toBeLessThan(before);
    expect(log.countCommitted(0)).toBe(2);
    expect(put(['k', '5'])).toBe(7);
  });

  it('shows a reader the same records however its polls are cut', () => {
    const step = fc.record({
      producerId: fc.integer({ min: 0, max: 3 }),
      lengths: fc.array(fc.nat(50), { minLength: 1, maxLength: 5 }),
      end: fc.constantFrom('open', 'committed', 'aborted'),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 25 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 120 }),
        (steps, maxRecords, maxBytes) => {
          const log = new PartitionLog();
          const sequences = [0, 0, 0, 0];
          for (const { producerId, lengths, end } of steps) {
            const records = lengths.map((length) => ({ value: new Uint8Array(length) }));
            const producer = producerId === 0 ? undefined : transactional(producerId, sequences[producerId]!);
            log.append({ records, timestampMs: 1, producer });
            sequences[producerId]! += records.length;
            if (producer && end !== 'open') log.endTransaction(producerId, 0, end as 'committed' | 'aborted', 1);
          }
          for (const isolation of ['read_committed', 'read_uncommitted'] as const) {
            const whole = log.read(0, isolation, ...everything)!;
            const offsets: number[] = [];
            let position = 0;
            for (;;) {
              const read = log.read(position, isolation, maxRecords, maxBytes)!;
              expect(read.records.length).toBeLessThanOrEqual(maxRecords);
              if (read.records.length > 1) expect(read.valueBytes).toBeLessThanOrEqual(maxBytes);
              for (const { offset } of read.records) expect(offset).toBeGreaterThanOrEqual(position);
              offsets.push(...read.records.map((record) => record.offset));
              if (read.nextOffset === position) break;
              position = read.nextOffset;
            }
            expect(offsets).toEqual(whole.records.map((record) => record.offset));
            expect(position).toBe(isolation === 'read_committed' ? log.lastStable : log.end);
            if (isolation === 'read_committed') expect(log.countCommitted(0)).toBe(offsets.length);
          }
        },
      ),
    );
  });
});
