import { pino } from 'pino';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { processorSuite } from './processor.suite.ts';

describeOnKafka('', ({ brokers }) => {
  processorSuite('Apache Kafka', () =>
    connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' })),
  );
});
