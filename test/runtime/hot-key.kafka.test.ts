import { pino } from 'pino';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { hotKeySuite } from './hot-key.suite.ts';

describeOnKafka('', ({ brokers }) => {
  hotKeySuite('Apache Kafka', () =>
    connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' })),
  );
});
