import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { bytes, readUntil, type Scene } from './scene.ts';

export function isolationContract(scene: () => Scene): void {
  describe('isolation', () => {
    /** Writes `open` in a transaction that stays open, for its sink lost the reply and is dead. */
    async function leaveOpen(topic: string, key: string, timeoutMs?: number): Promise<void> {
      const faulty = await scene().connectFaulty();
      const sink = await scene().openSink(key, scene().name('group'), faulty.port, timeoutMs);
      sink.stage(topic, 0, bytes('open'));
      faulty.loseNextProduceReply();
      expect((await sink.commit([])).kind).toBe('reopen');
    }

    it('read_committed ends before an open transaction, read_uncommitted reads through it', async () => {
      const topic = await scene().topic();
      await scene().putTexts(topic, ['before']);
      await leaveOpen(topic, scene().name('key'));
      await scene().putTexts(topic, ['after']);

      expect(await scene().readTexts(topic, 'read_committed', 0, true)).toEqual(['before']);
      expect(await scene().readTexts(topic, 'read_uncommitted')).toEqual(['before', 'open', 'after']);
      expect(await scene().port.admin.offsets(topic)).toEqual([{ partition: 0, earliest: 0n, latest: 1n }]);

      const reader = scene().reader(topic);
      await reader.seek('latest');
      expect(reader.position).toBe(1n);
      expect(await reader.poll(500)).toEqual({ kind: 'idle' });
    });

    it('read_committed passes over an aborted transaction, and its position over the marker', async () => {
      const topic = await scene().topic();
      const key = scene().name('key');
      await leaveOpen(topic, key);
      const successor = await scene().openSink(key, scene().name('group'));
      successor.stage(topic, 0, bytes('kept'));
      expect(await successor.commit([])).toEqual({ kind: 'committed' });

      // Offsets: 0 aborted record, 1 its marker, 2 the record that was kept, 3 its marker.
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      const records = await readUntil(reader, (position) => position >= 4n);
      expect(records.map(({ offset, value }) => [offset, value])).toEqual([[2n, 'kept']]);
      expect(reader.position).toBe(4n);
      expect(await scene().readTexts(topic, 'read_uncommitted')).toEqual(['open', 'kept']);
    });

    it('a poll without records still moves the position behind what only the log itself needs', async () => {
      const topic = await scene().topic();
      const key = scene().name('key');
      await leaveOpen(topic, key);
      await scene().openSink(key, scene().name('group'));
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      const outcome = await eventually(async () => {
        const polled = await reader.poll(500);
        expect(polled.kind).toBe('poll');
        return polled;
      });
      if (outcome.kind !== 'poll') return;
      expect(outcome.poll.count).toBe(0);
      expect(outcome.poll.bytes).toBe(0);
      expect(outcome.poll.nextOffset).toBe(reader.position);
      outcome.poll.release();
      expect(await readUntil(reader, (position) => position >= 2n)).toEqual([]);
    });

    it('the broker itself aborts a transaction that stays open for longer than its timeout', async () => {
      const topic = await scene().topic();
      await leaveOpen(topic, scene().name('key'), 1_000);
      await scene().putTexts(topic, ['after']);
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      // A broker with default settings looks for such transactions every 10 s.
      const records = await readUntil(reader, (_, read) => read.length > 0);
      expect(records.map((record) => record.value)).toEqual(['after']);
    });
  });
}
