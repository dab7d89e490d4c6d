import { describe, expect, it } from 'vitest';
import { type ConfigInput, defaultConfig } from '../../src/config.ts';
import { WeirError } from '../../src/errors.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { Admin } from '../../src/kafka/port.ts';
import { namesFor } from '../../src/names.ts';
import { ensureTopics } from '../../src/topics/ensure-topics.ts';
import { topicCommands } from '../../src/topics/topic-commands.ts';
import { planTopics } from '../../src/topics/topic-plan.ts';
import { DEAD_LETTER_HEADROOM_BYTES } from '../../src/topics/topic-settings.ts';

const MiB = 1024 * 1024;
const names = namesFor('t.');

const planned = (settings: ConfigInput = {}, brokers = 3, embedded = false) =>
  planTopics({ config: defaultConfig({ prefix: 't.', ...settings }), names, brokers, embedded });

const topicOf = (name: string, ...args: Parameters<typeof planned>) => {
  const topic = planned(...args).topics.find((candidate) => candidate.name === name);
  if (!topic) throw new Error(`no topic ${name} is planned`);
  return topic;
};

async function admin(...existing: Parameters<Admin['createTopics']>[0]): Promise<Admin> {
  const kafka = createMemoryKafka().connect().admin;
  await kafka.createTopics(existing);
  return kafka;
}

const ensure = (
  kafka: Admin,
  settings: ConfigInput = {},
  more: { role?: 'bridge' | 'process' | 'control' | 'all' } = {},
) => ensureTopics(kafka, { config: defaultConfig({ prefix: 't.', ...settings }), names, ...more });

