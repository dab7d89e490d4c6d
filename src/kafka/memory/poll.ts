/** A poll over records of the log: the views are the log's own, unless they have to be poisoned in the end. */
import type { Headers, Poll, TopicPartition } from '../port.ts';
import { copyRecords, type StoredRecord } from './batch.ts';
import type { LogRead } from './log.ts';

const POISON = 0xdb;

export function pollOf({ topic, partition }: TopicPartition, read: LogRead, poisonReleased: boolean): Poll {
  const records = poisonReleased ? read.records.flatMap(copyOf) : read.records;
  const at = (index: number): StoredRecord => {
    const record = records[index];
    if (!record) throw new RangeError(`record ${index} of a poll of ${records.length} records`);
    return record;
  };
  let released = false;
  return {
    topic,
    partition,
    count: records.length,
    bytes: read.valueBytes,
    nextOffset: BigInt(read.nextOffset),
    offset: (index) => BigInt(at(index).offset),
    timestampMs: (index) => at(index).timestampMs,
    value: (index) => at(index).value,
    key: (index) => at(index).key,
    headers: (index): Headers => at(index).headers,
    release() {
      if (released) return;
      released = true;
      if (poisonReleased) for (const record of records) poison(record);
    },
  };
}

const copyOf = (record: StoredRecord) => copyRecords([record], record.offset, record.timestampMs);

function poison({ key, value, headers }: StoredRecord): void {
  key?.fill(POISON);
  value?.fill(POISON);
  for (const [, headerValue] of headers) headerValue.fill(POISON);
}
