import { describe } from 'vitest';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { recordAdapter } from '../support/real-kafka.ts';
import { ringChangeSuite } from './ring-change.suite.ts';

describe('', () => {
  recordAdapter('memory');
  ringChangeSuite('the in-process log', async () => createMemoryKafka().connect());
});
