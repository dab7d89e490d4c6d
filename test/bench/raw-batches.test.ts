import { describe, expect, it } from 'vitest';
import { valuesOf, wholeBatches } from '../../bench/pipeline/raw-batches.ts';
import { encodeHeaders, type OutgoingRecord, writeBatch } from '../../src/kafka/kafkajs/outgoing-batch.ts';
import { RequestWriter } from '../../src/kafka/kafkajs/request-writer.ts';

const NOBODY = { producerId: -1n, producerEpoch: -1 };
const text = (value: string): OutgoingRecord => ({
  value: Buffer.from(value),
  key: Buffer.from('a key'),
  headers: encodeHeaders([['name', Buffer.from('value')]]),
});

/** As a broker stores it: from that offset on. */
function batch(baseOffset: number, records: readonly OutgoingRecord[]): Buffer {
  const out = new RequestWriter();
  writeBatch(out, records, NOBODY, { firstSequence: -1, transactional: false, timestampMs: 1.7e12 });
  const stored = Buffer.concat(out.pieces()).subarray(4);
  stored.writeBigInt64BE(BigInt(baseOffset));
  return stored;
}

describe('raw batches', () => {
  const long = 'x'.repeat(70_000);
  const bytes = Buffer.concat([
    batch(7, [text('one'), { ...text(''), key: null, value: null }, text(long)]),
    batch(10, [text('four')]),
    batch(11, [text('cut off')]),
  ]).subarray(0, -1);

  it('are read as far as they are whole', () => {
    const whole = wholeBatches(bytes, 7);
    expect(whole).toMatchObject({ records: 4, nextOffset: 11 });
    expect(valuesOf(whole).map(String)).toEqual(['one', long, 'four']);
  });

  it('are none where the first is cut off', () => {
    const none = wholeBatches(bytes.subarray(0, 100), 7);
    expect(none).toMatchObject({ records: 0, nextOffset: 7 });
    expect(valuesOf(none)).toEqual([]);
  });
});
