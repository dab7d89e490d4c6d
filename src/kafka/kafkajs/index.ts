/** The adapter for Apache Kafka. Everything else in this folder is its own. */
export { connectKafka } from './connect.ts';
