/** What only a client with connections can be put through: the broker is away for a while and comes back. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import type { AssignedPartition, KafkaPort } from '../../src/kafka/port.ts';
import { eventually, PATIENCE_MS } from '../support/eventually.ts';
import { END_TXN, FETCH, HEARTBEAT, type KafkaProxy, METADATA, startKafkaProxy } from '../support/kafka-proxy.ts';
import type { RealKafka } from '../support/real-kafka.ts';
import { untilAborted } from './suite/crew.ts';
import { bytes, readUntil } from './suite/scene.ts';

const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });

export function outagesContract({ brokers, proxied }: RealKafka): void {
  describe('the kafkajs adapter while the broker is away', () => {
    let proxy: KafkaProxy;
    /** By the proxy, and past it. */
    let port: KafkaPort;
    let direct: KafkaPort;
    let topics: string[] = [];

    const name = (kind: string) => `outage-${kind}-${randomBytes(5).toString('hex')}`;
    const newTopic = async () => {
      const topic = name('topic');
      topics.push(topic);
      await direct.admin.createTopics([{ name: topic, partitions: 1, replicas: 1, config: {} }]);
      return topic;
    };
    const textsOf = async (topic: string) => {
      const reader = direct.reader({ topic, partition: 0 });
      await reader.seek('earliest');
      const end = (await direct.admin.offsets(topic))[0]!.latest;
      const records = await readUntil(reader, (position) => position >= end);
      await reader.close();
      return records.map(({ value }) => value);
    };

    beforeAll(async () => {
      proxy = await startKafkaProxy({ listenPort: proxied.advertisedPort, brokerPort: proxied.listenPort });
      const connect = (at: string) => connectKafka(defaultConfig({ kafka: { brokers: at } }).kafka, log);
      [port, direct] = await Promise.all([connect(`127.0.0.1:${proxy.port}`), connect(brokers)]);
    });
    afterEach(async () => {
      proxy.refuse(false);
      await direct.admin.deleteTopics(topics);
      topics = [];
    });
    afterAll(async () => {
      await port?.close();
      await direct?.close();
      await proxy?.close();
    });

    it('reads a batch again that was damaged on its way', async () => {
      const topic = await newTopic();
      const producer = await direct.producer();
      const marked = randomBytes(32);
      for (const value of [bytes('before'), marked, bytes('after')])
        await producer.send([{ topic, partition: 0, value }]);
      const reader = port.reader({ topic, partition: 0 });
      await reader.seek('earliest');
      proxy.damageNextAnswer(marked);
      const records = await readUntil(reader, (position) => position >= 3n);
      expect(records.map(({ value }) => value)).toEqual(['before', Buffer.from(marked).toString(), 'after']);
      await reader.close();
      await producer.close();
    });

    it('gives up a connection on which a fetch is not answered, long before it would a request', async () => {
      const topic = await newTopic();
      const [producer, reader] = [await direct.producer(), port.reader({ topic, partition: 0 })];
      await reader.seek('earliest');
      const swallowed = proxy.swallow(FETCH, 0);
      const polling = reader.poll(PATIENCE_MS);
      await swallowed;
      await producer.send([{ topic, partition: 0, value: bytes('there') }]);
      const outcome = await polling;
      expect(outcome.kind).toBe('poll');
      if (outcome.kind === 'poll') outcome.poll.release();
      await reader.close();
      await producer.close();
    });

    it('stores what was sent meanwhile once and in order, and a reader reads on by itself', async () => {
      const topic = await newTopic();
      const producer = await port.producer({ deliveryTimeoutMs: PATIENCE_MS });
      const reader = port.reader({ topic, partition: 0 });
      await reader.seek('earliest');
      const send = (text: string) => producer.send([{ topic, partition: 0, value: bytes(text) }]);
      const sent = [];
      for (let i = 0; i < 30; i++) {
        if (i === 10) proxy.refuse(true);
        if (i === 20) proxy.refuse(false);
        sent.push(send(`${i}`));
        await delay(50);
      }
      expect((await Promise.all(sent)).flat().map(({ kind }) => kind)).toEqual(sent.map(() => 'stored'));
      const expected = sent.map((_, i) => `${i}`);
      expect((await readUntil(reader, (_, records) => records.length >= 30)).map(({ value }) => value)).toEqual(
        expected,
      );
      expect(await textsOf(topic)).toEqual(expected);
      await reader.close();
      await producer.close();
    });

    it('does not say of a batch that its answer is unknown and drop the next one for its duplicate', async () => {
      const topic = await newTopic();
      const producer = await port.producer({ deliveryTimeoutMs: 6_000 });
      const send = (text: string) => producer.send([{ topic, partition: 0, value: bytes(text) }]);
      expect(await send('before')).toEqual([{ kind: 'stored' }]);
      proxy.loseNextProduceReply({ thenRefuse: true });
      expect((await send('unknown'))[0]!.kind).toBe('unknown');
      proxy.refuse(false);
      const kinds = [];
      for (const text of ['a', 'b', 'c']) kinds.push((await send(text))[0]!.kind);
      expect(kinds).toEqual(['stored', 'stored', 'stored']);
      expect(await textsOf(topic)).toEqual(['before', 'unknown', 'a', 'b', 'c']);
      await producer.close();
    });

    it('ends a commit in reopen, and opens the next sink as soon as the broker is back', async () => {
      const [topic, key, group] = [await newTopic(), name('key'), name('group')];
      const open = () => port.openSink({ fencingKey: key, groupId: group, transactionTimeoutMs: 30_000 });
      const sink = await open();
      sink.stage(topic, 0, bytes('committed'));
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      sink.stage(topic, 0, bytes('aborted'));
      proxy.loseNextProduceReply({ thenRefuse: true });
      expect((await sink.commit([{ topic, partition: 0, offset: 7n }])).kind).toBe('reopen');
      const opening = open();
      await delay(500);
      proxy.refuse(false);
      const successor = await opening;
      expect((await direct.admin.committedOffsets(group, topic))[0]!.offset).toBeNull();
      successor.stage(topic, 0, bytes('again'));
      expect(await successor.commit([])).toEqual({ kind: 'committed' });
      await eventually(async () => expect(await textsOf(topic)).toEqual(['committed', 'again']));
      await successor.close();
    });

    it('shows an owner no offset that a transaction may still change, however long that stays open', async () => {
      const [topic, key, group] = [await newTopic(), name('key'), name('group')];
      const options = { fencingKey: key, groupId: group, transactionTimeoutMs: 30_000 };
      const at = { topic, partition: 0 };
      const sink = await port.openSink(options);
      expect(await sink.commit([{ ...at, offset: 1n, metadata: 'm' }])).toEqual({ kind: 'committed' });
      const swallowed = proxy.swallow(END_TXN, 0);
      const committing = sink.commit([{ ...at, offset: 2n }]);
      await swallowed;
      let shown: unknown;
      const asked = direct.admin.committedOffset(group, at).then((offset) => {
        shown = offset;
        return offset;
      });
      // Whoever only looks is told meanwhile.
      expect(await direct.admin.committedOffsets(group, topic)).toEqual([{ partition: 0, offset: 1n, metadata: 'm' }]);
      await delay(500);
      expect(shown).toBeUndefined();
      proxy.refuse(true);
      expect((await committing).kind).toBe('reopen');
      const successor = await direct.openSink(options);
      expect(await asked).toEqual({ partition: 0, offset: 1n, metadata: 'm' });
      expect(await successor.commit([{ ...at, offset: 3n }])).toEqual({ kind: 'committed' });
      expect((await direct.admin.committedOffset(group, at)).offset).toBe(3n);
      await successor.close();
    });

    it('heartbeats while a poll waits for records, and while one is being worked on', async () => {
      const [topic, group] = [await newTopic(), name('group')];
      const beaten = async () => {
        const beats = proxy.requests(HEARTBEAT);
        await eventually(() => expect(proxy.requests(HEARTBEAT)).toBeGreaterThan(beats + 3));
      };
      const { promise: stage, resolve: reached } = Promise.withResolvers<string>();
      const member = port.joinGroup(
        { groupId: group, topics: [topic], sessionTimeoutMs: 6_000, heartbeatIntervalMs: 100 },
        {
          async run(partition) {
            await partition.seek('earliest');
            const polled = partition.poll(PATIENCE_MS);
            await beaten();
            const producer = await direct.producer();
            await producer.send([{ topic, partition: 0, value: bytes('x') }]);
            const outcome = await polled;
            await beaten();
            if (outcome.kind === 'poll') outcome.poll.release();
            reached(outcome.kind);
            await producer.close();
            await untilAborted(partition.signal);
          },
        },
      );
      expect(await stage).toBe('poll');
      await member.close();
    });

    it('joins anew when a partition could not be confirmed, also while heartbeats keep the generation', async () => {
      const [topic, group] = [await newTopic(), name('group')];
      const given: AssignedPartition[] = [];
      const member = port.joinGroup(
        { groupId: group, topics: [topic], sessionTimeoutMs: 6_000, heartbeatIntervalMs: 1_500 },
        {
          async run(partition) {
            given.push(partition);
            await untilAborted(partition.signal);
          },
        },
      );
      await eventually(() => expect(given).toHaveLength(1));
      const first = given[0]!;
      const beats = proxy.requests(HEARTBEAT);
      await eventually(() => expect(proxy.requests(HEARTBEAT)).toBeGreaterThan(beats));
      const swallowed = proxy.swallow(HEARTBEAT, 0);
      const confirmed = first.confirm();
      await swallowed;
      expect(await confirmed).toBe(false);
      // Beats on the member's own connection were answered all the time.
      await eventually(() => expect(given).toHaveLength(2));
      expect(first.signal.aborted).toBe(true);
      expect(await given[1]!.confirm()).toBe(true);
      await member.close();
    });

    it('takes part in a rebalance at once, also while a broker does not say which topics there are', async () => {
      const [topic, group] = [await newTopic(), name('group')];
      const generations: number[] = [];
      // One topic that does not exist: the leader looks for it every second.
      const options = { groupId: group, topics: [topic, name('absent')], sessionTimeoutMs: 30_000 };
      const run = (partition: AssignedPartition) => untilAborted(partition.signal);
      const member = port.joinGroup(
        { ...options, heartbeatIntervalMs: 200 },
        { run, onGeneration: ({ id }) => generations.push(id) },
      );
      await eventually(() => expect(generations).toHaveLength(1));
      await proxy.swallow(METADATA, 0);
      const begin = performance.now();
      const other = direct.joinGroup(options, { run });
      await eventually(() => expect(generations).toHaveLength(2));
      // Without heartbeats it would be out of the group only after its session, and the broker's answer never comes.
      expect(performance.now() - begin).toBeLessThan(20_000);
      await Promise.all([member.close(), other.close()]);
    });

    it('keeps a group member, which confirms nothing meanwhile, through an outage longer than its session', async () => {
      const [topic, group] = [await newTopic(), name('group')];
      const given: AssignedPartition[] = [];
      const troubles: string[] = [];
      const member = port.joinGroup(
        { groupId: group, topics: [topic], sessionTimeoutMs: 6_000, heartbeatIntervalMs: 200 },
        {
          async run(partition) {
            given.push(partition);
            await untilAborted(partition.signal);
          },
          onTrouble: (cause) => troubles.push(cause.message),
        },
      );
      await eventually(() => expect(given).toHaveLength(1));
      const first = given[0]!;
      expect(await first.confirm()).toBe(true);
      proxy.refuse(true);
      await untilAborted(first.signal);
      expect(await first.confirm()).toBe(false);
      expect(troubles.length).toBeGreaterThan(0);
      proxy.refuse(false);
      await eventually(() => expect(given.length).toBeGreaterThanOrEqual(2));
      const last = given.at(-1)!;
      expect(last.generation).toBeGreaterThan(first.generation);
      expect(await last.confirm()).toBe(true);
      await member.close();
      await expect(member.done).resolves.toBeUndefined();
    });
  });
}
