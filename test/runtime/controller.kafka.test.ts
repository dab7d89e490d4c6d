import { pino } from 'pino';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { controllerSuite } from './controller.suite.ts';

describeOnKafka('controllers on real Kafka', ({ brokers }) => {
  const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });
  controllerSuite(() => connectKafka(defaultConfig({ kafka: { brokers } }).kafka, log));
});
