import { describe, expect, it, vi } from 'vitest';
import { type Batcher, createBatcher, type Submission } from '../../src/bridge/batcher.ts';
import { ByteBudget } from '../../src/bridge/byte-budget.ts';
import { HeldProducer } from './rig.ts';

const TOPICS = {
  traces: { topic: 'otlp_spans', partitions: 3, maxMessageBytes: 100_000 },
  metrics: { topic: 'otlp_metrics', partitions: 3, maxMessageBytes: 100_000 },
  logs: { topic: 'otlp_logs', partitions: 3, maxMessageBytes: 100_000 },
};

interface SetUp extends Partial<Parameters<typeof createBatcher>[0]> {
  readonly queueBytes?: number;
}

function setUp({ queueBytes = 1_000_000, ...over }: SetUp = {}) {
  const producer = new HeldProducer();
  const bugs: Error[] = [];
  const backlog: Array<[backlogBytes: number, takenBytes: number]> = [];
  const budget = new ByteBudget(queueBytes);
  const batcher = createBatcher({
    producer,
    topics: TOPICS,
    lingerMs: 1,
    batchBytes: 1_000,
    budget,
    onBacklog: (...change) => backlog.push(change),
    onBug: (cause) => bugs.push(cause),
    ...over,
  });
  return { producer, batcher, bugs, budget, backlog };
}

const submission = (over: Partial<Submission> & { text?: string } = {}): Submission => ({
  signal: 'traces',
  pieces: [Buffer.from(over.text ?? 'x')],
  headers: [],
  orderHash: 0,
  ...over,
});

const textsOf = (call: HeldProducer['calls'][number] | undefined) =>
  call!.records.map(({ value }) => Buffer.from(value!).toString());
const partitionsOf = (call: HeldProducer['calls'][number] | undefined) =>
  call!.records.map(({ topic, partition }) => `${topic}/${partition}`);
/** Whether a promise is settled by now. */
const pending = async (promise: Promise<unknown>) =>
  (await Promise.race([promise.then(() => 'settled'), new Promise((r) => setImmediate(r, 'pending'))])) === 'pending';
const submitAll = (batcher: Batcher, texts: string[], over: Partial<Submission> = {}) =>
  texts.map((text) => batcher.submit(submission({ ...over, text })));

describe('sharing calls', () => {
  it('requests within the linger go in one call, all signals together', async () => {
    const { producer, batcher } = setUp();
    const outcomes = [
      ...submitAll(batcher, ['a', 'b']),
      ...submitAll(batcher, ['m'], { signal: 'metrics', orderHash: 4 }),
      ...submitAll(batcher, ['l'], { signal: 'logs', orderHash: 2 }),
    ];
    await producer.called(1);
    expect(producer.calls).toHaveLength(1);
    expect(textsOf(producer.calls[0])).toEqual(['a', 'b', 'm', 'l']);
    const [first, second, ...others] = partitionsOf(producer.calls[0]);
    expect(first).toBe(second);
    expect(others).toEqual(['otlp_metrics/1', 'otlp_logs/2']);
    producer.calls[0]!.answer();
    expect(await Promise.all(outcomes)).toEqual(outcomes.map(() => ({ kind: 'stored' })));
  });

  it('a request goes at once where Kafka has had nothing to do, and waits for others after a call', async () => {
    const { producer, batcher } = setUp({ lingerMs: 3_600_000 });
    const first = batcher.submit(submission({ text: 'alone' }));
    await producer.called(1);
    const second = batcher.submit(submission({ text: 'while a call is on its way' }));
    producer.calls[0]!.answer();
    expect(await first).toEqual({ kind: 'stored' });
    const third = batcher.submit(submission({ text: 'after it' }));
    expect(await pending(Promise.race([second, third]))).toBe(true);
    expect(producer.calls).toHaveLength(1);
    const closed = batcher.close(1_000);
    producer.calls[1]!.answer();
    expect(textsOf(producer.calls[1])).toEqual(['while a call is on its way', 'after it']);
    await closed;
  });

  it('a full batch goes without waiting for the linger', async () => {
    const { producer, batcher } = setUp({ lingerMs: 3_600_000 });
    const outcome = batcher.submit(submission({ pieces: [Buffer.alloc(600)] }));
    expect(producer.calls).toHaveLength(0);
    const last = batcher.submit(submission({ pieces: [Buffer.alloc(600)] }));
    await producer.called(1);
    // Two of them would exceed the batch: the first goes alone, the second waits for the lane.
    expect(producer.calls[0]!.records).toHaveLength(1);
    producer.calls[0]!.answer();
    expect(await outcome).toEqual({ kind: 'stored' });
    expect(await pending(last)).toBe(true);
    const closed = batcher.close(1_000);
    await producer.called(2);
    producer.calls[1]!.answer();
    expect(await last).toEqual({ kind: 'stored' });
    await closed;
  });

  it("a batch never exceeds its topic's max.message.bytes, though batchBytes would", async () => {
    const logs = { ...TOPICS.logs, maxMessageBytes: 2_000 };
    const { producer, batcher } = setUp({ batchBytes: 1_000_000, topics: { ...TOPICS, logs } });
    const outcomes = Array.from({ length: 5 }, () =>
      batcher.submit(submission({ signal: 'logs', pieces: [Buffer.alloc(700)] })),
    );
    for (let call = 0; call < 3; call++) {
      await producer.called(call + 1);
      const bytes = producer.calls[call]!.records.reduce((sum, { value }) => sum + value!.length, 0);
      expect(bytes).toBeLessThan(2_000);
      producer.calls[call]!.answer();
    }
    expect(await Promise.all(outcomes)).toHaveLength(5);
  });
});

