import { describe, expect, it } from 'vitest';
import type { KafkaPort, Poll, TransactionalSink } from '../../../src/kafka/port.ts';
import { bytes, nextPoll, type Scene, text } from './scene.ts';

export function transactionsContract(scene: () => Scene): void {
  describe('a sink', () => {
    it('commits records and offsets together, the offset with its metadata', async () => {
      const [input, output, group] = [await scene().topic(2), await scene().topic(), scene().name('group')];
      await scene().putTexts(input, ['a', 'b', 'c'], 1);
      const sink = await scene().openSink(scene().name('key'), group);
      sink.stage(output, 0, bytes('routed'), [['weir-source', bytes('x')]], bytes('key'));
      const outcome = await sink.commit([{ topic: input, partition: 1, offset: 3n, metadata: 'ring=7' }]);
      expect(outcome).toEqual({ kind: 'committed' });

      const records = await scene().readAll(output);
      expect(records).toEqual([{ offset: 0n, value: 'routed', key: 'key', headers: [['weir-source', 'x']] }]);
      // An owner's look waits for the transaction's end by itself.
      const committed = { partition: 1, offset: 3n, metadata: 'ring=7' };
      expect(await scene().port.admin.committedOffset(group, { topic: input, partition: 1 })).toEqual(committed);
      expect(await scene().port.admin.committedOffset(group, { topic: input, partition: 0 })).toEqual({
        partition: 0,
        offset: null,
        metadata: '',
      });
      expect(await scene().port.admin.committedOffsets(group, input)).toEqual([
        { partition: 0, offset: null, metadata: '' },
        committed,
      ]);
    });

    it('sends nothing before commit', async () => {
      const topic = await scene().topic();
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      sink.stage(topic, 0, bytes('staged'));
      expect(await scene().readTexts(topic, 'read_uncommitted')).toEqual([]);
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      expect(await scene().readTexts(topic)).toEqual(['staged']);
    });

    it('has nothing to do for an empty commit', async () => {
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
    });

    it('commits offsets without any record', async () => {
      const [topic, group] = [await scene().topic(), scene().name('group')];
      await scene().putTexts(topic, ['a', 'b']);
      const sink = await scene().openSink(scene().name('key'), group);
      for (const offset of [1n, 2n]) {
        expect(await sink.commit([{ topic, partition: 0, offset }])).toEqual({ kind: 'committed' });
        await scene().untilCommitted(group, topic, offset);
      }
    });

    it('drops what is staged at abort, and goes on', async () => {
      const topic = await scene().topic();
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      sink.stage(topic, 0, bytes('dropped'));
      expect(sink.stagedBytes).toBeGreaterThanOrEqual(7);
      sink.abort();
      expect(sink.stagedBytes).toBe(0);
      sink.stage(topic, 0, bytes('kept'));
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      expect(sink.stagedBytes).toBe(0);
      expect(await scene().readTexts(topic, 'read_uncommitted')).toEqual(['kept']);
    });

    it('writes to many partitions of several topics in one transaction, in order within each', async () => {
      const topics = [await scene().topic(8), await scene().topic(8)];
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      for (const round of ['first', 'second']) {
        for (let i = 0; i < 5; i++) {
          for (const topic of topics) {
            for (let partition = 0; partition < 8; partition++) {
              sink.stage(topic, partition, bytes(`${round} ${topic}/${partition}/${i}`));
            }
          }
        }
        expect(await sink.commit([])).toEqual({ kind: 'committed' });
      }
      for (const topic of topics) {
        for (let partition = 0; partition < 8; partition++) {
          const expected = ['first', 'second'].flatMap((round) =>
            Array.from({ length: 5 }, (_, i) => `${round} ${topic}/${partition}/${i}`),
          );
          expect(await scene().readTexts(topic, 'read_committed', partition)).toEqual(expected);
        }
      }
    });

    it('takes records of one partition that only together are larger than max.message.bytes', async () => {
      const topic = await scene().topic(1, { 'max.message.bytes': '100000' });
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      const values = Array.from({ length: 5 }, (_, i) => `${i}`.repeat(90_000));
      for (const value of values) sink.stage(topic, 0, bytes(value));
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      const read = await scene().readTexts(topic);
      expect(read.map((value) => values.indexOf(value ?? ''))).toEqual([0, 1, 2, 3, 4]);
    });

    it('takes records of several MB', async () => {
      const topic = await scene().topic(2, { 'max.message.bytes': '8000000' });
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      const values = ['a', 'b', 'c'].map((letter) => letter.repeat(7_000_000));
      for (const [i, value] of values.entries()) sink.stage(topic, i % 2, bytes(value));
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      // Compared by hand: on a failure nobody wants to read a difference of megabytes.
      const read = [...(await scene().readTexts(topic)), ...(await scene().readTexts(topic, 'read_committed', 1))];
      expect(read.map((value) => values.indexOf(value ?? ''))).toEqual([0, 2, 1]);
    });

    it('carries null and empty values', async () => {
      const topic = await scene().topic();
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      sink.stage(topic, 0, null, [], bytes('tombstone'));
      sink.stage(topic, 0, new Uint8Array(0), [['weir-marker', new Uint8Array(0)]]);
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      expect(await scene().readAll(topic)).toEqual([
        { offset: 0n, value: null, key: 'tombstone', headers: [] },
        { offset: 1n, value: '', key: null, headers: [['weir-marker', '']] },
      ]);
    });

    it('reads staged views at commit, and not after', async () => {
      const topic = await scene().topic();
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      const memory = bytes('first');
      for (const value of ['alpha', 'gamma', 'delta']) {
        memory.set(bytes(value));
        sink.stage(topic, 0, memory);
        expect(await sink.commit([])).toEqual({ kind: 'committed' });
        memory.fill(0xdb);
      }
      expect(await scene().readTexts(topic)).toEqual(['alpha', 'gamma', 'delta']);
    });

    it('commits nothing when one record is too large, and says so', async () => {
      const [input, group, key] = [await scene().topic(), scene().name('group'), scene().name('key')];
      const topic = await scene().topicLimitedTo(10_000);
      const sink = await scene().openSink(key, group);
      sink.stage(topic, 0, bytes('small'));
      sink.stage(topic, 0, new Uint8Array(20_000));
      const outcome = await sink.commit([{ topic: input, partition: 0, offset: 0n }]);
      expect(outcome.kind).toBe('reopen');
      const successor = await scene().openSink(key, group);
      expect(await scene().readTexts(topic)).toEqual([]);
      expect((await scene().committed(group, input)).offset).toBeNull();
      successor.stage(topic, 0, bytes('next'));
      expect(await successor.commit([])).toEqual({ kind: 'committed' });
      expect(await scene().readTexts(topic)).toEqual(['next']);
    });

    it('throws once it is closed', async () => {
      const topic = await scene().topic();
      const sink = await scene().openSink(scene().name('key'), scene().name('group'));
      await sink.close();
      expect(() => sink.stage(topic, 0, bytes('x'))).toThrow();
      await expect(sink.commit([])).rejects.toThrow();
    });
  });

  describe('fencing', () => {
    it('a second sink of the same key fences the first, of which nothing becomes visible', async () => {
      const [input, output] = [await scene().topic(), await scene().topic()];
      const [group, key] = [scene().name('group'), scene().name('key')];
      await scene().putTexts(input, ['a', 'b']);
      const zombie = await scene().openSink(key, group, await scene().connect());
      zombie.stage(output, 0, bytes('from the zombie'));
      const owner = await scene().openSink(key, group);
      owner.stage(output, 0, bytes('from the owner'));
      expect(await owner.commit([{ topic: input, partition: 0, offset: 2n }])).toEqual({ kind: 'committed' });

      const outcome = await zombie.commit([{ topic: input, partition: 0, offset: 1n }]);
      expect(outcome.kind).toBe('fenced');
      expect(outcome.kind === 'fenced' && outcome.cause).toBeInstanceOf(Error);
      expect(await scene().readTexts(output)).toEqual(['from the owner']);
      await scene().untilCommitted(group, input, 2n);

      owner.stage(output, 0, bytes('and on'));
      expect(await owner.commit([])).toEqual({ kind: 'committed' });
      expect(await scene().readTexts(output)).toEqual(['from the owner', 'and on']);
    });

    it('fences a sink that had committed before, whatever it does next', async () => {
      const [topic, group, key] = [await scene().topic(), scene().name('group'), scene().name('key')];
      await scene().putTexts(topic, ['a', 'b']);
      const first = await scene().openSink(key, group, await scene().connect());
      expect(await first.commit([{ topic, partition: 0, offset: 1n }])).toEqual({ kind: 'committed' });
      await scene().openSink(key, group);
      expect((await first.commit([{ topic, partition: 0, offset: 2n }])).kind).toBe('fenced');
      expect((await scene().committed(group, topic)).offset).toBe(1n);
    });

    it('leaves sinks of other keys alone', async () => {
      const [topic, group] = [await scene().topic(), scene().name('group')];
      const one = await scene().openSink(scene().name('key'), group);
      const other = await scene().openSink(scene().name('key'), group);
      one.stage(topic, 0, bytes('one'));
      other.stage(topic, 0, bytes('other'));
      expect(await other.commit([])).toEqual({ kind: 'committed' });
      expect(await one.commit([])).toEqual({ kind: 'committed' });
      expect(await scene().readTexts(topic)).toEqual(['other', 'one']);
    });

    it('a sink that is fenced is dead', async () => {
      const [topic, key] = [await scene().topic(), scene().name('key')];
      const first = await scene().openSink(key, scene().name('group'), await scene().connect());
      await scene().openSink(key, scene().name('group'));
      first.stage(topic, 0, bytes('x'));
      expect((await first.commit([])).kind).toBe('fenced');
      expect(() => first.stage(topic, 0, bytes('x'))).toThrow();
      await expect(first.commit([])).rejects.toThrow();
    });
  });

  describe('a lost Produce reply', () => {
    it('ends in reopen, and the sink is dead', async () => {
      const topic = await scene().topic();
      const faulty = await scene().connectFaulty();
      const sink = await scene().openSink(scene().name('key'), scene().name('group'), faulty.port);
      sink.stage(topic, 0, bytes('lost'));
      faulty.loseNextProduceReply();
      const outcome = await sink.commit([]);
      expect(outcome.kind).toBe('reopen');
      expect(outcome.kind === 'reopen' && outcome.cause).toBeInstanceOf(Error);
      expect(() => sink.stage(topic, 0, bytes('again'))).toThrow();
      await expect(sink.commit([])).rejects.toThrow();
      expect(sink.stagedBytes).toBe(0);
    });

    it('leaves the committed offset as it was, and opening aborts what the predecessor had begun', async () => {
      const [input, output] = [await scene().topic(), await scene().topic()];
      const [group, key] = [scene().name('group'), scene().name('key')];
      await scene().putTexts(input, ['a', 'b', 'c']);
      const faulty = await scene().connectFaulty();
      const sink = await scene().openSink(key, group, faulty.port);
      expect((await sink.commit([{ topic: input, partition: 0, offset: 1n, metadata: 'm1' }])).kind).toBe('committed');
      sink.stage(output, 0, bytes('aborted'));
      faulty.loseNextProduceReply();
      expect((await sink.commit([{ topic: input, partition: 0, offset: 3n, metadata: 'm3' }])).kind).toBe('reopen');

      const successor = await scene().openSink(key, group, faulty.port);
      expect(await scene().committed(group, input)).toEqual({ partition: 0, offset: 1n, metadata: 'm1' });
      expect(await scene().readTexts(output)).toEqual([]);
      expect(await scene().readTexts(output, 'read_uncommitted')).toEqual(['aborted']);
      successor.stage(output, 0, bytes('redone'));
      expect((await successor.commit([{ topic: input, partition: 0, offset: 3n }])).kind).toBe('committed');
      expect(await scene().readTexts(output)).toEqual(['redone']);
    });

    /**
     * What the pipeline does: a poll, its records by reference into one transaction, and after any `reopen` a new sink, the committed
     * offset, the poll again. Released and settled memory is overwritten at once, so that whoever reads it later writes 0xDB.
     */
    async function copyOnce(input: string, output: string, loseAt: (attempt: number) => boolean): Promise<number> {
      const [group, key] = [scene().name('group'), scene().name('key')];
      const end = (await scene().port.admin.offsets(input))[0]!.latest;
      const faulty = await scene().connectFaulty();
      const port: KafkaPort = faulty.port;
      const reader = port.reader({ topic: input, partition: 0 }, { maxPollRecords: 10, poisonReleased: true });
      scene().atEnd(() => reader.close());

      let reopened = 0;
      const reopen = async (): Promise<TransactionalSink> => {
        const sink = await scene().openSink(key, group, port);
        const { offset } = await port.admin.committedOffset(group, { topic: input, partition: 0 });
        await reader.seek(offset ?? 'earliest');
        return sink;
      };
      let sink = await reopen();
      for (let attempt = 0; reader.position < end; attempt++) {
        const poll: Poll = await nextPoll(reader);
        const memory: Uint8Array[] = [];
        for (let i = 0; i < poll.count; i++) {
          const value = Uint8Array.from(poll.value(i)!);
          memory.push(value);
          sink.stage(output, i % 2, value, [['weir-source', bytes(`${poll.offset(i)}`)]]);
        }
        if (loseAt(attempt)) faulty.loseNextProduceReply();
        const outcome = await sink.commit([{ topic: input, partition: 0, offset: poll.nextOffset }]);
        for (const value of memory) value.fill(0xdb);
        poll.release();
        if (outcome.kind === 'committed') continue;
        expect(outcome.kind).toBe('reopen');
        reopened++;
        sink = await reopen();
      }
      return reopened;
    }

    it('and doing the poll again under a new sink gives each record exactly once, many times in a row', async () => {
      const [input, output] = [await scene().topic(), await scene().topic(2)];
      const values = Array.from({ length: 120 }, (_, i) => `record ${i} ${'.'.repeat(i)}`);
      await scene().putTexts(input, values);
      // Twice in a row for the same poll, then every other one.
      const reopened = await copyOnce(input, output, (attempt) => attempt < 2 || attempt % 2 === 1);
      expect(reopened).toBeGreaterThanOrEqual(6);

      const seen = new Map<number, string>();
      for (const partition of [0, 1]) {
        const records = await scene().readAll(output, 'read_committed', partition);
        const order = records.map((record) => Number(record.headers[0]![1]));
        expect(order).toEqual([...order].sort((a, b) => a - b));
        for (const [i, record] of records.entries()) {
          expect(seen.has(order[i]!), `record ${order[i]} came twice`).toBe(false);
          seen.set(order[i]!, record.value!);
        }
      }
      expect(values.map((_, i) => seen.get(i))).toEqual(values);
    });
  });

  describe('staged views', () => {
    it('of a poll go out as they are, without a copy by the caller', async () => {
      const [input, output, group] = [await scene().topic(), await scene().topic(), scene().name('group')];
      await scene().putTexts(input, ['a', 'bb', 'ccc']);
      const reader = scene().reader(input, { poisonReleased: true });
      await reader.seek('earliest');
      const sink = await scene().openSink(scene().name('key'), group);
      while (reader.position < 3n) {
        const poll = await nextPoll(reader);
        for (let i = 0; i < poll.count; i++) sink.stage(output, 0, poll.value(i), poll.headers(i), poll.key(i));
        const committed = await sink.commit([{ topic: input, partition: 0, offset: poll.nextOffset }]);
        expect(committed.kind).toBe('committed');
        poll.release();
      }
      expect((await scene().readAll(output)).map((record) => text(bytes(record.value!)))).toEqual(['a', 'bb', 'ccc']);
      await scene().untilCommitted(group, input, 3n);
    });
  });
}
