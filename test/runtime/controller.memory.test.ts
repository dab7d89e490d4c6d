import { describe } from 'vitest';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { recordAdapter } from '../support/real-kafka.ts';
import { controllerSuite } from './controller.suite.ts';

describe('controllers on the in-process log', () => {
  recordAdapter('memory');
  const kafka = createMemoryKafka();
  controllerSuite(async () => kafka.connect());
});