describe('choosing partitions', () => {
  it('traces go to another partition with each batch', async () => {
    const { producer, batcher } = setUp();
    const used: string[] = [];
    for (let round = 0; round < 3; round++) {
      const outcome = batcher.submit(submission());
      await producer.called(round + 1);
      used.push(...partitionsOf(producer.calls[round]));
      producer.calls[round]!.answer();
      await outcome;
    }
    expect(new Set(used).size).toBe(3);
  });

  it('traces avoid a partition whose batch is on its way', async () => {
    const { producer, batcher } = setUp();
    const outcomes: Array<Promise<unknown>> = [];
    for (let round = 0; round < 3; round++) {
      outcomes.push(batcher.submit(submission()));
      await producer.called(round + 1);
    }
    expect(new Set(producer.calls.flatMap((call) => partitionsOf(call))).size).toBe(3);
    for (const call of producer.calls) call.answer();
    await Promise.all(outcomes);
  });

  it('one hash keeps its partition and its order, one batch at a time', async () => {
    const { producer, batcher } = setUp();
    const first = submitAll(batcher, ['1', '2'], { signal: 'metrics', orderHash: 7 });
    await producer.called(1);
    const second = submitAll(batcher, ['3', '4'], { signal: 'metrics', orderHash: 7 });
    const other = submitAll(batcher, ['x'], { signal: 'metrics', orderHash: 8 });
    await producer.called(2);
    expect(textsOf(producer.calls[0])).toEqual(['1', '2']);
    expect(textsOf(producer.calls[1])).toEqual(['x']); // 3 and 4 wait for 1 and 2
    producer.calls[0]!.answer();
    await producer.called(3);
    expect(textsOf(producer.calls[2])).toEqual(['3', '4']);
    expect(partitionsOf(producer.calls[2])).toEqual(['otlp_metrics/1', 'otlp_metrics/1']);
    for (const call of producer.calls) call.answer();
    await Promise.all([...first, ...second, ...other]);
  });

  it('after a slow call a partition that hangs holds up no other', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const { producer, batcher } = setUp();
      const submit = (text: string, orderHash: number) =>
        batcher.submit(submission({ signal: 'logs', text, orderHash }));
      const slow = submit('slow', 0);
      await vi.advanceTimersByTimeAsync(1);
      expect(producer.calls).toHaveLength(1);
      await vi.advanceTimersByTimeAsync(2_000);
      const hanging = submit('hanging', 0);
      const others = [submit('a', 1), submit('b', 2)];
      await vi.advanceTimersByTimeAsync(1);
      expect(producer.calls.slice(1).map(textsOf)).toEqual([['a'], ['b']]);
      producer.calls[0]!.answer();
      await slow;
      producer.calls[1]!.answer();
      producer.calls[2]!.answer();
      await Promise.all(others);
      // Still apart for a while, so that the partition of "hanging" cannot take the others with it.
      const more = [submit('c', 1), submit('d', 2)];
      await vi.advanceTimersByTimeAsync(1);
      expect(producer.calls.slice(3).map(textsOf)).toEqual([['hanging'], ['c'], ['d']]);
      for (const call of producer.calls) call.answer();
      await Promise.all([hanging, ...more]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('outcomes', () => {
  it('come only once the producer has answered', async () => {
    const { producer, batcher } = setUp();
    const outcome = batcher.submit(submission());
    await producer.called(1);
    expect(await pending(outcome)).toBe(true);
    producer.calls[0]!.answer();
    expect(await outcome).toEqual({ kind: 'stored' });
  });

  it('of pieces: unknown stands for all, then refused, with those that were, then stored', async () => {
    const cause = new Error('no');
    const stored = { kind: 'stored' } as const;
    const unknown = { kind: 'unknown', cause } as const;
    const refused = { kind: 'refused', tooLarge: false, cause } as const;
    for (const [pieceOutcomes, expected] of [
      [[stored, unknown, stored], unknown],
      [[unknown, refused, stored], unknown],
      [[refused, stored, refused], refused],
    ] as const) {
      const { producer, batcher } = setUp({ batchBytes: 10 });
      const pieces = [Buffer.alloc(99), Buffer.alloc(99), Buffer.alloc(99)];
      const outcome = batcher.submit(submission({ pieces }));
      for (const [index, pieceOutcome] of pieceOutcomes.entries()) {
        await producer.called(index + 1);
        expect(await pending(outcome)).toBe(true);
        producer.calls[index]!.answer(pieceOutcome);
      }
      expect(await outcome).toEqual(expected === refused ? { ...refused, pieces: [pieces[0], pieces[2]] } : expected);
      expect(batcher.queuedBytes).toBe(0);
    }
  });

  it('are unknown when the producer throws, and the bug is reported', async () => {
    const { producer, batcher, bugs } = setUp();
    const outcome = batcher.submit(submission());
    await producer.called(1);
    const cause = new Error('closed');
    producer.calls[0]!.reject(cause);
    expect(await outcome).toEqual({ kind: 'unknown', cause });
    expect(bugs).toEqual([cause]);
  });

  it('a submission that nobody waits for any more is dropped before it is sent, not after', async () => {
    const { producer, batcher } = setUp();
    let gone = false;
    const sent = batcher.submit(submission({ signal: 'logs', text: 'sent', abandoned: () => gone }));
    await producer.called(1);
    const waiting = batcher.submit(submission({ signal: 'logs', text: 'waiting', abandoned: () => gone }));
    const other = batcher.submit(submission({ signal: 'logs', text: 'other' }));
    gone = true;
    producer.calls[0]!.answer();
    expect(await sent).toEqual({ kind: 'stored' });
    await producer.called(2);
    expect(await waiting).toEqual({ kind: 'abandoned' });
    expect(textsOf(producer.calls[1])).toEqual(['other']);
    producer.calls[1]!.answer();
    await other;
    expect(batcher.queuedBytes).toBe(0);
  });
});

describe('the queue', () => {
  it('refuses beyond its limit until Kafka has acknowledged, and counts what is on its way', async () => {
    const { producer, batcher, budget, backlog } = setUp({ queueBytes: 500, batchBytes: 100 });
    const first = batcher.submit(submission({ pieces: [Buffer.alloc(300)] }));
    await producer.called(1);
    expect(batcher.queuedBytes).toBeGreaterThanOrEqual(300);
    expect(budget.heldBytes).toBe(batcher.queuedBytes);
    expect(await batcher.submit(submission({ pieces: [Buffer.alloc(300)] }))).toEqual({ kind: 'full' });
    producer.calls[0]!.answer();
    await first;
    const bytes = backlog[0]![0];
    expect(backlog).toEqual([
      [bytes, 0],
      [0, bytes],
    ]);
    expect(budget.heldBytes).toBe(0);
    const second = batcher.submit(submission({ pieces: [Buffer.alloc(300)] }));
    await producer.called(2);
    producer.calls[1]!.answer();
    expect(await second).toEqual({ kind: 'stored' });
  });

  it('takes a request above its limit when nothing else is there', async () => {
    const { producer, batcher } = setUp({ queueBytes: 500 });
    const outcome = batcher.submit(submission({ pieces: [Buffer.alloc(900)] }));
    await producer.called(1);
    producer.calls[0]!.answer();
    expect(await outcome).toEqual({ kind: 'stored' });
  });
});

describe('close', () => {
  it('sends what waits at once, resolves when it is acknowledged, and takes nothing new', async () => {
    const { producer, batcher } = setUp({ lingerMs: 3_600_000 });
    const outcome = batcher.submit(submission());
    const closed = batcher.close(60_000);
    await producer.called(1);
    expect(await batcher.submit(submission())).toEqual({ kind: 'closing' });
    expect(await pending(closed)).toBe(true);
    producer.calls[0]!.answer();
    await closed;
    expect(await outcome).toEqual({ kind: 'stored' });
  });

  it('gives up after its time: what is not acknowledged is unknown', async () => {
    const { producer, batcher } = setUp();
    const sent = batcher.submit(submission({ signal: 'logs' }));
    await producer.called(1);
    const waiting = batcher.submit(submission({ signal: 'logs' }));
    await batcher.close(5);
    for (const outcome of [await sent, await waiting]) {
      expect(outcome).toMatchObject({ kind: 'unknown', cause: { message: expect.stringContaining('closed 5 ms') } });
    }
    producer.calls[0]!.answer(); // too late, and without effect
    expect(producer.calls).toHaveLength(1);
  });
});
