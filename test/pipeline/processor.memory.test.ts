import { describe } from 'vitest';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { recordAdapter } from '../support/real-kafka.ts';
import { processorSuite } from './processor.suite.ts';

describe('', () => {
  recordAdapter('memory');
  processorSuite('the in-process log', async () => createMemoryKafka().connect());
});
