import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { bytes, type Scene } from './scene.ts';

export function adminContract(scene: () => Scene): void {
  const admin = () => scene().port.admin;

  describe('the admin', () => {
    it('describes the cluster', async () => {
      const cluster = await admin().cluster();
      expect(cluster.brokers).toBeGreaterThanOrEqual(1);
      expect(cluster.description.length).toBeGreaterThan(0);
      expect(scene().port.description.length).toBeGreaterThan(0);
    });

    it('creates only what is missing, and says what that was', async () => {
      const [there, missing] = [await scene().topic(2), scene().name('topic')];
      const spec = (name: string, partitions: number) => ({ name, partitions, replicas: 1, config: {} });
      scene().atEnd(() => admin().deleteTopics([missing]));
      expect(await admin().createTopics([spec(there, 3), spec(missing, 4)])).toEqual([missing]);
      expect(await admin().createTopics([spec(there, 3), spec(missing, 4)])).toEqual([]);
      const described = await admin().describeTopics([there, missing]);
      expect(described.map(({ name, partitions }) => [name, partitions])).toEqual([
        [there, 2],
        [missing, 4],
      ]);
    });

    it('describes partitions and settings, those that were given and defaults', async () => {
      const name = await scene().topic(3, { 'retention.bytes': '12345678', 'cleanup.policy': 'compact' });
      const [description, ...others] = await admin().describeTopics([name, scene().name('missing')]);
      expect(others).toEqual([]);
      expect(description).toMatchObject({ name, partitions: 3 });
      expect(description!.config).toMatchObject({ 'retention.bytes': '12345678', 'cleanup.policy': 'compact' });
      expect(Number(description!.config['max.message.bytes'])).toBeGreaterThan(0);
    });

    it('lists topics, and deletes them', async () => {
      const [stays, goes] = [await scene().topic(), await scene().topic()];
      expect(await admin().listTopics()).toEqual(expect.arrayContaining([stays, goes]));
      await admin().deleteTopics([goes]);
      await eventually(async () => {
        const names = await admin().listTopics();
        expect(names).toContain(stays);
        expect(names).not.toContain(goes);
      });
      expect(await admin().describeTopics([goes])).toEqual([]);
    });

    it('finds no committed offset where none was committed', async () => {
      const topic = await scene().topic(2);
      expect(await admin().committedOffsets(scene().name('group'), topic)).toEqual([
        { partition: 0, offset: null, metadata: '' },
        { partition: 1, offset: null, metadata: '' },
      ]);
    });

    it('of a transaction that is still open shows no offset, and keeps showing the one before', async () => {
      const [topic, group, key] = [await scene().topic(), scene().name('group'), scene().name('key')];
      const output = await scene().topic();
      const faulty = await scene().connectFaulty();
      const sink = await scene().openSink(key, group, faulty.port);
      expect((await sink.commit([{ topic, partition: 0, offset: 0n, metadata: 'before' }])).kind).toBe('committed');
      await scene().untilCommitted(group, topic, 0n);
      sink.stage(output, 0, bytes('x'));
      faulty.loseNextProduceReply();
      expect((await sink.commit([{ topic, partition: 0, offset: 5n }])).kind).toBe('reopen');
      expect(await admin().committedOffsets(group, topic)).toEqual([{ partition: 0, offset: 0n, metadata: 'before' }]);
    });

    it('knows the earliest and the latest offset of every partition', async () => {
      const topic = await scene().topic(3);
      await scene().putTexts(topic, ['a', 'b', 'c'], 1);
      await scene().putTexts(topic, ['a', 'b', 'c', 'd'], 2);
      await scene().harness.truncate(topic, 2, 3n);
      expect(await admin().offsets(topic)).toEqual([
        { partition: 0, earliest: 0n, latest: 0n },
        { partition: 1, earliest: 0n, latest: 3n },
        { partition: 2, earliest: 3n, latest: 4n },
      ]);
    });
  });

  describe('the lag', () => {
    it('counts the records behind the committed offset, or all where there is none', async () => {
      const [topic, group] = [await scene().topic(3), scene().name('group')];
      await scene().putTexts(topic, ['a', 'b', 'c', 'd', 'e'], 0);
      await scene().putTexts(topic, ['a', 'b'], 1);
      const sink = await scene().openSink(scene().name('key'), group);
      expect((await sink.commit([{ topic, partition: 0, offset: 2n }])).kind).toBe('committed');
      await scene().untilCommitted(group, topic, 2n);
      expect([...(await admin().lag(group, topic))].sort(([a], [b]) => a - b)).toEqual([
        [0, 3n],
        [1, 2n],
        [2, 0n],
      ]);
      expect([...(await admin().lag(group, topic, [1]))]).toEqual([[1, 2n]]);
    });

    it('counts from the earliest record where the committed offset is lost', async () => {
      const [topic, group] = [await scene().topic(), scene().name('group')];
      await scene().putTexts(topic, ['a', 'b', 'c', 'd', 'e']);
      const sink = await scene().openSink(scene().name('key'), group);
      expect((await sink.commit([{ topic, partition: 0, offset: 1n }])).kind).toBe('committed');
      await scene().untilCommitted(group, topic, 1n);
      await scene().harness.truncate(topic, 0, 3n);
      expect((await admin().lag(group, topic)).get(0)).toBe(2n);
    });

    it('is 0 where only transaction markers are left', async () => {
      const [topic, group] = [await scene().topic(), scene().name('group')];
      const writer = await scene().openSink(scene().name('key'), scene().name('group'));
      for (const value of ['a', 'b', 'c']) {
        writer.stage(topic, 0, bytes(value));
        expect((await writer.commit([])).kind).toBe('committed');
      }
      const last = (await scene().readAll(topic)).at(-1)!;
      expect(last.value).toBe('c');
      const before = (await admin().lag(group, topic)).get(0)!;
      // Three records and three markers: what is not a record may be left out or not, as long as records are before it.
      expect(before).toBeGreaterThanOrEqual(3n);
      expect(before).toBeLessThanOrEqual(6n);

      const sink = await scene().openSink(scene().name('key'), group);
      expect((await sink.commit([{ topic, partition: 0, offset: last.offset + 1n }])).kind).toBe('committed');
      await scene().untilCommitted(group, topic, last.offset + 1n);
      // The marker of the last transaction lies behind the committed offset.
      expect((await admin().offsets(topic))[0]!.latest).toBe(last.offset + 2n);
      expect((await admin().lag(group, topic)).get(0)).toBe(0n);
    });

    it('is 0 where all that is left was aborted or is still open', async () => {
      const [topic, group, key] = [await scene().topic(), scene().name('group'), scene().name('key')];
      const faulty = await scene().connectFaulty();
      const sink = await scene().openSink(key, scene().name('group'), faulty.port);
      sink.stage(topic, 0, bytes('not visible'));
      faulty.loseNextProduceReply();
      expect((await sink.commit([])).kind).toBe('reopen');
      expect((await admin().lag(group, topic)).get(0)).toBe(0n);
      await scene().openSink(key, scene().name('group'));
      expect((await admin().lag(group, topic)).get(0)).toBe(0n);
    });
  });
}
