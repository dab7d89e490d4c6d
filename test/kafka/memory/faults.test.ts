import { beforeEach, describe, expect, it } from 'vitest';
import {
  createFaults,
  createMemoryKafka,
  type MemoryKafka,
  type RequestName,
} from '../../../src/kafka/memory/index.ts';
import { SimulatedClock } from './simulated-clock.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('a client whose requests get lost', () => {
  let clock: SimulatedClock;
  let kafka: MemoryKafka;

  beforeEach(async () => {
    clock = new SimulatedClock();
    kafka = createMemoryKafka(clock);
    await kafka.connect().admin.createTopics([{ name: 't', partitions: 1, config: {} }]);
  });

  async function committedTexts(): Promise<(string | null)[]> {
    const reader = kafka.connect().reader({ topic: 't', partition: 0 });
    await reader.seek('earliest');
    const polled = reader.poll(0);
    await clock.settle();
    const outcome = await polled;
    if (outcome.kind !== 'poll') return [];
    const { poll } = outcome;
    return Array.from({ length: poll.count }, (_, i) => Buffer.from(poll.value(i)!).toString());
  }

  const open = (port = kafka.connect()) =>
    port.openSink({ fencingKey: 'key', groupId: 'g', transactionTimeoutMs: 10_000 });

  const requests: RequestName[] = ['AddPartitionsToTxn', 'Produce', 'AddOffsetsToTxn', 'TxnOffsetCommit', 'EndTxn'];
  for (const name of requests) {
    for (const fate of ['lose-request', 'lose-reply'] as const) {
      it(`reopens after ${fate} of ${name}, and the committed offset then tells whether all of it is there or nothing`, async () => {
        const faults = createFaults();
        const port = kafka.connect(faults.intercept);
        const sink = await open(port);
        sink.stage('t', 0, bytes('once'));
        faults.next((request) => request.name === name, fate);
        const offsets = [{ topic: 't', partition: 0, offset: 1n }];
        expect((await sink.commit(offsets)).kind).toBe('reopen');

        const successor = await open(port);
        const { offset } = (await port.admin.committedOffsets('g', 't'))[0]!;
        const done = name === 'EndTxn' && fate === 'lose-reply';
        expect(offset).toBe(done ? 1n : null);
        expect(await committedTexts()).toEqual(done ? ['once'] : []);
        if (!done) {
          successor.stage('t', 0, bytes('once'));
          expect((await successor.commit(offsets)).kind).toBe('committed');
        }
        expect(await committedTexts()).toEqual(['once']);
      });
    }
  }

  it('shows an owner no offset that an open transaction may still change', async () => {
    const faults = createFaults();
    const sink = await open(kafka.connect(faults.intercept));
    const resume = faults.stall(({ name }) => name === 'EndTxn');
    const committing = sink.commit([{ topic: 't', partition: 0, offset: 1n }]);
    await clock.settle();
    const { admin } = kafka.connect();
    let shown: unknown;
    const asked = admin.committedOffset('g', { topic: 't', partition: 0 }).then((offset) => {
      shown = offset;
    });
    await clock.settle();
    expect(shown).toBeUndefined();
    expect((await admin.committedOffsets('g', 't'))[0]!.offset).toBeNull();
    resume();
    expect((await committing).kind).toBe('committed');
    await clock.advance(20);
    await asked;
    expect(shown).toEqual({ partition: 0, offset: 1n, metadata: '' });
  });

  it('is fenced when it was paused in the middle of its transaction, and woke up late', async () => {
    for (const name of requests) {
      const faults = createFaults();
      const zombie = await open(kafka.connect(faults.intercept));
      const resume = faults.stall((request) => request.name === name);
      zombie.stage('t', 0, bytes('zombie'));
      const committing = zombie.commit([{ topic: 't', partition: 0, offset: 1n }]);
      await clock.settle();
      const owner = await open();
      owner.stage('t', 0, bytes(`owner ${name}`));
      expect((await owner.commit([])).kind).toBe('committed');
      resume();
      expect((await committing).kind).toBe('fenced');
    }
    expect(await committedTexts()).toEqual(requests.map((name) => `owner ${name}`));
  });

  it('throws at a use that would break the contract: staging or committing during a commit', async () => {
    const faults = createFaults();
    const sink = await open(kafka.connect(faults.intercept));
    const resume = faults.stall(({ name }) => name === 'EndTxn');
    sink.stage('t', 0, bytes('a'));
    const committing = sink.commit([]);
    await clock.settle();
    expect(() => sink.stage('t', 0, bytes('b'))).toThrow(/during a commit/);
    await expect(sink.commit([])).rejects.toThrow(/during a commit/);
    resume();
    expect((await committing).kind).toBe('committed');
  });

  it('opens a sink late rather than not, up to the transaction timeout', async () => {
    const faults = createFaults();
    for (let i = 0; i < 3; i++) faults.next(({ name }) => name === 'InitProducerId', 'lose-reply');
    const opened = open(kafka.connect(faults.intercept));
    await clock.advance(1_000);
    expect(await (await opened).commit([])).toEqual({ kind: 'committed' });

    for (let i = 0; i < 1_000; i++) faults.next(({ name }) => name === 'InitProducerId', 'lose-request');
    const failing = open(kafka.connect(faults.intercept));
    failing.catch(() => 'looked at below');
    await clock.advance(10_100);
    await expect(failing).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' });
  });

  it('reads on through lost fetches', async () => {
    const faults = createFaults();
    for (let i = 0; i < 3; i++) faults.next(({ name }) => name === 'Fetch', i % 2 ? 'lose-reply' : 'lose-request');
    faults.next(({ name }) => name === 'ListOffsets', 'lose-reply');
    const producer = await kafka.connect().producer();
    await producer.send([{ topic: 't', partition: 0, value: bytes('x') }]);
    const reader = kafka.connect(faults.intercept).reader({ topic: 't', partition: 0 });
    const sought = reader.seek('earliest');
    await clock.advance(100);
    await sought;
    const polled = reader.poll(5_000);
    await clock.advance(1_000);
    const outcome = await polled;
    expect(outcome.kind === 'poll' && Buffer.from(outcome.poll.value(0)!).toString()).toBe('x');
  });

  it('does not know of a batch without any answer, and begins afresh after it', async () => {
    const faults = createFaults();
    const producer = await kafka.connect(faults.intercept).producer({ deliveryTimeoutMs: 500 });
    const send = (value: string) => producer.send([{ topic: 't', partition: 0, value: bytes(value) }]);
    expect(await send('first')).toEqual([{ kind: 'stored' }]);
    for (let i = 0; i < 100; i++) faults.next(({ name }) => name === 'Produce', 'lose-reply');
    const unknown = send('unknown');
    await clock.advance(600);
    expect((await unknown).map((outcome) => outcome.kind)).toEqual(['unknown']);

    const next = send('next');
    await clock.advance(600);
    expect((await next).map((outcome) => outcome.kind)).toEqual(['unknown']);
    expect(await committedTexts()).toEqual(['first', 'unknown', 'next']);
  });

  it('does not wait for a request that is held up when it is closed', async () => {
    const faults = createFaults();
    const port = kafka.connect(faults.intercept);
    faults.stall();
    const listing = port.admin.listTopics();
    listing.catch(() => 'looked at below');
    await clock.settle();
    await port.close();
    await expect(listing).rejects.toThrow(/closed/);
    expect(clock.pendingTimers).toBe(0);
  });

  it('lets timers run while there is always something to read', async () => {
    const busy = createMemoryKafka().connect();
    await busy.admin.createTopics([{ name: 't', partitions: 1, config: {} }]);
    const producer = await busy.producer();
    await producer.send(Array.from({ length: 10 }, () => ({ topic: 't', partition: 0, value: bytes('x') })));
    const reader = busy.reader({ topic: 't', partition: 0 });
    let timerRan = false;
    const timer = setTimeout(() => {
      timerRan = true;
    }, 1);
    const deadline = performance.now() + 60_000;
    while (!timerRan && performance.now() < deadline) {
      await reader.seek(0n);
      await reader.poll(0);
    }
    clearTimeout(timer);
    expect(timerRan).toBe(true);
  });

  it('says which topic is missing, and what to do', async () => {
    const port = kafka.connect();
    await expect(port.reader({ topic: 'none', partition: 0 }).seek('earliest')).rejects.toMatchObject({
      code: 'TOPIC_MISSING',
    });
    await expect(port.admin.offsets('none')).rejects.toMatchObject({ code: 'TOPIC_MISSING' });
  });
});
