import { describeOnKafka } from '../support/real-kafka.ts';
import { ringKillSuite } from './ring-kill.suite.ts';

describeOnKafka('weir process and weir control, killed while the ring changes', () => {
  ringKillSuite({ spans: 200_000, changes: 2, timeoutMs: 600_000 });
});
