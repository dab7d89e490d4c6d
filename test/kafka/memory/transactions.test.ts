import { beforeEach, describe, expect, it } from 'vitest';
import { type Broker, createBroker } from '../../../src/kafka/memory/broker.ts';
import type { TransactionalIdentity } from '../../../src/kafka/memory/transactions.ts';
import { SimulatedClock } from './simulated-clock.ts';

const at = { topic: 't', partition: 0 };
const OFFSET = { topic: 't', partition: 0, offset: 5n, metadata: 'm' };

describe('the transaction coordinator', () => {
  let clock: SimulatedClock;
  let broker: Broker;

  beforeEach(() => {
    clock = new SimulatedClock();
    broker = createBroker(1e9, clock);
    broker.topics.create('t', 1, {});
  });

  const produce = (identity: TransactionalIdentity, value: string, sequence: number) =>
    broker.transactions.produce(identity, at, sequence, {
      records: [{ value: Buffer.from(value) }],
      timestampMs: clock.now(),
    });
  const committed = () =>
    broker.topics
      .log('t', 0)
      .read(0, 'read_committed', 1e9, 1e9)!
      .records.map((record) => Buffer.from(record.value!).toString());

  it('shows the trap: who aborts after a lost reply and goes on with its old sequence loses data, committed', () => {
    const identity = broker.transactions.initProducerId('id', 10_000);
    broker.transactions.addPartitions(identity, [at]);
    produce(identity, 'appended, reply lost', 0);
    broker.transactions.end(identity, 'aborted');
    broker.transactions.addPartitions(identity, [at]);
    produce(identity, 'next', 0);
    broker.transactions.end(identity, 'committed');
    expect(committed()).toEqual([]);

    const reopened = broker.transactions.initProducerId('id', 10_000);
    broker.transactions.addPartitions(reopened, [at]);
    produce(reopened, 'next', 0);
    broker.transactions.end(reopened, 'committed');
    expect(committed()).toEqual(['next']);
  });

  it('fences the older producer at every request', () => {
    const old = broker.transactions.initProducerId('id', 10_000);
    broker.transactions.addPartitions(old, [at]);
    broker.transactions.addOffsets(old, 'g');
    broker.transactions.initProducerId('id', 10_000);
    for (const request of [
      () => broker.transactions.addPartitions(old, [at]),
      () => produce(old, 'late', 0),
      () => broker.transactions.addOffsets(old, 'g'),
      () => broker.transactions.commitOffsets(old, 'g', [OFFSET]),
      () => broker.transactions.end(old, 'committed'),
    ]) {
      expect(request).toThrow(/PRODUCER_FENCED/);
    }
  });

  it('aborts a transaction that is open for longer than its timeout, offsets and all, and fences its producer', async () => {
    const identity = broker.transactions.initProducerId('id', 10_000);
    broker.transactions.addPartitions(identity, [at]);
    produce(identity, 'slow', 0);
    broker.transactions.addOffsets(identity, 'g');
    broker.transactions.commitOffsets(identity, 'g', [OFFSET]);
    await clock.advance(9_999);
    expect(broker.topics.log('t', 0).lastStable).toBe(0);
    await clock.advance(1);
    expect(broker.topics.log('t', 0).lastStable).toBe(2);
    expect(committed()).toEqual([]);
    expect(broker.offsets.find('g', 't', 0)).toBeUndefined();
    expect(() => broker.transactions.end(identity, 'committed')).toThrow(/PRODUCER_FENCED/);
  });

  it('lets a transaction that ends in time end its timeout, too', async () => {
    const identity = broker.transactions.initProducerId('id', 10_000);
    for (const [sequence, value] of ['a', 'b'].entries()) {
      broker.transactions.addPartitions(identity, [at]);
      produce(identity, value, sequence);
      await clock.advance(7_000);
      broker.transactions.end(identity, 'committed');
    }
    await clock.advance(60_000);
    expect(committed()).toEqual(['a', 'b']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('shows offsets when the transaction commits, not before', () => {
    const identity = broker.transactions.initProducerId('id', 10_000);
    broker.transactions.addOffsets(identity, 'g');
    broker.transactions.commitOffsets(identity, 'g', [OFFSET]);
    expect(broker.offsets.find('g', 't', 0)).toBeUndefined();
    broker.transactions.end(identity, 'committed');
    expect(broker.offsets.find('g', 't', 0)).toEqual({ offset: 5, metadata: 'm' });
  });

  it('takes only what was announced as part of the transaction', () => {
    const identity = broker.transactions.initProducerId('id', 10_000);
    expect(() => produce(identity, 'x', 0)).toThrow(/INVALID_TXN_STATE/);
    expect(() => broker.transactions.commitOffsets(identity, 'g', [OFFSET])).toThrow(/INVALID_TXN_STATE/);
    expect(() => broker.transactions.end(identity, 'committed')).toThrow(/INVALID_TXN_STATE/);
    expect(() => broker.transactions.addPartitions(identity, [{ topic: 'none', partition: 0 }])).toThrow(
      /UNKNOWN_TOPIC_OR_PARTITION/,
    );
  });

  it('gives another producer id when the epochs are used up', () => {
    const first = broker.transactions.initProducerId('id', 10_000);
    let last = first;
    while (last.producerId === first.producerId) {
      const next = broker.transactions.initProducerId('id', 10_000);
      if (next.producerId === last.producerId) expect(next.epoch).toBe(last.epoch + 1);
      else expect([last.epoch, next.epoch]).toEqual([32_766, 0]);
      last = next;
    }
    expect(() => broker.transactions.addPartitions(first, [at])).toThrow(/INVALID_PRODUCER_ID_MAPPING/);
    broker.transactions.addPartitions(last, [at]);
    produce(last, 'on', 0);
    broker.transactions.end(last, 'committed');
    expect(committed()).toEqual(['on']);
  });

  it('ends a transaction on a topic that was deleted under it', () => {
    const identity = broker.transactions.initProducerId('id', 10_000);
    broker.transactions.addPartitions(identity, [at]);
    produce(identity, 'x', 0);
    broker.topics.delete('t');
    broker.transactions.end(identity, 'committed');
    expect(broker.topics.bytes).toBe(0);
  });
});
