import { describeOnKafka } from '../support/real-kafka.ts';
import { kafkajsHarness } from './kafkajs.harness.ts';
import { contractSuite } from './suite.ts';

describeOnKafka('', (kafka) => {
  contractSuite('Apache Kafka', () => kafkajsHarness(kafka));
});
