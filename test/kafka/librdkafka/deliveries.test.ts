import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { RdError } from '../../../src/kafka/librdkafka/binding.ts';
import { Deliveries } from '../../../src/kafka/librdkafka/deliveries.ts';

const FOREVER_MS = 1e9;

function deliveriesOf(records: number) {
  const producer = new EventEmitter();
  const deliveries = new Deliveries(producer);
  for (let i = 0; i < records; i++) deliveries.expect();
  const report = (offset: number, error: Error | null = null) =>
    producer.emit('delivery-report', error as RdError | null, { topic: 'shard', partition: 0, offset });
  return { deliveries, report };
}

describe('the deliveries of a transaction', () => {
  it('are done when the broker has named an offset for each record', async () => {
    const { deliveries, report } = deliveriesOf(2);
    const outcome = deliveries.within(FOREVER_MS);
    report(7);
    report(8);
    expect(await outcome).toBe('delivered');
  });

  it('are pending when the time is over first', async () => {
    const { deliveries, report } = deliveriesOf(2);
    report(7);
    expect(await deliveries.within(1)).toBe('pending');
  });

  it('have failed as soon as one has, or has no offset, and the rest is still reported', async () => {
    for (const [offset, error, message] of [
      [-1001, null, 'no offset for a record of shard/0'],
      [-1001, new Error('refused'), 'refused'],
    ] as const) {
      const { deliveries, report } = deliveriesOf(2);
      const outcome = deliveries.within(FOREVER_MS);
      report(offset, error);
      expect(((await outcome) as Error).message).toContain(message);
      expect(await deliveries.areReportedWithin(1)).toBe(false);
      const reported = deliveries.areReportedWithin(FOREVER_MS);
      report(8);
      expect(await reported).toBe(true);
      expect(await deliveries.within(1)).toBeInstanceOf(Error);
    }
  });
});
