import { describe, expect, it } from 'vitest';
import type { AssignedPartition, KafkaPort, TransactionalSink } from '../../../src/kafka/port.ts';
import { eventually, PATIENCE_MS } from '../../support/eventually.ts';
import { join, settled, untilAborted } from './crew.ts';
import { bytes, type Scene } from './scene.ts';

export function tenureContract(scene: () => Scene): void {
  /** A sink that commits offsets under the partition's tenure, its key its own: no successor fences it. */
  async function sinkOf(partition: AssignedPartition, groupId: string): Promise<TransactionalSink> {
    const options = { fencingKey: scene().name('key'), groupId, transactionTimeoutMs: 60_000 };
    const sink = await scene().port.openSink({ ...options, tenure: partition });
    scene().atEnd(() => sink.close());
    return sink;
  }

  describe('a sink that was opened under a tenure', () => {
    it('commits offsets as long as the generation lasts, also the poll in hand while the group rebalances', async () => {
      const [topic, group] = [await scene().topic(), scene().name('group')];
      await scene().putTexts(topic, ['a', 'b']);
      const outcomes: string[] = [];
      const first = join(scene(), { groupId: group, topics: [topic] }, async (partition) => {
        const sink = await sinkOf(partition, group);
        outcomes.push((await sink.commit([{ topic, partition: 0, offset: 1n }])).kind);
        await untilAborted(partition.signal);
        outcomes.push((await sink.commit([{ topic, partition: 0, offset: 2n, metadata: 'in hand' }])).kind);
        await sink.close();
      });
      await eventually(() => expect(outcomes).toEqual(['committed']));
      join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      await eventually(() => expect(first.generations.length).toBeGreaterThan(1));
      expect(outcomes.slice(0, 2)).toEqual(['committed', 'committed']);
    });

    it('cannot commit once the generation is over, also when no successor has opened a sink', async () => {
      const [topic, output, group] = [await scene().topic(2), await scene().topic(), scene().name('group')];
      await scene().putTexts(topic, ['a', 'b']);
      const first = join(scene(), { groupId: group, topics: [topic] });
      await settled([first], [`${topic}/0`, `${topic}/1`]);
      const zombie = await sinkOf(first.partitions.find(({ partition }) => partition === 0)!, group);
      expect(await zombie.commit([{ topic, partition: 0, offset: 1n }])).toEqual({ kind: 'committed' });
      const second = join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      await settled([first, second], [`${topic}/0`, `${topic}/1`]);

      zombie.stage(output, 0, bytes('from the zombie'));
      const outcome = await zombie.commit([{ topic, partition: 0, offset: 2n }]);
      expect(outcome.kind).toBe('fenced');
      expect(outcome.kind === 'fenced' && outcome.cause.message).toMatch(/ILLEGAL_GENERATION/);
      await zombie.close();
      expect(await scene().readTexts(output)).toEqual([]);
      await scene().untilCommitted(group, topic, 1n);
    });

    it('cannot commit once the group has dropped the member', async () => {
      const [topic, group] = [await scene().topic(), scene().name('group')];
      await scene().putTexts(topic, ['a']);
      const gone = join(scene(), { groupId: group, topics: [topic] });
      await settled([gone], [`${topic}/0`]);
      const zombie = await sinkOf(gone.partitions.at(-1)!, group);
      await gone.member.close();
      expect((await zombie.commit([{ topic, partition: 0, offset: 1n }])).kind).toBe('fenced');
      expect((await scene().committed(group, topic)).offset).toBeNull();
    });
  });

  describe('a static member', () => {
    async function crewOfTwo(instanceId: string): Promise<{
      topic: string;
      group: string;
      before: ReturnType<typeof join>;
      other: ReturnType<typeof join>;
      port: KafkaPort;
    }> {
      const [topic, group] = [await scene().topic(4), scene().name('group')];
      const other = join(scene(), { groupId: group, topics: [topic], instanceId: 'other' });
      await settled(
        [other],
        [0, 1, 2, 3].map((i) => `${topic}/${i}`),
      );
      const port = await scene().connect();
      const before = join(scene(), { groupId: group, topics: [topic], instanceId }, undefined, port);
      await settled(
        [before, other],
        [0, 1, 2, 3].map((i) => `${topic}/${i}`),
      );
      return { topic, group, before, other, port };
    }

    it('that comes again has its partitions at once, under the same generation; the others notice nothing', async () => {
      const { topic, group, before, other } = await crewOfTwo('one');
      const [held, generations] = [before.running(), other.generations.length];
      const untouched = other.partitions.slice(-2);
      const again = join(scene(), { groupId: group, topics: [topic], instanceId: 'one' });
      await eventually(() => expect(again.running()).toEqual(held));
      expect(again.generations.at(-1)!.id).toBe(other.generations.at(-1)!.id);
      expect(again.generations.at(-1)!.memberId).not.toBe(before.generations.at(-1)!.memberId);
      expect(await again.partitions[0]!.confirm()).toBe(true);
      expect(untouched.map(({ signal }) => signal.aborted)).toEqual([false, false]);
      expect(other.generations.length).toBe(generations);
    });

    it('whose place another process has taken ends with an error that says so', async () => {
      const { topic, group, before } = await crewOfTwo('shared');
      const partition = before.partitions.at(-1)!;
      expect(partition.instanceId).toBe('shared');
      const at = { topic, partition: partition.partition };
      await scene().putTexts(topic, ['a'], partition.partition);
      const zombie = await sinkOf(partition, group);
      const again = join(scene(), { groupId: group, topics: [topic], instanceId: 'shared' });
      await eventually(() => expect(again.running().length).toBe(2));
      // Same generation, another member.
      expect((await zombie.commit([{ ...at, offset: 1n }])).kind).toBe('fenced');
      await expect(before.member.done).rejects.toMatchObject({
        code: 'INSTANCE_ID_TAKEN',
        message: expect.stringContaining('shared'),
      });
      expect(before.running()).toEqual([]);
      expect(await partition.confirm()).toBe(false);
      expect(await again.partitions[0]!.confirm()).toBe(true);
      expect((await scene().committed(group, topic, partition.partition)).offset).toBeNull();
    });

    it('that closes gives its partitions to the others at once', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      // Longer than `settled` waits.
      const options = { groupId: group, topics: [topic], sessionTimeoutMs: 5 * PATIENCE_MS };
      const staying = join(scene(), { ...options, instanceId: 'stays' });
      await settled([staying], [`${topic}/0`, `${topic}/1`]);
      const leaving = join(scene(), { ...options, instanceId: 'leaves' }, undefined, await scene().connect());
      await settled([leaving, staying], [`${topic}/0`, `${topic}/1`]);
      await leaving.member.close();
      await settled([staying], [`${topic}/0`, `${topic}/1`]);
    });
  });
}
