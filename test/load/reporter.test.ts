import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { createReferenceAggregate } from '../../src/kernels/aggregate/reference.ts';
import { startLoadReporter } from '../../src/load/reporter.ts';
import { createMetrics } from '../../src/metrics.ts';
import { eventually } from '../support/eventually.ts';

const rejections: unknown[] = [];
const onRejection = (reason: unknown) => rejections.push(reason);
beforeEach(() => process.on('unhandledRejection', onRejection));
afterEach(() => process.off('unhandledRejection', onRejection));

it('a load reporter whose producer was closed under it says so, and does not end the process', async () => {
  const port = createMemoryKafka().connect();
  await port.admin.createTopics([{ name: 'load', partitions: 1, config: {} }]);
  const producer = await port.producer();
  const lines: string[] = [];
  const reporter = startLoadReporter({
    producer,
    topic: 'load',
    reporter: { id: 'a', role: 'process', version: '0' },
    intervalMs: 5,
    slotIntervalMs: 1_000,
    aggregate: createReferenceAggregate(),
    metrics: createMetrics(),
    log: pino({}, { write: (line: string) => lines.push(line) }),
  });
  await producer.close();
  await eventually(() => expect(lines.join()).toContain('a load report could not be sent'));
  await expect(reporter.close()).rejects.toThrow();
  expect(rejections).toEqual([]);
});
