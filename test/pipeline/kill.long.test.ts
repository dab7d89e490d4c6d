import { describeOnKafka } from '../support/real-kafka.ts';
import { killSuite } from './kill.suite.ts';

describeOnKafka('weir process, killed again and again', () => {
  killSuite({ spans: 1_000_000, kills: 40, timeoutMs: 1_800_000 });
});
