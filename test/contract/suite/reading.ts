import { describe, expect, it } from 'vitest';
import type { PollOutcome } from '../../../src/kafka/port.ts';
import { createSeededRandom } from '../../../src/loadgen/seeded-random.ts';
import { PATIENCE_MS } from '../../support/eventually.ts';
import { bytes, nextPoll, readUntil, recordsOf, type Scene, text } from './scene.ts';

/** Reads records until `count` have come, and tells how they were cut into polls. */
async function pollSizes(reader: Parameters<typeof nextPoll>[0], count: number): Promise<number[][]> {
  const polls: number[][] = [];
  for (let seen = 0; seen < count; ) {
    const poll = await nextPoll(reader);
    polls.push(Array.from({ length: poll.count }, (_, i) => poll.value(i)?.length ?? 0));
    seen += poll.count;
    poll.release();
  }
  return polls;
}

export function readingContract(scene: () => Scene): void {
  describe('a poll', () => {
    it('hands over value, key, headers, offset and timestamp of each record as they were sent', async () => {
      const topic = await scene().topic();
      const before = Date.now();
      await scene().put([
        { topic, partition: 0, value: bytes('one'), key: bytes('k1'), headers: [['tenant', bytes('acme')]] },
        { topic, partition: 0, value: bytes('two') },
      ]);
      const after = Date.now();
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      const records = await readUntil(reader, (position) => position >= 2n);
      expect(records).toEqual([
        { offset: 0n, value: 'one', key: 'k1', headers: [['tenant', 'acme']] },
        { offset: 1n, value: 'two', key: null, headers: [] },
      ]);

      await reader.seek(0n);
      const poll = await nextPoll(reader);
      expect(poll.topic).toBe(topic);
      expect(poll.partition).toBe(0);
      // The clock of another process may be a little off; seconds or microseconds would be off by much more.
      expect(poll.timestampMs(0)).toBeGreaterThanOrEqual(before - 1_000);
      expect(poll.timestampMs(0)).toBeLessThanOrEqual(after + 1_000);
      poll.release();
    });

    it('tells a record without a value from one with an empty value, and likewise for keys', async () => {
      const topic = await scene().topic();
      await scene().put([
        { topic, partition: 0, value: null, key: bytes('a') },
        { topic, partition: 0, value: new Uint8Array(0), key: new Uint8Array(0) },
        { topic, partition: 0, value: bytes('x'), key: null },
      ]);
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      const records = await readUntil(reader, (position) => position >= 3n);
      expect(records.map((record) => record.value)).toEqual([null, '', 'x']);
      expect(records.map((record) => record.key)).toEqual(['a', '', null]);
    });

    it('keeps the order of headers, names that come twice, and bytes that are no text', async () => {
      const topic = await scene().topic();
      const binary = Uint8Array.from({ length: 256 }, (_, i) => i);
      const headers = [
        ['tenant', bytes('a')],
        ['TENANT', bytes('b')],
        ['tenant', binary],
        ['größe', new Uint8Array(0)],
      ] as const;
      await scene().put([{ topic, partition: 0, value: bytes('v'), headers }]);
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      const poll = await nextPoll(reader);
      expect(poll.headers(0).map(([name, value]) => [name, [...value]])).toEqual(
        headers.map(([name, value]) => [name, [...value]]),
      );
      poll.release();
    });

    it.each(['gzip', 'snappy', 'lz4', 'zstd'])('is the same from batches that are stored as %s', async (codec) => {
      const topic = await scene().topic(1, { 'compression.type': codec });
      // What does not shrink, what shrinks to almost nothing, and both at lengths around the codecs' blocks of 32 and 64 KiB.
      const noise = createSeededRandom(7);
      const values = [1, 11, 60, 300, 32_768, 65_535, 70_000, 200_000].flatMap((length) => [
        Buffer.from(Array.from({ length }, () => noise.integer(0, 255))),
        Buffer.alloc(length, 'ab'),
        Buffer.from(Array.from({ length }, (_, i) => (noise.integer(0, 9) === 0 ? i & 0xff : 0x20 + (i % 40)))),
      ]);
      await scene().put(values.map((value) => ({ topic, partition: 0, value })));
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      for (let next = 0; next < values.length; ) {
        const poll = await nextPoll(reader);
        for (let i = 0; i < poll.count; i++) expect(Buffer.compare(poll.value(i)!, values[next++]!)).toBe(0);
        poll.release();
      }
    });

    it('counts its records and the bytes of all values, and says what to commit', async () => {
      const topic = await scene().topic();
      await scene().putTexts(topic, ['a', 'bb', 'ccc']);
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      let count = 0;
      let size = 0;
      while (count < 3) {
        const poll = await nextPoll(reader);
        expect(poll.offset(0)).toBe(BigInt(count));
        count += poll.count;
        size += poll.bytes;
        expect(poll.nextOffset).toBe(BigInt(count));
        expect(reader.position).toBe(poll.nextOffset);
        poll.release();
      }
      expect(size).toBe(6);
    });

    it('keeps its views while later polls are fetched, until it is released', async () => {
      const topic = await scene().topic();
      const values = Array.from({ length: 40 }, (_, i) => `value ${i} ${'x'.repeat(1_000)}`);
      await scene().putTexts(topic, values);
      const reader = scene().reader(topic, { maxPollRecords: 7, poisonReleased: true });
      await reader.seek('earliest');
      const polls = [];
      for (let seen = 0; seen < values.length; ) {
        const poll = await nextPoll(reader);
        polls.push(poll);
        seen += poll.count;
      }
      // Every other lease ends: those in between must not notice.
      for (const [i, poll] of polls.entries()) if (i % 2 === 1) poll.release();
      for (const [i, poll] of polls.entries()) {
        if (i % 2 === 1) continue;
        for (let r = 0; r < poll.count; r++) expect(text(poll.value(r))).toBe(values[Number(poll.offset(r))]);
      }
      for (const poll of polls) poll.release();
    });

    it('with poisonReleased overwrites its views at release, and nothing but them', async () => {
      const topic = await scene().topic();
      await scene().put([{ topic, partition: 0, value: bytes('value'), key: bytes('key') }]);
      const reader = scene().reader(topic, { poisonReleased: true });
      await reader.seek('earliest');
      const poll = await nextPoll(reader);
      const views = [poll.value(0)!, poll.key(0)!];
      expect(views.map(text)).toEqual(['value', 'key']);
      poll.release();
      for (const view of views) expect([...view]).toEqual(Array(view.length).fill(0xdb));

      await reader.seek(0n);
      const again = await nextPoll(reader);
      expect(text(again.value(0))).toBe('value');
      // A second release of the first lease must not reach into the second one's memory.
      poll.release();
      expect(text(again.value(0))).toBe('value');
      again.release();
    });

    it('has at most maxPollRecords records', async () => {
      const topic = await scene().topic();
      await scene().putTexts(
        topic,
        Array.from({ length: 10 }, (_, i) => `${i}`),
      );
      const reader = scene().reader(topic, { maxPollRecords: 4 });
      await reader.seek('earliest');
      expect(await pollSizes(reader, 10)).toEqual([
        [1, 1, 1, 1],
        [1, 1, 1, 1],
        [1, 1],
      ]);
    });

    it('has at most maxPollBytes bytes of values, except for one larger record, which comes alone', async () => {
      const topic = await scene().topic();
      const sizes = [400, 500, 300, 5_000, 0, 100, 1_000, 1];
      await scene().put(sizes.map((size) => ({ topic, partition: 0, value: new Uint8Array(size) })));
      const reader = scene().reader(topic, { maxPollBytes: 1_000 });
      await reader.seek('earliest');
      expect(await pollSizes(reader, sizes.length)).toEqual([[400, 500], [300], [5_000], [0, 100], [1_000], [1]]);
    });

    it('has at most so many of what compressed batches decompress to, however many of them a fetch brings', async () => {
      const topic = await scene().topic(1, { 'compression.type': 'zstd' });
      const values = Array.from({ length: 33 }, (_, i) => Buffer.alloc(60_000, `record ${i}, `));
      for (let sent = 0; sent < values.length; sent += 3)
        await scene().put(values.slice(sent, sent + 3).map((value) => ({ topic, partition: 0, value })));
      const reader = scene().reader(topic, { maxPollBytes: 400_000 });
      await reader.seek('earliest');
      for (let next = 0; next < values.length; ) {
        const poll = await nextPoll(reader);
        expect(poll.bytes).toBeLessThanOrEqual(400_000);
        for (let i = 0; i < poll.count; i++) expect(Buffer.compare(poll.value(i)!, values[next++]!)).toBe(0);
        expect(poll.nextOffset).toBe(BigInt(next));
        poll.release();
      }
    });

    it('by default has at most 512 records and 8 MB, and one larger record comes alone there, too', async () => {
      const topic = await scene().topic(1, { 'max.message.bytes': '20000000' });
      await scene().put(Array.from({ length: 600 }, (_, i) => ({ topic, partition: 0, value: bytes(`${i}`) })));
      const large = new Uint8Array(9_000_000).map((_, i) => i % 251);
      await scene().put([{ topic, partition: 0, value: large }]);
      await scene().putTexts(topic, ['behind']);
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      let seen = 0;
      while (seen < 600) {
        const poll = await nextPoll(reader);
        expect(poll.count).toBeLessThanOrEqual(512);
        seen += poll.count;
        expect(seen).toBeLessThanOrEqual(600);
        poll.release();
      }
      const alone = await nextPoll(reader);
      expect([alone.count, alone.offset(0), alone.bytes]).toEqual([1, 600n, large.length]);
      expect(Buffer.compare(alone.value(0)!, large)).toBe(0);
      alone.release();
      expect((await readUntil(reader, (position) => position >= 602n)).map((record) => record.value)).toEqual([
        'behind',
      ]);
    });

    it('comes in the order of the log, every offset once', async () => {
      const topic = await scene().topic();
      const values = Array.from({ length: 2_000 }, (_, i) => `${i}`);
      for (let i = 0; i < values.length; i += 500) await scene().putTexts(topic, values.slice(i, i + 500));
      const reader = scene().reader(topic, { maxPollRecords: 333 });
      await reader.seek('earliest');
      const records = await readUntil(reader, (position) => position >= 2_000n);
      expect(records.map((record) => record.value)).toEqual(values);
      expect(records.map((record) => record.offset)).toEqual(values.map((_, i) => BigInt(i)));
    });
  });

  describe('a reader', () => {
    it('has no position until seek', async () => {
      const topic = await scene().topic();
      await expect(scene().reader(topic).poll(10)).rejects.toThrow();
    });

    it('reads on from the earliest record, from the latest, or from an offset', async () => {
      const topic = await scene().topic();
      await scene().putTexts(topic, ['a', 'b', 'c', 'd']);
      await scene().harness.truncate(topic, 0, 1n);
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      expect(reader.position).toBe(1n);
      expect((await readUntil(reader, (position) => position >= 4n)).map((record) => record.value)).toEqual([
        'b',
        'c',
        'd',
      ]);
      await reader.seek(2n);
      expect(reader.position).toBe(2n);
      expect((await readUntil(reader, (position) => position >= 4n))[0]?.value).toBe('c');
      await reader.seek('latest');
      expect(reader.position).toBe(4n);
      await scene().putTexts(topic, ['e']);
      expect((await readUntil(reader, (position) => position >= 5n)).map((record) => record.value)).toEqual(['e']);
    });

    it('is idle when nothing comes within the wait', async () => {
      const topic = await scene().topic();
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      const waits: number[] = [];
      for (let i = 0; i < 3; i++) {
        const begin = performance.now();
        expect(await reader.poll(300)).toEqual({ kind: 'idle' });
        waits.push(performance.now() - begin);
      }
      // The machine may stand still in one of them.
      expect(Math.min(...waits)).toBeGreaterThanOrEqual(290);
      expect(Math.min(...waits)).toBeLessThan(5_000);
    });

    it('ends its wait when a record comes', async () => {
      const topic = await scene().topic();
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      const begin = performance.now();
      const polled = reader.poll(PATIENCE_MS);
      await scene().putTexts(topic, ['late']);
      const outcome = await polled;
      expect(outcome.kind).toBe('poll');
      if (outcome.kind !== 'poll') return;
      expect(recordsOf(outcome.poll).map((record) => record.value)).toEqual(['late']);
      outcome.poll.release();
      expect(performance.now() - begin).toBeLessThan(PATIENCE_MS / 2);
    });

    it('leaves a paused partition out, and goes on where it was after resume', async () => {
      const topic = await scene().topic();
      await scene().putTexts(topic, ['a']);
      const reader = scene().reader(topic);
      await reader.seek('earliest');
      reader.pause();
      expect(await reader.poll(300)).toEqual({ kind: 'idle' });
      expect(reader.position).toBe(0n);

      let outcome: PollOutcome | undefined;
      const polled = reader.poll(PATIENCE_MS).then((result) => {
        outcome = result;
      });
      await scene().putTexts(topic, ['b']);
      expect(outcome).toBeUndefined();
      reader.resume();
      await polled;
      expect(outcome?.kind).toBe('poll');
      if (outcome?.kind !== 'poll') return;
      const first = recordsOf(outcome.poll);
      outcome.poll.release();
      const rest = await readUntil(reader, (position) => position >= 2n);
      expect([...first, ...rest].map((record) => record.value)).toEqual(['a', 'b']);
    });

    it('says what is lost when its position was deleted, and stands there until someone seeks', async () => {
      const topic = await scene().topic();
      await scene().putTexts(topic, ['a', 'b', 'c', 'd', 'e']);
      const reader = scene().reader(topic);
      await reader.seek(1n);
      await scene().harness.truncate(topic, 0, 3n);
      const lost = { kind: 'out-of-range', position: 1n, earliest: 3n, latest: 5n };
      expect(await reader.poll(PATIENCE_MS)).toEqual(lost);
      expect(reader.position).toBe(1n);
      expect(await reader.poll(PATIENCE_MS)).toEqual(lost);

      await reader.seek('earliest');
      const records = await readUntil(reader, (position) => position >= 5n);
      expect(records.map((record) => record.value)).toEqual(['d', 'e']);
    });

    it('says so when its position is beyond the end, and does not go on by itself when the log has grown past it', async () => {
      const topic = await scene().topic();
      await scene().putTexts(topic, ['a']);
      const reader = scene().reader(topic);
      await reader.seek(3n);
      expect(await reader.poll(PATIENCE_MS)).toEqual({ kind: 'out-of-range', position: 3n, earliest: 0n, latest: 1n });
      // Going on at 3 would pass over the records 1 and 2 without a word.
      await scene().putTexts(topic, ['b', 'c', 'd', 'e']);
      expect(await reader.poll(1_000)).toMatchObject({ kind: 'out-of-range', position: 3n });
      await reader.seek(1n);
      const records = await readUntil(reader, (position) => position >= 5n);
      expect(records.map((record) => record.value)).toEqual(['b', 'c', 'd', 'e']);
    });

    it('ends a waiting poll, and every later one, when it is closed', async () => {
      const topic = await scene().topic();
      const reader = scene().port.reader({ topic, partition: 0 });
      await reader.seek('earliest');
      const polled = reader.poll(PATIENCE_MS);
      await reader.close();
      expect(await polled).toEqual({ kind: 'ended' });
      expect(await reader.poll(PATIENCE_MS)).toEqual({ kind: 'ended' });
    });
  });
}
