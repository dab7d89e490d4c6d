import { pino } from 'pino';
import { defaultConfig } from '../../src/config.ts';
import { ClusterView } from '../../src/kafka/kafkajs/cluster.ts';
import { brokerAddresses, linkSettings } from '../../src/kafka/kafkajs/connection.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { requestOf } from '../../src/kafka/kafkajs/internals.ts';
import { Links } from '../../src/kafka/kafkajs/links.ts';
import { startKafkaProxy } from '../support/kafka-proxy.ts';
import type { RealKafka } from '../support/real-kafka.ts';
import type { ContractHarness } from './harness.ts';

const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });

export async function kafkajsHarness({ brokers, proxied }: RealKafka): Promise<ContractHarness> {
  const proxy = await startKafkaProxy({ listenPort: proxied.advertisedPort, brokerPort: proxied.listenPort });
  const settings = (at: string) => defaultConfig({ kafka: { brokers: at } }).kafka;
  return {
    adapter: 'kafkajs',
    connect: () => connectKafka(settings(brokers), log),
    connectFaulty: async () => ({
      port: await connectKafka(settings(`127.0.0.1:${proxy.port}`), log),
      loseNextProduceReply: () => proxy.loseNextProduceReply(),
    }),
    async truncate(topic, partition, offset) {
      const links = new Links(await linkSettings(settings(brokers), log));
      try {
        const leader = await new ClusterView(links, brokerAddresses(brokers)).leaderOf(topic, partition);
        if (!leader) throw new Error(`${topic}/${partition} has no leader`);
        const link = await links.to(leader);
        const topics = [{ topic, partitions: [{ partition, offset: String(offset) }] }];
        const answer = await link.request(requestOf('DeleteRecords', { topics, timeout: 5_000 }));
        const code = answer.topics[0]?.partitions[0]?.errorCode;
        if (code !== 0) throw new Error(`DeleteRecords of ${topic}/${partition}: error ${code}`);
      } finally {
        await links.close();
      }
    },
    close: () => proxy.close(),
  };
}
