import { describeOnKafka } from '../support/real-kafka.ts';
import { killSuite } from './kill.suite.ts';

describeOnKafka('weir process, killed', () => {
  killSuite({ spans: 200_000, kills: 8, timeoutMs: 600_000 });
});
