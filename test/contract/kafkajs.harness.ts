import { Kafka, logLevel } from 'kafkajs';
import { pino } from 'pino';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { startKafkaProxy } from '../support/kafka-proxy.ts';
import type { RealKafka } from '../support/real-kafka.ts';
import type { ContractHarness } from './harness.ts';

const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });

export async function kafkajsHarness({ brokers, proxied }: RealKafka): Promise<ContractHarness> {
  const proxy = await startKafkaProxy({ listenPort: proxied.advertisedPort, brokerPort: proxied.listenPort });
  const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
  const settings = (at: string) => defaultConfig({ kafka: { brokers: at } }).kafka;
  return {
    adapter: 'kafkajs',
    connect: () => connectKafka(settings(brokers), log),
    connectFaulty: async () => ({
      port: await connectKafka(settings(`127.0.0.1:${proxy.port}`), log),
      loseNextProduceReply: () => proxy.loseNextProduceReply(),
    }),
    async truncate(topic, partition, offset) {
      await admin.connect();
      // Without it this client knows no leaders.
      await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] });
    },
    async close() {
      await admin.disconnect();
      await proxy.close();
    },
  };
}
