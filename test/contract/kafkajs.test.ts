import { describeOnKafka } from '../support/real-kafka.ts';
import { kafkajsHarness } from './kafkajs.harness.ts';
import { outagesContract } from './kafkajs.outages.ts';
import { contractSuite } from './suite.ts';

describeOnKafka('', (kafka) => {
  contractSuite('Apache Kafka', () => kafkajsHarness(kafka));
  // In this file, since both put a proxy on the one port that the broker advertises for it.
  outagesContract(kafka);
});
