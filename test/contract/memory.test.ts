import { beforeEach, describe } from 'vitest';
import { memoryHarness } from './memory.harness.ts';
import { contractSuite } from './suite.ts';

describe('', () => {
  beforeEach(({ task }) => {
    // As recordAdapter of the support folder does, which cannot be imported here: it would have a real Kafka started.
    Object.assign(task.meta, { kafkaAdapter: 'memory' });
  });
  contractSuite('the in-process log', memoryHarness);
});
