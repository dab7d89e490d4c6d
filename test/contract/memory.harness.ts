import { createFaults, createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { ContractHarness } from './harness.ts';

export async function memoryHarness(): Promise<ContractHarness> {
  const kafka = createMemoryKafka();
  return {
    adapter: 'memory',
    connect: async () => kafka.connect(),
    async connectFaulty() {
      const faults = createFaults();
      return {
        port: kafka.connect(faults.intercept),
        loseNextProduceReply: () => faults.next(({ name }) => name === 'Produce', 'lose-reply'),
      };
    },
    truncate: async (topic, partition, offset) => kafka.truncate(topic, partition, offset),
    close: async () => {},
  };
}
