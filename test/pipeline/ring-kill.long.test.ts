import { describeOnKafka } from '../support/real-kafka.ts';
import { ringKillSuite } from './ring-kill.suite.ts';

describeOnKafka('weir process and weir control, killed again and again while the ring changes', () => {
  ringKillSuite({ spans: 1_000_000, changes: 6, timeoutMs: 1_800_000 });
});
