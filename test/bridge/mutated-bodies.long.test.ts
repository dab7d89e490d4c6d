import { describeOnKafka } from '../support/real-kafka.ts';
import { startBridgeProcess } from './bridge-process.ts';
import { mutatedBodiesSuite } from './mutated-bodies.suite.ts';

describeOnKafka('weir bridge, a process of its own', ({ brokers }) => {
  mutatedBodiesSuite({
    bodies: 50_000,
    timeoutMs: 900_000,
    async start() {
      const bridge = await startBridgeProcess({ brokers });
      return { ...bridge, rssBytes: () => bridge.weir.metric('process_resident_memory_bytes') };
    },
  });
});
