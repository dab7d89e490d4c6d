import { describe, expect, it } from 'vitest';
import { eventually, PATIENCE_MS } from '../../support/eventually.ts';
import { type Crewman, join, nameOf, settled, untilAborted } from './crew.ts';
import { bytes, nextPoll, readUntil, type Scene, SHORT_SESSION_MS } from './scene.ts';

const partitionsOf = (topic: string, count: number) => Array.from({ length: count }, (_, i) => `${topic}/${i}`);

/** Whether the promise ends within a moment that is long for anything in hand. */
const endsWithin = (promise: Promise<unknown>, timeoutMs: number): Promise<boolean> => {
  const { promise: timedOut, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), timeoutMs);
  const ended = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([ended, timedOut]).finally(() => clearTimeout(timer));
};

export function groupsContract(scene: () => Scene): void {
  describe('a group', () => {
    it('gives its only member every partition of every topic, under one generation', async () => {
      const topics = [await scene().topic(3), await scene().topic(2)];
      const crewman = join(scene(), { groupId: scene().name('group'), topics });
      const all = [...partitionsOf(topics[0]!, 3), ...partitionsOf(topics[1]!, 2)];
      const generation = await settled([crewman], all);
      expect(crewman.generations.at(-1)!.partitions).toEqual(all.sort());
      const current = crewman.partitions.slice(-all.length);
      for (const partition of current) {
        expect(partition.generation).toBe(generation);
        expect(partition.memberId).toBe(crewman.generations.at(-1)!.memberId);
        expect(partition.memberId).not.toBe('');
        expect(partition.signal.aborted).toBe(false);
        expect(await partition.confirm()).toBe(true);
      }
    });

    it('gives a partition without a position, and leaves it to the member where to begin', async () => {
      const [topic, group] = [await scene().topic(), scene().name('group')];
      await scene().putTexts(topic, ['a', 'b', 'c']);
      const crewman = join(scene(), { groupId: group, topics: [topic] });
      await settled([crewman], [`${topic}/0`]);
      const partition = crewman.partitions.at(-1)!;
      await expect(partition.poll(10)).rejects.toThrow();
      await partition.seek(1n);
      const records = await readUntil(partition, (position) => position >= 3n);
      expect(records.map((record) => record.value)).toEqual(['b', 'c']);
      expect((await scene().committed(group, topic)).offset).toBeNull();
    });

    it('shares the partitions evenly among its members, each to one, and joins no generation over another', async () => {
      const [topic, group] = [await scene().topic(6), scene().name('group')];
      const all = partitionsOf(topic, 6);
      /** Runs that are on, over all members: partition -> generation. */
      const holders = new Map<string, number>();
      const overlaps: string[] = [];
      const run = async (partition: { topic: string; partition: number; generation: number; signal: AbortSignal }) => {
        const name = nameOf(partition);
        if (holders.has(name)) overlaps.push(`${name} in ${partition.generation} while ${holders.get(name)} was on`);
        for (const generation of holders.values()) {
          if (generation < partition.generation)
            overlaps.push(`${generation} was on when ${partition.generation} began`);
        }
        holders.set(name, partition.generation);
        await untilAborted(partition.signal);
        // Work in hand: the next generation has to wait for it.
        await new Promise((resolve) => setTimeout(resolve, 150));
        holders.delete(name);
      };
      const first = join(scene(), { groupId: group, topics: [topic] }, run);
      const alone = await settled([first], all);
      const held = first.partitions.slice(-6);

      const second = join(scene(), { groupId: group, topics: [topic] }, run, await scene().connect());
      const together = await settled([first, second], all);
      expect(together).toBeGreaterThan(alone);
      expect(first.running().length).toBe(3);
      expect(second.running().length).toBe(3);
      expect(held.every((partition) => partition.signal.aborted)).toBe(true);
      expect(overlaps).toEqual([]);

      await second.member.close();
      const after = await settled([first], all);
      expect(after).toBeGreaterThan(together);
      expect(overlaps).toEqual([]);
    });

    it('lets a partition stay where it was as far as balance allows', async () => {
      const [topic, group] = [await scene().topic(6), scene().name('group')];
      const all = partitionsOf(topic, 6);
      const first = join(scene(), { groupId: group, topics: [topic] });
      await settled([first], all);
      const second = join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      await settled([first, second], all);
      const before = [first.running(), second.running()];
      const third = join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      await settled([first, second, third], all);
      for (const [i, crewman] of [first, second].entries()) {
        expect(crewman.running().length).toBe(2);
        for (const name of crewman.running()) expect(before[i]).toContain(name);
      }
    });

    it('tells also a member that gets no partition of each generation', async () => {
      const [topic, group] = [await scene().topic(1), scene().name('group')];
      const first = join(scene(), { groupId: group, topics: [topic] });
      await settled([first], [`${topic}/0`]);
      const second = join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      await settled([first, second], [`${topic}/0`]);
      const [idle] = [first, second].filter((crewman) => crewman.running().length === 0);
      expect(idle!.generations.at(-1)!.partitions).toEqual([]);
    });

    it('hands the partitions of a member that closes to the others, at once', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      const all = partitionsOf(topic, 2);
      const port = await scene().connect();
      // Longer than `settled` waits.
      const options = { groupId: group, topics: [topic], sessionTimeoutMs: 5 * PATIENCE_MS };
      const leaving = join(scene(), options, undefined, port);
      const staying = join(scene(), options);
      await settled([leaving, staying], all);
      await leaving.member.close();
      await settled([staying], all);
    });

    it('hands the partitions of a member whose client is gone to the others', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      const all = partitionsOf(topic, 2);
      const port = await scene().connect();
      const options = { groupId: group, topics: [topic], sessionTimeoutMs: SHORT_SESSION_MS };
      const vanishing = join(scene(), options, undefined, port);
      const staying = join(scene(), options);
      await settled([vanishing, staying], all);
      await port.close();
      await settled([staying], all);
    });

    it('waits for a run that does not end only until the rebalance timeout', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      const options = { groupId: group, topics: [topic], rebalanceTimeoutMs: 2_000 };
      const stuck = join(scene(), options, () => released);
      scene().atEnd(async () => release());
      const first = await settled([stuck], partitionsOf(topic, 2));
      const other = join(scene(), options, undefined, await scene().connect());
      scene().atEnd(async () => release());
      await eventually(() => expect(other.running().length).toBeGreaterThan(0));
      // It gives the stuck runs up itself, too, and takes part again.
      await eventually(() => expect(stuck.generations.at(-1)!.id).toBeGreaterThan(first));
    });
  });

  describe('a member', () => {
    it('is told to give back through the signal, and its polls end', async () => {
      const [topic, group] = [await scene().topic(1), scene().name('group')];
      const first = join(scene(), { groupId: group, topics: [topic] });
      await settled([first], [`${topic}/0`]);
      const partition = first.partitions.at(-1)!;
      await partition.seek('earliest');
      const waiting = partition.poll(PATIENCE_MS);
      const second = join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      await settled([first, second], [`${topic}/0`]);
      expect(partition.signal.aborted).toBe(true);
      expect(await waiting).toEqual({ kind: 'ended' });
      expect(await partition.poll(PATIENCE_MS)).toEqual({ kind: 'ended' });
    });

    it('keeps the views of a poll in hand when the partition is taken away', async () => {
      const [topic, group] = [await scene().topic(1), scene().name('group')];
      await scene().putTexts(topic, ['in hand']);
      const first = join(scene(), { groupId: group, topics: [topic], fetch: { poisonReleased: true } });
      await settled([first], [`${topic}/0`]);
      const partition = first.partitions.at(-1)!;
      await partition.seek('earliest');
      const poll = await nextPoll(partition);
      const second = join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      await settled([first, second], [`${topic}/0`]);
      expect([...poll.value(0)!]).toEqual([...bytes('in hand')]);
      poll.release();
    });

    it('whose run returns early keeps its place in the group', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      const early = join(scene(), { groupId: group, topics: [topic] }, async () => {});
      await eventually(() => expect(early.partitions.length).toBe(2));
      const other = join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      // One partition for each: the one that nobody works on is not given away.
      await eventually(() => expect(early.generations.at(-1)!.id).toBe(other.generations.at(-1)?.id));
      expect(other.generations.at(-1)!.partitions.length).toBe(1);
      expect(await early.partitions.at(-1)!.confirm()).toBe(true);
    });

    it('can no more confirm a generation that the group has left', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      const first = join(scene(), { groupId: group, topics: [topic] });
      await settled([first], partitionsOf(topic, 2));
      const old = first.partitions.at(-1)!;
      expect(await old.confirm()).toBe(true);
      const second = join(scene(), { groupId: group, topics: [topic] }, undefined, await scene().connect());
      await settled([first, second], partitionsOf(topic, 2));
      expect(await old.confirm()).toBe(false);
      expect(await first.partitions.at(-1)!.confirm()).toBe(true);
    });

    it('closes when asked to: aborts, waits for its runs, then is done', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      const crewman = join(scene(), { groupId: group, topics: [topic] }, () => released);
      scene().atEnd(async () => release());
      await settled([crewman], partitionsOf(topic, 2));
      const closed = crewman.member.close();
      await Promise.all(crewman.partitions.map((partition) => untilAborted(partition.signal)));
      expect(await endsWithin(closed, 300)).toBe(false);
      release();
      await closed;
      await crewman.member.done;
      expect(crewman.running()).toEqual([]);
      expect(await crewman.partitions.at(-1)!.confirm()).toBe(false);
    });

    it('whose run fails is closed, and its done rejects with the reason', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      const bug = new Error('a bug of the caller');
      const failing: Crewman = join(scene(), { groupId: group, topics: [topic] }, async (partition) => {
        if (partition.partition === 0) throw bug;
        await untilAborted(partition.signal);
      });
      await expect(failing.member.done).rejects.toBe(bug);
      expect(failing.running()).toEqual([]);

      const successor = join(scene(), { groupId: group, topics: [topic] });
      await settled([successor], partitionsOf(topic, 2));
    });

    it('finds the offset and metadata that an earlier member committed, and reads on from there', async () => {
      const [topic, group, key] = [await scene().topic(1), scene().name('group'), scene().name('key')];
      await scene().putTexts(topic, ['a', 'b', 'c', 'd']);
      /** One member's life: from the committed offset on, two records, committed. */
      const serveTwo = async (): Promise<(string | null)[]> => {
        const { promise: served, resolve } = Promise.withResolvers<(string | null)[]>();
        const options = { groupId: group, topics: [topic], fetch: { maxPollRecords: 2 } };
        const crewman = join(scene(), options, async (partition) => {
          const sink = await scene().openSink(key, group);
          await partition.seek((await scene().committed(group, topic)).offset ?? 'earliest');
          const records = await readUntil(partition, (_, read) => read.length >= 2);
          const offset = partition.position;
          await sink.commit([{ topic, partition: 0, offset, metadata: `at ${offset}` }]);
          resolve(records.map((record) => record.value));
          await untilAborted(partition.signal);
        });
        const values = await served;
        await crewman.member.close();
        return values;
      };
      expect(await serveTwo()).toEqual(['a', 'b']);
      expect(await scene().untilCommitted(group, topic, 2n)).toEqual({ partition: 0, offset: 2n, metadata: 'at 2' });
      expect(await serveTwo()).toEqual(['c', 'd']);
      expect(await scene().untilCommitted(group, topic, 4n)).toEqual({ partition: 0, offset: 4n, metadata: 'at 4' });
    });

    it('stands at a lost offset: nothing is reset, nothing is committed', async () => {
      const [topic, group] = [await scene().topic(1), scene().name('group')];
      await scene().putTexts(topic, ['a', 'b', 'c', 'd']);
      const sink = await scene().openSink(scene().name('key'), group);
      expect((await sink.commit([{ topic, partition: 0, offset: 1n, metadata: 'm' }])).kind).toBe('committed');
      await scene().harness.truncate(topic, 0, 3n);
      const crewman = join(scene(), { groupId: group, topics: [topic] });
      await settled([crewman], [`${topic}/0`]);
      const partition = crewman.partitions.at(-1)!;
      await partition.seek(1n);
      const lost = { kind: 'out-of-range', position: 1n, earliest: 3n, latest: 4n };
      expect(await partition.poll(PATIENCE_MS)).toEqual(lost);
      expect(await partition.poll(PATIENCE_MS)).toEqual(lost);
      expect(partition.position).toBe(1n);
      await crewman.member.close();
      expect(await scene().committed(group, topic)).toEqual({ partition: 0, offset: 1n, metadata: 'm' });
    });

    it('pauses one partition without holding up another', async () => {
      const [topic, group] = [await scene().topic(2), scene().name('group')];
      await scene().putTexts(topic, ['held'], 0);
      await scene().putTexts(topic, ['goes on'], 1);
      const crewman = join(scene(), { groupId: group, topics: [topic] });
      await settled([crewman], partitionsOf(topic, 2));
      const [held, free] = crewman.partitions.slice(-2).sort((a, b) => a.partition - b.partition);
      await held!.seek('earliest');
      await free!.seek('earliest');
      held!.pause();
      const [heldOutcome, records] = await Promise.all([
        held!.poll(600),
        readUntil(free!, (position) => position >= 1n),
      ]);
      expect(heldOutcome).toEqual({ kind: 'idle' });
      expect(records.map((record) => record.value)).toEqual(['goes on']);
      held!.resume();
      expect((await readUntil(held!, (position) => position >= 1n)).map((record) => record.value)).toEqual(['held']);
    });
  });
}
