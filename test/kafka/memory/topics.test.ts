import { beforeEach, describe, expect, it } from 'vitest';
import { Topics } from '../../../src/kafka/memory/topics.ts';
import { SimulatedClock } from './simulated-clock.ts';

const LIMIT_BYTES = 100_000;

describe('the topics of the in-process log', () => {
  let clock: SimulatedClock;
  let topics: Topics;

  beforeEach(() => {
    clock = new SimulatedClock();
    topics = new Topics(clock, LIMIT_BYTES);
  });

  const put = (topic: string, bytes: number, key: string | null = null, partition = 0) =>
    topics.append(topic, partition, {
      records: [{ value: new Uint8Array(bytes), key: key === null ? null : Buffer.from(key) }],
      timestampMs: clock.now(),
    });

  it('keep at least retention.bytes of a partition, and drop the oldest beyond that', () => {
    topics.create('t', 1, { 'retention.bytes': '5000' });
    for (let i = 0; i < 20; i++) put('t', 1_000);
    const log = topics.log('t', 0);
    expect(log.end).toBe(20);
    expect(log.bytes).toBeGreaterThanOrEqual(5_000);
    expect(log.bytes).toBeLessThan(5_000 + 1_100);
    expect(log.earliest).toBe(15);
    expect(topics.bytes).toBe(log.bytes);
  });

  it('drop what is older than retention.ms', async () => {
    topics.create('t', 1, { 'retention.ms': '1000' });
    put('t', 10);
    await clock.advance(600);
    put('t', 10);
    await clock.advance(600);
    put('t', 10);
    expect(topics.log('t', 0).earliest).toBe(1);
  });

  it('drop the oldest records of all when they reach the limit together, but none of a topic that is kept for ever', async () => {
    topics.create('kept', 1, { 'retention.ms': '-1' });
    topics.create('old', 1, {});
    topics.create('new', 1, {});
    for (let i = 0; i < 4; i++) put('kept', 9_000);
    await clock.advance(1);
    for (let i = 0; i < 3; i++) put('old', 9_000);
    await clock.advance(1);
    for (let i = 0; i < 6; i++) put('new', 9_000);
    expect(topics.bytes).toBeLessThanOrEqual(LIMIT_BYTES);
    expect(topics.log('kept', 0).earliest).toBe(0);
    expect(topics.log('old', 0).earliest).toBe(2);
    expect(topics.log('new', 0).earliest).toBe(0);
  });

  it('refuse a write when nothing may be dropped', () => {
    topics.create('kept', 1, { 'retention.ms': '-1' });
    for (let i = 0; i < 11; i++) put('kept', 9_000);
    expect(() => put('kept', 9_000)).toThrow(/KAFKA_STORAGE_ERROR.*full/);
    expect(topics.log('kept', 0).end).toBe(11);
  });

  it('keep what an open transaction has written, whatever its age', () => {
    topics.create('t', 1, { 'retention.bytes': '1000' });
    const producer = { producerId: 1, epoch: 0, baseSequence: 0, transactional: true };
    topics.append('t', 0, { records: [{ value: new Uint8Array(500) }], timestampMs: 1, producer });
    for (let i = 0; i < 10; i++) put('t', 1_000);
    expect(topics.log('t', 0).earliest).toBe(0);
    topics.endTransaction('t', 0, { id: 1, epoch: 0 }, 'committed');
    put('t', 1_000);
    expect(topics.log('t', 0).earliest).toBeGreaterThan(5);
  });

  it('compact a compacted topic as it grows', () => {
    topics = new Topics(clock, 1e9);
    topics.create('snapshots', 1, { 'cleanup.policy': 'compact' });
    for (let i = 0; i < 100; i++) put('snapshots', 100_000, `key ${i % 3}`);
    const log = topics.log('snapshots', 0);
    expect(log.bytes).toBeLessThan(2_000_000);
    expect(topics.bytes).toBe(log.bytes);
    const offsets = log.read(0, 'read_committed', 1e9, 1e9)!.records.map((record) => record.offset);
    expect(offsets.slice(-3)).toEqual([97, 98, 99]);
    expect(() => put('snapshots', 1)).toThrow(/INVALID_RECORD/);
  });

  it('refuse a batch over max.message.bytes by a byte', () => {
    topics.create('t', 1, { 'max.message.bytes': '1000' });
    const largest = 1_000 - 61 - 9;
    expect(() => put('t', largest + 1)).toThrow(/MESSAGE_TOO_LARGE/);
    expect(put('t', largest)).toBe(0);
    expect(topics.log('t', 0).bytes).toBe(1_000);
  });

  it('give the memory of a deleted topic back', () => {
    topics.create('t', 2, {});
    put('t', 1_000);
    put('t', 1_000, null, 1);
    topics.delete('t');
    expect(topics.bytes).toBe(0);
    expect(() => put('t', 1)).toThrow(/UNKNOWN_TOPIC_OR_PARTITION/);
  });

  it('refuse names, partition counts and settings that Kafka would refuse', () => {
    expect(() => topics.create('no spaces', 1, {})).toThrow(/INVALID_TOPIC_EXCEPTION/);
    expect(() => topics.create('..', 1, {})).toThrow(/INVALID_TOPIC_EXCEPTION/);
    expect(() => topics.create('t', 0, {})).toThrow(/INVALID_PARTITIONS/);
    expect(() => topics.create('t', 1, { 'retention.byte': '1' })).toThrow(/INVALID_CONFIG.*retention.byte/);
    expect(() => topics.create('t', 1, { 'retention.ms': 'long' })).toThrow(/INVALID_CONFIG/);
    expect(() => topics.create('t', 1, { 'cleanup.policy': 'compress' })).toThrow(/INVALID_CONFIG/);
    expect(topics.names()).toEqual([]);
  });
});
