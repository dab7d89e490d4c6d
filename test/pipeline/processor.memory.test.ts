import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createFaults, createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { openPipelineRig } from '../support/pipeline-rig.ts';
import { recordAdapter } from '../support/real-kafka.ts';
import { processorSuite } from './processor.suite.ts';

describe('', () => {
  recordAdapter('memory');
  processorSuite('the in-process log', async () => createMemoryKafka().connect());
});

it('shows no lag that Kafka has not told for long', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const faults = createFaults();
  const port = createMemoryKafka().connect(faults.intercept);
  const rig = await openPipelineRig(port, { kafka: { sessionTimeoutMs: 60_000 } });
  onTestFinished(() => rig.close());
  const processor = await rig.startProcessor();
  await expect.poll(() => processor.assigned.length).toBe(6);
  const shown = async () => (await rig.metrics.lagRecords.get()).values.length;
  vi.advanceTimersByTime(5_000);
  await expect.poll(shown).toBe(6);

  const answer = faults.stall(({ name }) => name === 'ListOffsets');
  vi.advanceTimersByTime(15_000);
  expect(await shown()).toBe(6);
  vi.advanceTimersByTime(5_000);
  expect(await shown()).toBe(0);

  answer();
  await expect.poll(shown).toBe(6);
});