async function problemsOf(done: Promise<unknown>, code: string): Promise<string> {
  const error = await done.then(
    () => new Error('nothing was refused'),
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(WeirError);
  expect((error as WeirError).code).toBe(code);
  return (error as WeirError).message;
}

describe('the plan of topics', () => {
  it('has three ingest topics, a topic for each shard, and the six internal ones', () => {
    const { topics } = planned();
    const count = (purpose: string) => topics.filter((topic) => topic.purpose === purpose).length;
    expect([count('ingest'), count('shard'), topics.length]).toEqual([3, 48, 57]);
    expect(topics.every(({ name }) => name.startsWith('t.'))).toBe(true);
    expect(topics.filter(({ purpose }) => purpose === 'shard').every(({ partitions }) => partitions === 1)).toBe(true);
    expect(topicOf('t.otlp_spans').partitions).toBe(12);
  });

  it('keeps the control log for ever, in one partition', () => {
    const { partitions, config } = topicOf('t.weir.control');
    expect(partitions).toBe(1);
    expect(config).toMatchObject({ 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' });
  });

  it('keeps load and decisions for 30 days, requests for an hour, and compacts snapshots', () => {
    expect(topicOf('t.weir.load').config['retention.ms']).toBe('2592000000');
    expect(topicOf('t.weir.decisions').config['retention.ms']).toBe('2592000000');
    expect(topicOf('t.weir.requests').config['retention.ms']).toBe('3600000');
    expect(topicOf('t.weir.snapshots').config['cleanup.policy']).toBe('compact');
  });

  it('gives dead letters room for the largest ingest record and its headers', () => {
    const { config } = topicOf('t.weir.dead_letter', { topics: { maxMessageBytes: MiB } });
    expect(config['max.message.bytes']).toBe(String(MiB + DEAD_LETTER_HEADROOM_BYTES));
  });

  it.each([
    [1, 1, undefined],
    [2, 2, undefined],
    [3, 3, '2'],
    [9, 3, '2'],
  ])('on %d brokers has %d replicas and min.insync.replicas %s', (brokers, replicas, insync) => {
    for (const topic of planned({}, brokers).topics)
      expect([topic.replicas, topic.config['min.insync.replicas']]).toEqual([replicas, insync]);
  });

  it('takes shard topics from the ring where there is one', () => {
    const shards = (...topics: string[]) => ({ shards: topics.map((topic) => ({ topic })) });
    const ring = { signals: { traces: shards('t.a', 't.b'), metrics: shards('t.c'), logs: shards() } };
    const { topics } = planTopics({ config: defaultConfig(), names, brokers: 1, ring });
    expect(topics.filter(({ purpose }) => purpose === 'shard').map(({ name }) => name)).toEqual(['t.a', 't.b', 't.c']);
  });

  it('becomes commands for a shell', () => {
    const text = topicCommands(planned().topics, 'kafka-1:9092');
    expect(text).toContain('create="kafka-topics.sh --bootstrap-server kafka-1:9092 --create --if-not-exists"');
    expect(text).toContain(
      '$create --topic t.weir.control --partitions 1 --replication-factor 3 --config cleanup.policy=delete --config retention.ms=-1',
    );
    expect(text.match(/^\$create --topic /gm)).toHaveLength(57);
  });
});

describe('the plan for the embedded broker', () => {
  /** What a log may grow to: Kafka deletes a segment once retention.bytes remain without it. */
  const mostBytes = (settings: ConfigInput) =>
    planned(settings, 1, true)
      .topics.filter(({ config }) => config['retention.bytes'] !== '-1' && config['cleanup.policy'] !== 'compact')
      .reduce((sum, { partitions, config }) => {
        const [kept, segment] = [Number(config['retention.bytes']), Number(config['segment.bytes'])];
        expect(segment).toBeGreaterThanOrEqual(Number(config['max.message.bytes'] ?? 1_048_588));
        expect(kept).toBeGreaterThan(0);
        return sum + partitions * (kept + segment);
      }, 0);

  it.each([
    ['by default', {}],
    ['with many shards', { routing: { traces: { shards: 256 }, metrics: { shards: 64 } } }],
    ['with few partitions', { topics: { ingestPartitions: 1 }, routing: { traces: { shards: 1 } } }],
    ['with large records', { topics: { maxMessageBytes: 64 * MiB } }],
  ])('keeps all data below 2 GB %s', (_, settings) => {
    expect(mostBytes(settings)).toBeLessThan(1_900_000_000);
  });

  it('lowers the record limit where partitions are too many for it, and says so', () => {
    const { topics, notes } = planned({ routing: { traces: { shards: 256 } } }, 1, true);
    const limit = topics.find(({ name }) => name === 't.otlp_spans')?.config['max.message.bytes'];
    expect(Number(limit)).toBeLessThan(8 * MiB);
    expect(notes).toEqual([
      `topics.maxMessageBytes is ${limit} instead of 8388608, so that 324 partitions fit into the embedded broker's 2 GB`,
    ]);
    expect(planned({}, 1, true).notes).toEqual([]);
  });

  it('refuses more partitions than there is room for', () => {
    expect(() => planned({ routing: { traces: { shards: 4_096 } } }, 1, true)).toThrow(
      /make 4164 partitions, more than the embedded broker's 2 GB have room for \(715\)/,
    );
  });
});

describe('ensuring topics', () => {
  it('creates what is missing and tells what roles need to know', async () => {
    const kafka = await admin();
    const facts = await ensure(kafka, { topics: { ingestPartitions: 2, maxMessageBytes: MiB } });
    expect(facts.created).toHaveLength(57);
    expect(facts.ingest.logs).toEqual({ topic: 't.otlp_logs', partitions: 2, maxMessageBytes: MiB });
    expect(facts.shardMaxMessageBytes).toEqual({ traces: MiB, metrics: MiB, logs: MiB });
    expect(facts.deadLetterMaxMessageBytes).toBe(MiB + DEAD_LETTER_HEADROOM_BYTES);
    expect((await ensure(kafka)).created).toEqual([]);
  });

  it('takes the least limit of the shard topics, as one of them may have been altered', async () => {
    const kafka = await admin({
      name: 't.otlp_spans_shard_0003',
      partitions: 1,
      config: { 'max.message.bytes': '100000' },
    });
    expect((await ensure(kafka)).shardMaxMessageBytes).toEqual({ traces: 100_000, metrics: 8 * MiB, logs: 8 * MiB });
  });

  it('touches only what the role needs', async () => {
    const kafka = await admin();
    await ensure(kafka, {}, { role: 'bridge' });
    expect([...(await kafka.listTopics())].sort()).toEqual([
      't.otlp_logs',
      't.otlp_metrics',
      't.otlp_spans',
      't.weir.load',
    ]);
    const { deadLetterMaxMessageBytes, shardMaxMessageBytes } = await ensure(kafka, {}, { role: 'control' });
    expect(deadLetterMaxMessageBytes).toBeUndefined();
    expect(shardMaxMessageBytes.traces).toBe(8 * MiB);
    expect(await kafka.listTopics()).not.toContain('t.weir.dead_letter');
  });

  it('names what is missing where it may not create', async () => {
    const kafka = await admin();
    const said = await problemsOf(ensure(kafka, { topics: { create: false } }), 'TOPIC_MISSING');
    expect(said).toBe(
      'topics are missing: t.otlp_spans, t.otlp_metrics, t.otlp_logs and 54 more; create them with `weir topics --create`, ' +
        'or by hand with what `weir topics --print` shows',
    );
    expect(await kafka.listTopics()).toEqual([]);
  });

  const forEver = { 'retention.ms': '-1', 'retention.bytes': '-1' };
  it.each([
    [
      'a control log of three partitions',
      { name: 't.weir.control', partitions: 3, config: forEver },
      't.weir.control has 3 partitions and must have one',
    ],
    [
      'a control log that ends after a week',
      { name: 't.weir.control', partitions: 1, config: {} },
      'not kept for ever (cleanup.policy=delete, retention.ms=604800000)',
    ],
    [
      'a control log of limited bytes',
      { name: 't.weir.control', partitions: 1, config: { 'retention.ms': '-1', 'retention.bytes': '5' } },
      '(cleanup.policy=delete, retention.bytes=5)',
    ],
    [
      'a compacted control log',
      { name: 't.weir.control', partitions: 1, config: { ...forEver, 'cleanup.policy': 'compact' } },
      '(cleanup.policy=compact)',
    ],
    [
      'a shard of two partitions',
      { name: 't.otlp_logs_shard_0015', partitions: 2, config: {} },
      't.otlp_logs_shard_0015 has 2 partitions and must have one',
    ],
    [
      'a compacted ingest topic',
      { name: 't.otlp_spans', partitions: 1, config: { 'cleanup.policy': 'compact' } },
      'would refuse spans, which have no key',
    ],
    [
      'a shard that takes next to nothing',
      { name: 't.otlp_logs_shard_0001', partitions: 1, config: { 'max.message.bytes': '1000' } },
      'a shard needs at least 65536',
    ],
    [
      'an ingest topic with larger records than dead letters may have',
      { name: 't.otlp_spans', partitions: 1, config: { 'max.message.bytes': '20000000' } },
      'max.message.bytes=20065536',
    ],
  ])('refuses %s', async (_, topic, said) => {
    expect(
      await problemsOf(
        admin(topic).then((kafka) => ensure(kafka)),
        'TOPIC_MISMATCH',
      ),
    ).toContain(said);
  });

  it('tells all mismatches at once', async () => {
    const kafka = await admin(
      { name: 't.weir.control', partitions: 2, config: {} },
      { name: 't.otlp_spans_shard_0000', partitions: 2, config: {} },
    );
    expect((await problemsOf(ensure(kafka), 'TOPIC_MISMATCH')).split('\n')).toHaveLength(3);
  });

  it('waits until new topics show in the metadata', async () => {
    const kafka = await admin();
    let asked = 0;
    const slow = {
      cluster: () => kafka.cluster(),
      createTopics: (topics) => kafka.createTopics(topics),
      describeTopics: async (wanted) => {
        asked++;
        const found = await kafka.describeTopics(wanted);
        return asked < 4 ? found.slice(1) : found;
      },
    } satisfies Partial<Admin> as Partial<Admin> as Admin;
    const facts = await ensure(slow, {}, { role: 'bridge' });
    expect(facts.ingest.traces.partitions).toBe(12);
    expect(asked).toBe(4);
  });
});
