import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UNTOUCHED } from '../../src/coordination/ring-epoch.ts';
import { createFaults, createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { Poll, PollOutcome } from '../../src/kafka/port.ts';
import { loadKernels } from '../../src/kernels/index.ts';
import type { Routing, SplitKernel } from '../../src/kernels/split/kernel.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { namesFor } from '../../src/names.ts';
import { type PollsAhead, pollsAhead } from '../../src/pipeline/polls-ahead.ts';
import type { PollRing } from '../../src/pipeline/ring-source.ts';
import { eventually } from '../support/eventually.ts';
import { openPipelineRig, type PipelineRig } from '../support/pipeline-rig.ts';
import { takeCensus } from '../support/shard-census.ts';

const SHARDS = 4;
const kernels = await loadKernels();

/** Everything to one shard. */
function ringOf(epoch: number, shard: number): PollRing {
  const routing: Routing = {
    selector: { kind: 'trace_id' },
    slotBits: 16,
    slots: new Uint16Array(65_536).fill(shard),
    shardCount: SHARDS,
    overrides: new Map(),
  };
  return { epoch, routing: { traces: routing, metrics: routing, logs: routing }, touched: UNTOUCHED };
}

describe('polls that are split ahead', () => {
  const corpus = createCorpus({ seed: 11, signal: 'traces', itemsPerRequest: 5 });
  let held: { polls: number; results: number };
  let splits: number;
  let hasRoom: boolean;
  let rings: { newest: PollRing; activeEpoch: number; reach(): Promise<void> };
  let outcomes: PollOutcome[];
  let polls: PollsAhead;

  const pollOf = (values: readonly Uint8Array[], offset: bigint): PollOutcome => {
    held.polls++;
    const poll: Poll = {
      topic: 'otlp_spans',
      partition: 0,
      count: values.length,
      bytes: 0,
      nextOffset: offset + BigInt(values.length),
      offset: (i) => offset + BigInt(i),
      timestampMs: () => 0,
      value: (i) => values[i]!,
      key: () => null,
      headers: () => [],
      release: () => held.polls--,
    };
    return { kind: 'poll', poll };
  };

  beforeEach(() => {
    held = { polls: 0, results: 0 };
    splits = 0;
    outcomes = [];
    rings = { newest: ringOf(1, 1), activeEpoch: 1, reach: async () => {} };
    hasRoom = true;
    const kernel: SplitKernel = {
      ...kernels.split,
      get hasRoom() {
        return hasRoom;
      },
      async split(...call) {
        const result = await kernels.split.split(...call);
        splits++;
        held.results++;
        return {
          ...result,
          release() {
            held.results--;
            result.release();
          },
        };
      },
    };
    const reader = { poll: async () => outcomes.shift() ?? { kind: 'idle' as const } };
    polls = pollsAhead(reader, kernel, rings, {
      signal: 'traces',
      names: namesFor(''),
      keepHeaders: [],
      maxPollBytes: 8_000_000,
      maxOutputRatio: 4,
      maxShardMessageBytes: 1_048_576,
      maxDeadLetterMessageBytes: 1_048_576,
    });
  });

  it('are one poll, begun before it is asked for', async () => {
    outcomes.push(pollOf(corpus.requests(3), 0n), pollOf(corpus.requests(3), 3n));
    polls.begin();
    await eventually(() => expect(splits).toBe(1));
    const next = await polls.next();
    expect(splits).toBe(1);
    expect(outcomes).toHaveLength(1);
    if (next.kind !== 'poll') throw new Error(next.kind);
    expect([next.poll.offset(0), next.first.from, next.first.to]).toEqual([0n, 0, 3]);
    expect((await polls.next()).kind).toBe('poll');
    expect((await polls.next()).kind).toBe('idle');
  });

  it('are split again when a newer ring epoch is known by the time they are asked for', async () => {
    outcomes.push(pollOf(corpus.requests(3), 0n));
    polls.begin();
    await eventually(() => expect(splits).toBe(1));
    rings.newest = ringOf(2, 3);
    const next = await polls.next();
    if (next.kind !== 'poll') throw new Error(next.kind);
    expect(next.first.ring.epoch).toBe(2);
    expect(next.first.result.outputs.map(({ shard }) => shard)).toEqual([3]);
    expect(held).toEqual({ polls: 1, results: 1 });
  });

  it('are given back when nobody asks for them', async () => {
    outcomes.push(pollOf(corpus.requests(3), 0n));
    polls.begin();
    await polls.close();
    expect(splits).toBe(1);
    expect(held).toEqual({ polls: 0, results: 0 });
  });

  it('are not begun where the outputs of others fill the memory', async () => {
    outcomes.push(pollOf(corpus.requests(3), 0n));
    hasRoom = false;
    polls.begin();
    expect(outcomes).toHaveLength(1);
    expect((await polls.next()).kind).toBe('poll');
  });

  it('pass over what holds no records', async () => {
    outcomes.push(pollOf([], 0n), pollOf(corpus.requests(1), 2n));
    const next = await polls.next();
    expect(next.kind === 'poll' && next.poll.offset(0)).toBe(2n);
    expect(held.polls).toBe(1);
  });

  it('fail where they are asked for', async () => {
    const failing = pollsAhead(
      { poll: () => Promise.reject(new Error('denied')) },
      kernels.split,
      rings,
      {} as Parameters<typeof pollsAhead>[3],
    );
    failing.begin();
    await expect(failing.next()).rejects.toThrow('denied');
    failing.begin();
    await failing.close();
  });
});

describe('the next poll of a partition', () => {
  let rig: PipelineRig;
  const kafka = createMemoryKafka();
  const faults = createFaults();
  beforeEach(async () => {
    rig = await openPipelineRig(kafka.connect(), { poll: { maxRecords: 4 } });
  });
  afterEach(() => rig.close());

  it('is split while the transaction of the one before is under way, and written only once that is committed', async () => {
    const split = vi.spyOn(rig.kernels.split, 'split');
    const goOn = faults.stall(({ name }) => name === 'EndTxn');
    await rig.send('traces', createCorpus({ seed: 12, signal: 'traces', itemsPerRequest: 10 }).requests(12));
    await rig.startProcessor({ port: kafka.connect(faults.intercept) });
    await eventually(() => expect(split).toHaveBeenCalledTimes(2));
    const count = () => takeCensus(rig.port, rig.names, 'traces', 16, 'read_uncommitted');
    expect((await count()).items).toBe(40);
    goOn();
    await rig.drained();
    expect(split).toHaveBeenCalledTimes(3);
    const { items, spans } = await takeCensus(rig.port, rig.names, 'traces', 16);
    expect([items, spans.size]).toEqual([120, 120]);
  });

  it('is read and split again when that transaction ends otherwise', async () => {
    const split = vi.spyOn(rig.kernels.split, 'split');
    const goOn = faults.stall(({ name }) => name === 'Produce');
    await rig.send('traces', createCorpus({ seed: 13, signal: 'traces', itemsPerRequest: 10 }).requests(12));
    await rig.startProcessor({ port: kafka.connect(faults.intercept) });
    await eventually(() => expect(split).toHaveBeenCalledTimes(2));
    faults.next(({ name }) => name === 'Produce', 'lose-reply');
    goOn();
    await rig.drained();
    // The first and the second twice.
    expect(split).toHaveBeenCalledTimes(5);
    const { items, spans } = await takeCensus(rig.port, rig.names, 'traces', 16);
    expect([items, spans.size]).toEqual([120, 120]);
  });
});
