import { describe, expect, it } from 'vitest';
import { readUntil, type Scene } from './scene.ts';

export function sharedPartitionContract(scene: () => Scene): void {
  describe('several readers of one partition on one port', () => {
    it('each get every record, wherever the others stand', async () => {
      const topic = await scene().topic();
      await scene().putTexts(topic, ['a', 'b', 'c']);
      const [ahead, behind, beside] = [scene().reader(topic), scene().reader(topic), scene().reader(topic)];
      await ahead.seek('latest');
      await behind.seek('earliest');
      await beside.seek(1n);
      // All three wait at once: the one ahead must not keep the others from what is there.
      const waiting = readUntil(ahead, (position) => position >= 5n);
      const texts = async (reader: typeof behind, end: bigint) =>
        (await readUntil(reader, (position) => position >= end)).map(({ value }) => value);
      const [all, some] = await Promise.all([texts(behind, 3n), texts(beside, 3n)]);
      expect(all).toEqual(['a', 'b', 'c']);
      expect(some).toEqual(['b', 'c']);

      await scene().putTexts(topic, ['d', 'e']);
      const later = await Promise.all([waiting, texts(behind, 5n), texts(beside, 5n)]);
      expect(later[0].map(({ value }) => value)).toEqual(['d', 'e']);
      expect(later[1]).toEqual(['d', 'e']);
      expect(later[2]).toEqual(['d', 'e']);
    });

    it('keep their own views when another releases its poll', async () => {
      const topic = await scene().topic();
      await scene().putTexts(topic, ['kept']);
      const readers = [0, 1].map(() => scene().reader(topic, { poisonReleased: true }));
      const [first, second] = await Promise.all(
        readers.map(async (reader) => {
          await reader.seek('earliest');
          for (;;) {
            const outcome = await reader.poll(1_000);
            if (outcome.kind === 'poll' && outcome.poll.count > 0) return outcome.poll;
          }
        }),
      );
      first!.release();
      expect(Buffer.from(second!.value(0)!).toString()).toBe('kept');
      second!.release();
    });
  });
}
