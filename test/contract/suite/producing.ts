import { describe, expect, it } from 'vitest';
import type { Producer } from '../../../src/kafka/port.ts';
import { eventually } from '../../support/eventually.ts';
import { bytes, type Scene } from './scene.ts';

export function producingContract(scene: () => Scene): void {
  async function open(port = scene().port, deliveryTimeoutMs?: number): Promise<Producer> {
    const producer = await port.producer({ deliveryTimeoutMs });
    scene().atEnd(() => producer.close());
    return producer;
  }

  describe('a producer', () => {
    it('stores records of several topics and partitions, and answers for each', async () => {
      const topics = [await scene().topic(2), await scene().topic(2)];
      const producer = await open();
      const places = topics.flatMap((topic) => [0, 1].map((partition) => ({ topic, partition })));
      const records = [0, 1, 2].flatMap((i) => places.map((at) => ({ ...at, value: bytes(`${at.partition} ${i}`) })));
      expect(await producer.send(records)).toEqual(records.map(() => ({ kind: 'stored' })));
      for (const { topic, partition } of places) {
        expect(await scene().readTexts(topic, 'read_committed', partition)).toEqual([
          `${partition} 0`,
          `${partition} 1`,
          `${partition} 2`,
        ]);
      }
    });

    it('has nothing to do for no records', async () => {
      expect(await (await open()).send([])).toEqual([]);
    });

    it('is refused only the records that are too large, and stores the others', async () => {
      const topic = await scene().topicLimitedTo(10_000);
      const producer = await open();
      const sizes = [100, 20_000, 200, 30_000, 300, 9_000, 9_000];
      const outcomes = await producer.send([
        ...sizes.map((size) => ({ topic, partition: 0, value: new Uint8Array(size) })),
        { topic, partition: 1, value: bytes('elsewhere') },
      ]);
      expect(outcomes.map((outcome) => outcome.kind)).toEqual([
        'stored',
        'refused',
        'stored',
        'refused',
        'stored',
        'stored',
        'stored',
        'stored',
      ]);
      for (const outcome of outcomes) {
        if (outcome.kind === 'refused') expect(outcome).toMatchObject({ tooLarge: true, cause: expect.any(Error) });
      }
      expect((await scene().readTexts(topic)).map((value) => value?.length)).toEqual([100, 200, 300, 9_000, 9_000]);
      expect(await scene().readTexts(topic, 'read_committed', 1)).toEqual(['elsewhere']);

      expect(await producer.send([{ topic, partition: 0, value: bytes('later') }])).toEqual([{ kind: 'stored' }]);
      expect((await scene().readTexts(topic)).at(-1)).toBe('later');
    });

    it('keeps the order of concurrent sends within a partition', async () => {
      const topic = await scene().topic(2);
      const producer = await open();
      const sends = Array.from({ length: 60 }, (_, i) =>
        producer.send([
          { topic, partition: i % 2, value: bytes(`${i}a`) },
          { topic, partition: i % 2, value: bytes(`${i}b`) },
        ]),
      );
      for (const outcomes of await Promise.all(sends)) {
        expect(outcomes).toEqual([{ kind: 'stored' }, { kind: 'stored' }]);
      }
      for (const partition of [0, 1]) {
        const expected = Array.from({ length: 60 }, (_, i) => i)
          .filter((i) => i % 2 === partition)
          .flatMap((i) => [`${i}a`, `${i}b`]);
        expect(await scene().readTexts(topic, 'read_committed', partition)).toEqual(expected);
      }
    });

    it('whose reply is lost sends again, and stores nothing twice', async () => {
      const topic = await scene().topic();
      const faulty = await scene().connectFaulty();
      const producer = await open(faulty.port);
      const expected: string[] = [];
      for (let i = 0; i < 6; i++) {
        if (i % 2 === 1) faulty.loseNextProduceReply();
        const values = [`${i}a`, `${i}b`];
        expected.push(...values);
        const outcomes = await producer.send(values.map((value) => ({ topic, partition: 0, value: bytes(value) })));
        expect(outcomes).toEqual([{ kind: 'stored' }, { kind: 'stored' }]);
      }
      expect(await scene().readTexts(topic)).toEqual(expected);
    });

    it('keeps order and loses nothing when a reply is lost amid concurrent sends', async () => {
      const topic = await scene().topic();
      const faulty = await scene().connectFaulty();
      const producer = await open(faulty.port);
      expect(await producer.send([{ topic, partition: 0, value: bytes('0') }])).toEqual([{ kind: 'stored' }]);
      faulty.loseNextProduceReply();
      const sends = Array.from({ length: 20 }, (_, i) =>
        producer.send([{ topic, partition: 0, value: bytes(`${i + 1}`) }]),
      );
      for (const outcomes of await Promise.all(sends)) expect(outcomes).toEqual([{ kind: 'stored' }]);
      expect(await scene().readTexts(topic)).toEqual(Array.from({ length: 21 }, (_, i) => `${i}`));
    });

    it('is done with the views when send resolves', async () => {
      const topic = await scene().topic();
      const producer = await open();
      const memory = new Uint8Array(5);
      for (const value of ['alpha', 'gamma', 'delta']) {
        memory.set(bytes(value));
        expect(await producer.send([{ topic, partition: 0, value: memory }])).toEqual([{ kind: 'stored' }]);
        memory.fill(0xdb);
      }
      expect(await scene().readTexts(topic)).toEqual(['alpha', 'gamma', 'delta']);
    });

    it('gives up on a topic that is not there after the delivery timeout, without harm to the others', async () => {
      const topic = await scene().topic();
      const producer = await open(scene().port, 1_500);
      // Again where the machine stood still for that long.
      await eventually(async () => {
        const outcomes = await producer.send([
          { topic: scene().name('missing'), partition: 0, value: bytes('nowhere') },
          { topic, partition: 0, value: bytes('somewhere') },
        ]);
        expect(outcomes[0]!.kind).not.toBe('stored');
        expect(outcomes[1]).toEqual({ kind: 'stored' });
      });
      expect(await scene().readTexts(topic)).toContain('somewhere');
    });
  });
}
