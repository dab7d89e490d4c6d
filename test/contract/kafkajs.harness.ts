import { Kafka, logLevel } from 'kafkajs';
import { pino } from 'pino';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { startKafkaProxy } from '../support/kafka-proxy.ts';
import type { RealKafka } from '../support/real-kafka.ts';
import type { ContractHarness } from './harness.ts';

const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });

interface Client {
  readonly adapter: ContractHarness['adapter'];
  readonly connect: typeof connectKafka;
  /** A sink whose reply was lost sends again, and commits, unless the broker stays away. */
  readonly mendsLostReplies: boolean;
}

const KAFKAJS: Client = { adapter: 'kafkajs', connect: connectKafka, mendsLostReplies: false };
/** How long a sink tries when the broker stays away; half as long as it may take to open one on a busy machine. */
const AWAY_MS = 2_500;

/** Of the kafkajs adapter, or of another that comes to the same brokers. */
export async function kafkajsHarness(
  { brokers, proxied }: RealKafka,
  { adapter, connect, mendsLostReplies } = KAFKAJS,
): Promise<ContractHarness> {
  const proxy = await startKafkaProxy({ listenPort: proxied.advertisedPort, brokerPort: proxied.listenPort });
  const settings = (at: string) => defaultConfig({ kafka: { brokers: at } }).kafka;
  return {
    adapter,
    connect: () => connect(settings(brokers), log),
    async connectFaulty() {
      const faulty = settings(`127.0.0.1:${proxy.port}`);
      if (!mendsLostReplies)
        return { port: await connect(faulty, log), loseNextProduceReply: () => proxy.loseNextProduceReply() };
      const port = await connect({ ...faulty, requestTimeoutMs: AWAY_MS }, log);
      let losing = false;
      const loseNextProduceReply = () => {
        losing = true;
        proxy.loseNextProduceReply();
      };
      const openSink = port.openSink.bind(port);
      port.openSink = async (options) => {
        const sink = await openSink(options);
        const commit = sink.commit.bind(sink);
        sink.commit = async (offsets) => {
          if (!losing) return commit(offsets);
          losing = false;
          proxy.refuseOnceLost();
          try {
            return await commit(offsets);
          } finally {
            proxy.refuse(false);
          }
        };
        return sink;
      };
      return { port, loseNextProduceReply };
    },
    async truncate(topic, partition, offset) {
      const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
      await admin.connect();
      try {
        // kafkajs looks for the leader before it has asked for any.
        await admin.fetchTopicOffsets(topic);
        await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] });
      } finally {
        await admin.disconnect();
      }
    },
    close: () => proxy.close(),
  };
}
