import { describe } from 'vitest';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { recordAdapter } from '../support/real-kafka.ts';
import { hotKeySuite } from './hot-key.suite.ts';

describe('', () => {
  recordAdapter('memory');
  hotKeySuite('the in-process log', async () => createMemoryKafka().connect());
});
