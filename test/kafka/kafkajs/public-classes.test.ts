/**
 * What kafkajs's public Consumer, Producer and Admin do where src/kafka/port.ts asks for something else: the reason why there
 * is no adapter on them to fall back to. Should a later kafkajs fail one of these, the question is open again.
 */
import { randomBytes } from 'node:crypto';
import kafkajs, { type Admin, type Consumer, type Producer } from 'kafkajs';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { defaultConfig } from '../../../src/config.ts';
import { connectKafka } from '../../../src/kafka/kafkajs/index.ts';
import type { KafkaPort } from '../../../src/kafka/port.ts';
import { kafkajsHarness } from '../../contract/kafkajs.harness.ts';
import { eventually } from '../../support/eventually.ts';
import { createTopics } from '../../support/kafkajs-topics.ts';
import { describeOnKafka } from '../../support/real-kafka.ts';

describeOnKafka('of kafkajs the public', (kafka) => {
  const client = new kafkajs.Kafka({ brokers: [kafka.brokers], logLevel: kafkajs.logLevel.NOTHING });
  const admin: Admin = client.admin();
  let port: KafkaPort;
  let ends: Array<() => Promise<unknown>> = [];
  const name = (kind: string) => `public-${kind}-${randomBytes(5).toString('hex')}`;

  beforeAll(async () => {
    await admin.connect();
    port = await connectKafka(defaultConfig({ kafka: { brokers: kafka.brokers } }).kafka, pino({ level: 'silent' }));
  });
  afterEach(async () => {
    for (const end of ends.reverse()) await end();
    ends = [];
  });
  afterAll(async () => {
    await admin.disconnect();
    await port?.close();
  });

  async function newTopic(partitions = 1): Promise<string> {
    const topic = name('topic');
    await createTopics(admin, [{ topic, numPartitions: partitions }]);
    ends.push(() => admin.deleteTopics({ topics: [topic] }));
    return topic;
  }
  async function put(topic: string, values: readonly string[]): Promise<void> {
    const producer = await port.producer();
    await producer.send(values.map((value) => ({ topic, partition: 0, value: Buffer.from(value) })));
    await producer.close();
  }
  async function transactional(): Promise<Producer> {
    const producer = client.producer({ transactionalId: name('key'), maxInFlightRequests: 1, idempotent: true });
    await producer.connect();
    ends.push(() => producer.disconnect());
    return producer;
  }
  async function consumer(groupId: string, topic: string): Promise<Consumer> {
    const member = client.consumer({ groupId, sessionTimeout: 6_000, heartbeatInterval: 200, maxWaitTimeInMs: 200 });
    ends.push(() => member.disconnect());
    await member.connect();
    await member.subscribe({ topic, fromBeginning: true });
    return member;
  }
  const committed = async (groupId: string, topic: string) =>
    (await admin.fetchOffsets({ groupId, topics: [topic] }))[0]!.partitions.find(({ partition }) => partition === 0)!;

  it('Consumer writes over a committed offset, and with it the ring epoch in its metadata, once its position is lost', async () => {
    const [topic, groupId] = [await newTopic(), name('group')];
    await put(topic, ['a', 'b', 'c', 'd']);
    const sink = await port.openSink({ fencingKey: name('key'), groupId, transactionTimeoutMs: 10_000 });
    await sink.commit([{ topic, partition: 0, offset: 1n, metadata: 'ring=7' }]);
    await sink.close();
    await eventually(async () =>
      expect(await committed(groupId, topic)).toMatchObject({ offset: '1', metadata: 'ring=7' }),
    );
    const harness = await kafkajsHarness(kafka);
    await harness.truncate(topic, 0, 3n);
    await harness.close();

    const member = await consumer(groupId, topic);
    const read: string[] = [];
    await member.run({ autoCommit: false, eachMessage: async ({ message }) => void read.push(String(message.value)) });
    await eventually(() => expect(read).toEqual(['d']));
    const { offset, metadata } = await committed(groupId, topic);
    // Not even an offset: it stands for "earliest".
    expect([offset, metadata]).toEqual(['-2', null]);
  });

  it('Consumer does not say which generation it is in, and joins the next one whatever goes on in this one', async () => {
    const [topic, groupId] = [await newTopic(), name('group')];
    const joined: object[] = [];
    const member = await consumer(groupId, topic);
    member.on('consumer.group_join', ({ payload }) => joined.push(payload));
    // The one thing that is told before it joins again, and nobody waits for the answer.
    member.on('consumer.rebalancing', () => new Promise(() => {}));
    await member.run({ autoCommit: false, eachBatch: async () => {} });
    await eventually(() => expect(joined).toHaveLength(1));
    const other = await consumer(groupId, topic);
    await other.run({ autoCommit: false, eachBatch: async () => {} });
    await eventually(() => expect(joined.length).toBeGreaterThan(1));
    expect(JSON.stringify(joined)).not.toMatch(/generation/i);
    const { groups } = await admin.describeGroups([groupId]);
    expect(JSON.stringify(groups)).not.toMatch(/generation/i);
  });

  it('Producer commits the offsets of a member whose generation is over', async () => {
    const [topic, groupId] = [await newTopic(), name('group')];
    const zombie = await transactional();
    const generations: number[] = [];
    const join = () => {
      const member = port.joinGroup(
        { groupId, topics: [topic], sessionTimeoutMs: 30_000, heartbeatIntervalMs: 200 },
        { run: async () => {}, onGeneration: ({ id }) => generations.push(id) },
      );
      ends.push(() => member.close());
    };
    join();
    await eventually(() => expect(generations.length).toBe(1));
    const transaction = await zombie.transaction();
    join();
    await eventually(() => expect(new Set(generations).size).toBe(2));
    const topics = [{ topic, partitions: [{ partition: 0, offset: '3' }] }];
    await transaction.sendOffsets({ consumerGroupId: groupId, topics });
    await transaction.commit();
    await eventually(async () => expect((await committed(groupId, topic)).offset).toBe('3'));
  });

  it('Admin shows an offset that a transaction may still change, and does not say so', async () => {
    const [topic, groupId] = [await newTopic(), name('group')];
    const producer = await transactional();
    const commit = async (offset: string) => {
      const transaction = await producer.transaction();
      const topics = [{ topic, partitions: [{ partition: 0, offset }] }];
      // While the broker is at the end of the transaction before it refuses the next one, which this class does not try again.
      await eventually(() => transaction.sendOffsets({ consumerGroupId: groupId, topics }));
      return transaction;
    };
    await (await commit('1')).commit();
    await eventually(async () => expect((await committed(groupId, topic)).offset).toBe('1'));
    const pending = await commit('2');
    expect((await committed(groupId, topic)).offset).toBe('1');
    await pending.commit();
    await eventually(async () => expect((await committed(groupId, topic)).offset).toBe('2'));
  });

  it('Consumer does not keep the order of headers', async () => {
    const topic = await newTopic();
    const sink = await port.openSink({ fencingKey: name('key'), groupId: name('group'), transactionTimeoutMs: 10_000 });
    const value = (text: string) => Buffer.from(text);
    sink.stage(topic, 0, value('v'), [
      ['tenant', value('a')],
      ['region', value('b')],
      ['tenant', value('c')],
    ]);
    await sink.commit([]);
    await sink.close();
    const member = await consumer(name('group'), topic);
    const headers: unknown[] = [];
    await member.run({ autoCommit: false, eachMessage: async ({ message }) => void headers.push(message.headers) });
    await eventually(() => expect(headers).toHaveLength(1));
    expect(Object.entries(headers[0] as object).map(([name, each]) => [name, [each].flat().map(String)])).toEqual([
      ['tenant', ['a', 'c']],
      ['region', ['b']],
    ]);
  });
});
