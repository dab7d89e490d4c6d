/**
 * What librdkafka by its defaults gets wrong: with several batches of a partition on their way it would commit a transaction without
 * the first of its records.
 */
import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { connectLibrdkafka } from '../../src/kafka/librdkafka/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { type KafkaProxy, startKafkaProxy } from '../support/kafka-proxy.ts';
import type { RealKafka } from '../support/real-kafka.ts';
import { bytes, readUntil } from './suite/scene.ts';

const log = pino({ level: 'silent' });

export function deliveriesContract({ brokers, proxied }: RealKafka): void {
  describe('a sink on librdkafka', () => {
    let proxy: KafkaProxy;
    /** By the proxy, and past it. */
    let port: KafkaPort;
    let direct: KafkaPort;

    beforeAll(async () => {
      proxy = await startKafkaProxy({ listenPort: proxied.advertisedPort, brokerPort: proxied.listenPort });
      const kafka = (at: string) => defaultConfig({ kafka: { brokers: at } }).kafka;
      port = await connectLibrdkafka(kafka(`127.0.0.1:${proxy.port}`), log);
      direct = await connectKafka(kafka(brokers), log);
    });
    afterAll(async () => {
      await port?.close();
      await direct?.close();
      await proxy?.close();
    });

    it('commits all records in order when the first of a new partition is refused at first', async () => {
      const topic = `deliveries-${randomBytes(5).toString('hex')}`;
      await direct.admin.createTopics([{ name: topic, partitions: 1, replicas: 1, config: {} }]);
      const sink = await port.openSink({ fencingKey: 'first', groupId: 'first', transactionTimeoutMs: 10_000 });
      for (const value of ['a', 'b', 'c']) sink.stage(topic, 0, bytes(value));
      const refused = proxy.refuseNextProduceTo(topic);
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      await refused;
      await sink.close();

      const reader = direct.reader({ topic, partition: 0 });
      await reader.seek('earliest');
      const records = await readUntil(reader, (_, { length }) => length >= 3);
      await reader.close();
      expect(records.map(({ value }) => value)).toEqual(['a', 'b', 'c']);
      await direct.admin.deleteTopics([topic]);
    });
  });
}
