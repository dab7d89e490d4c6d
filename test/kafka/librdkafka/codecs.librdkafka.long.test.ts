import { connectLibrdkafka } from '../../../src/kafka/librdkafka/index.ts';
import { describeOnKafka } from '../../support/real-kafka.ts';
import { codecsSuite } from '../codecs.suite.ts';

describeOnKafka('record batches of every codec', (kafka) => codecsSuite(kafka, connectLibrdkafka), 'librdkafka');
