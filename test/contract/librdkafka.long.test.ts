import { connectLibrdkafka } from '../../src/kafka/librdkafka/index.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { kafkajsHarness } from './kafkajs.harness.ts';
import { deliveriesContract } from './librdkafka.deliveries.ts';
import { contractSuite } from './suite.ts';

describeOnKafka(
  '',
  (kafka) => {
    contractSuite('Apache Kafka through librdkafka', () =>
      kafkajsHarness(kafka, { adapter: 'librdkafka', connect: connectLibrdkafka, mendsLostReplies: true }),
    );
    // In this file, since both put a proxy on the one port that the broker advertises for it.
    deliveriesContract(kafka);
  },
  'librdkafka',
);
