/** Changes of the ring from the request to the last partition, with controllers and processors at work, on any Kafka. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { aborted } from '../../src/abortable.ts';
import type { ConfigInput } from '../../src/config.ts';
import { decodeDecision } from '../../src/control/decision.ts';
import { acquireLock } from '../../src/coordination/locks.ts';
import { askLeader, encodeRequest, type Request } from '../../src/coordination/requests.ts';
import { readRingAcks } from '../../src/coordination/ring-acks.ts';
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';
import type { Wish } from '../../src/coordination/wishes.ts';
import type { KafkaPort, OffsetToCommit } from '../../src/kafka/port.ts';
import { encodeLoadReport } from '../../src/load/codec.ts';
import type { KeyLoad } from '../../src/load/load-report.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { pastMovesOf } from '../../src/runtime/decide-state.ts';
import type { Tick } from '../../src/runtime/leader-duty.ts';
import { SIGNALS } from '../../src/signals.ts';
import { produce, readAll } from '../coordination/cluster.ts';
import { report, shardLoad } from '../load/reports.ts';
import { eventually } from '../support/eventually.ts';
import { everyRing } from '../support/every-ring.ts';
import { gatePort } from '../support/gated-port.ts';
import { slotOf } from '../support/item-routes.ts';
import { decodeItems } from '../support/otlp-schema.ts';
import { openPipelineRig, type PipelineRig } from '../support/pipeline-rig.ts';
import { endsOf, takeRingCensus } from '../support/ring-census.ts';
import { endOf, recordsOf } from '../support/shard-census.ts';

const SPANS_PER_REQUEST = 20;
/** Of load a second that only a test reports: below it nothing is rebalanced. */
const GB = 1e9;
/** What a report of such load covers. */
const REPORT_MS = 50;
const AHEAD_MS = 3_600_000;
/** Longer than any test takes, by either clock: what a change moves has its copies, and no request lapses. */
const LONG_MS = 2 * AHEAD_MS;

export function ringChangeSuite(name: string, connect: () => Promise<KafkaPort>): void {
  describe(`changes of the ring on ${name}`, () => {
    let rig: PipelineRig;
    /** Every ring epoch that there was, in force or proposed. */
    let rings: ReadonlyMap<number, RingEpoch>;
    /**
     * What a leader of `startLeader` goes by: it stands still until a test moves it, so that nothing comes too late, however slow the machine. It is
     * ahead of the system's: what processors report is from before its window, and so what the test reports is all the load.
     */
    let clock: { nowMs: number };
    let tick: Tick | null;
    /** Whether it has decided anything. It tells before the log does, so that no more is reported then. */
    let decided: boolean;

    async function open(carryMs: number, over: ConfigInput['control'] = {}): Promise<void> {
      rig = await openPipelineRig(await connect(), {
        poll: { maxRecords: 4 },
        routing: { vnodes: 8, traces: { shards: 3 }, metrics: { shards: 1 }, logs: { shards: 1 } },
        control: {
          tickMs: 20,
          ring: { carryMs },
          windowMs: 500,
          scaling: { stabilisationMs: 0 },
          rebalance: { minBytesPerSecond: GB },
          ...over,
        },
      });
      clock = { nowMs: Date.now() + AHEAD_MS };
      tick = null;
      decided = false;
      rings = everyRing(rig.control);
    }
    beforeEach(() => open(0));
    afterEach(() => rig?.close());

    const startLeader = () =>
      rig.startController({
        now: () => clock.nowMs,
        onTick: (done) => {
          tick = done;
          decided ||= done.verdicts.some(({ verdict }) => verdict === 'decided');
        },
      });
    const ask = (wish: Wish) =>
      askLeader(rig.port, rig.names, rig.control, wish, { member: 'test', timeoutMs: LONG_MS });
    const active = (epoch: number) => rig.control.waitFor(({ ring }) => ring!.epoch === epoch);
    const traces = (epoch: number) => rings.get(epoch)!.signals.traces;
    const slotsOf = (epoch: number, shard: number) =>
      [...traces(epoch).slots.keys()].filter((slot) => traces(epoch).slots[slot] === shard);

    it('brings every span through create, split, move, merge and retire once, each under its epoch in the right shard', async () => {
      await rig.startController();
      for (let i = 0; i < 2; i++) await rig.startProcessor();
      const corpus = createCorpus({ seed: 1, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      const wishes: Wish[] = [
        { kind: 'create', signal: 'traces', name: 'fourth', capacity: 1 },
        { kind: 'split', shard: 'traces-0000' },
        { kind: 'move', from: 'traces-0001', to: 'fourth', slots: 1_000 },
        { kind: 'merge', shard: 'traces-0001', into: 'traces-0002' },
        { kind: 'retire', shard: 'traces-0002' },
      ];
      const ends = new Map<number, Map<string, bigint>>();
      let requests = 0;
      const feed = async (count: number) => {
        for (const partition of [0, 1]) await rig.send('traces', corpus.requests(count / 2), { partition });
        requests += count;
      };
      for (const wish of wishes) {
        await feed(60);
        const { ringEpoch } = await ask(wish);
        await feed(60);
        await active(ringEpoch!);
        ends.set(ringEpoch!, await endsOf(rig.port, rings));
        await feed(20);
      }
      await rig.drained();

      expect([...rings.keys()]).toEqual([1, 2, 3, 4, 5, 6]);
      expect(traces(6).shards.map((shard) => [shard.id, shard.name, shard.topic.split('_').at(-1)])).toEqual([
        [0, 'traces-0000', '0000'],
        [3, 'fourth', '0003'],
        [4, 'traces-0004', '0004'],
      ]);
      const census = await takeRingCensus(rig.port, rings, ends);
      const spans = requests * SPANS_PER_REQUEST;
      expect({
        ...census,
        spans: census.spans.size,
        holdings: undefined,
        markers: [...census.markers].map(([at, { size }]) => [at, size]).sort(),
      }).toEqual({
        spans,
        items: spans,
        misrouted: 0,
        torn: 0,
        backwards: 0,
        late: 0,
        copies: new Map(),
        badCopies: 0,
        markers: [2, 3, 4, 5, 6].map((epoch) => [epoch, 2]),
      });
    });

    it('moves the slots that it says, and no others', async () => {
      await rig.startController();
      await rig.startProcessor();
      const moved = (from: number, to: number) =>
        [...traces(from).slots.keys()].filter((slot) => traces(from).slots[slot] !== traces(to).slots[slot]);
      await active((await ask({ kind: 'create', signal: 'traces', name: 'new', capacity: 0.5 })).ringEpoch!);
      expect(new Set(moved(1, 2).map((slot) => traces(2).slots[slot]))).toEqual(new Set([3]));
      expect(slotsOf(2, 3).length / 65_536).toBeCloseTo(0.5 / 3.5, 1);
      await active((await ask({ kind: 'split', shard: 'new' })).ringEpoch!);
      expect(Math.abs(slotsOf(3, 3).length - slotsOf(3, 4).length)).toBeLessThanOrEqual(1);
      expect(moved(2, 3)).toEqual(slotsOf(3, 4));
      await active((await ask({ kind: 'move', from: 'traces-0000', to: 'new', slots: 7 })).ringEpoch!);
      expect(moved(3, 4)).toEqual(slotsOf(3, 0).slice(-7));
      await active((await ask({ kind: 'retire', shard: 'new' })).ringEpoch!);
      expect(moved(4, 5)).toEqual(slotsOf(4, 3));
      expect(rings.get(5)!.signals.logs).toEqual(rings.get(1)!.signals.logs);
    });

    it('refuses what cannot be done, with the reason, and changes nothing', async () => {
      await rig.startController();
      const refused: [Wish, RegExp][] = [
        [{ kind: 'split', shard: 'nobody' }, /there is no shard nobody/],
        [{ kind: 'retire', shard: 'logs-0000' }, /the last one of logs/],
        [{ kind: 'merge', shard: 'traces-0000', into: 'logs-0000' }, /is one of traces, logs-0000 of logs/],
        [{ kind: 'merge', shard: 'traces-0000', into: 'traces-0000' }, /into itself/],
        [{ kind: 'move', from: 'traces-0000', to: 'traces-0001', slots: 60_000 }, /has \d+ slots, and 60000/],
        [{ kind: 'create', signal: 'logs', name: 'traces-0001', capacity: 1 }, /already, one of traces/],
        [{ kind: 'create', signal: 'logs', name: 'No Name', capacity: 1 }, /cannot be a shard's name/],
        [{ kind: 'abandon' }, /no change of the ring is in flight/],
      ];
      for (const [wish, message] of refused)
        await expect(ask(wish)).rejects.toMatchObject({ code: 'REQUEST_REFUSED', message });
      expect(rig.control.state.ring!.epoch).toBe(1);
    });

    /** As anybody could send it, with an id of one's own. */
    async function send(id: string, wish: Wish, over: Partial<Request> = {}): Promise<void> {
      const [at, expiresAt] = [Date.now(), Date.now() + LONG_MS];
      const value = encodeRequest({ version: 1, id, member: 'test', at, expiresAt, wish, ...over });
      const producer = await rig.port.producer();
      await producer.send([{ topic: rig.names.requests, partition: 0, value }]);
      await producer.close();
    }
    const answered = async (id: string) =>
      (await rig.control.waitFor(({ answers }) => answers.has(id))).answers.get(id)!;

    it('lets changes wait for the one in flight, in order, and does each under whoever leads when its turn has come', async () => {
      const first = await rig.startController();
      // Nobody adopts it.
      await ask({ kind: 'split', shard: 'traces-0000' });
      const asker = { port: rig.port, names: rig.names, log: rig.control, member: 'test' };
      const locked = await acquireLock(asker, 'ring', { ttlMs: 60_000 });
      if (locked.kind === 'refused') throw new Error(locked.why);
      const fence = { resource: 'ring', token: locked.lock.token };
      await send('makes it', { kind: 'create', signal: 'traces', name: 'made', capacity: 1 });
      await send('splits it', { kind: 'split', shard: 'made' });
      await send('splits nobody', { kind: 'split', shard: 'nobody' });
      await send('under a lock', { kind: 'split', shard: 'traces-0001' }, { fence });
      await send('retires it', { kind: 'retire', shard: 'made' });
      const waiting = (count: number) => rig.control.waitFor(({ waitingChanges }) => waitingChanges.length === count);
      await waiting(5);
      await locked.lock.release();
      await first.close();

      await rig.startController();
      await rig.startProcessor();
      expect(await answered('makes it')).toMatchObject({ outcome: 'accepted', ringEpoch: 3 });
      expect(await answered('splits it')).toMatchObject({ outcome: 'accepted', ringEpoch: 4 });
      expect(await answered('splits nobody')).toMatchObject({ outcome: 'refused', text: /there is no shard nobody/ });
      expect(await answered('under a lock')).toMatchObject({ outcome: 'refused', text: /nobody holds it now/ });
      expect(await answered('retires it')).toMatchObject({ outcome: 'accepted', ringEpoch: 5 });
      await active(5);
      expect(rig.control.state.waitingChanges).toEqual([]);
      expect(traces(5).shards.map((shard) => shard.name)).toEqual(
        ['0000', '0001', '0002', '0003', '0005'].map((number) => `traces-${number}`),
      );
    });

    it('lets 16 changes wait and no more, and none that is cancelled or has lapsed', async () => {
      await startLeader();
      await ask({ kind: 'split', shard: 'traces-0000' });
      for (let i = 0; i < 15; i++) await send(`wish-${i}`, { kind: 'split', shard: 'traces-0001' });
      await send('short', { kind: 'split', shard: 'traces-0001' }, { expiresAt: clock.nowMs + 1_000 });
      await expect(ask({ kind: 'split', shard: 'traces-0002' })).rejects.toThrow(
        /ring epoch 2 is in flight .*16 more wait, which is as many as may/,
      );
      clock.nowMs += 1_000;
      expect(await answered('short')).toMatchObject({ outcome: 'expired', text: /ring epoch 2 is in flight/ });
      await ask({ kind: 'cancel', id: 'wish-3' });
      expect(await answered('wish-3')).toMatchObject({ outcome: 'cancelled' });
      await expect(ask({ kind: 'cancel', id: 'short' })).rejects.toThrow(/answered already: expired/);
      await expect(ask({ kind: 'cancel', id: 'unheard' })).rejects.toThrow(/no request unheard waits/);
      // Sent twice, it waits once.
      await send('wish-4', { kind: 'split', shard: 'traces-0001' });
      const giveUp = new AbortController();
      const regretted = askLeader(
        rig.port,
        rig.names,
        rig.control,
        { kind: 'split', shard: 'traces-0002' },
        {
          ...{ member: 'test', timeoutMs: LONG_MS },
          signal: giveUp.signal,
        },
      );
      const { waitingChanges } = await rig.control.waitFor((state) => state.waitingChanges.length === 15);
      expect(waitingChanges.map(({ requestId }) => requestId).slice(0, 14)).toEqual(
        [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14].map((i) => `wish-${i}`),
      );
      giveUp.abort();
      await expect(regretted).rejects.toThrow(/cancelled/);
      expect(rig.control.state.ring!.epoch).toBe(1);
    });

    it('answers a request that comes twice without granting it twice, and one that has lapsed or is taken back not at all', async () => {
      await send('late', { kind: 'split', shard: 'traces-0002' }, { expiresAt: 1 });
      await send('regretted', { kind: 'split', shard: 'traces-0002' });
      await send('regret', { kind: 'cancel', id: 'regretted' });
      await send('once', { kind: 'split', shard: 'traces-0000' });
      await send('once', { kind: 'split', shard: 'traces-0000' });
      await produce(rig.port, rig.names.requests, Buffer.from('{"id":"odd","version":9}'));
      await rig.startController();
      const { answers, proposed } = await rig.control.waitFor((state) => state.answers.has('odd'));
      expect([...answers].map(([id, { outcome, ringEpoch }]) => [id, outcome, ringEpoch])).toEqual([
        ['late', 'expired', undefined],
        ['regretted', 'cancelled', undefined],
        ['regret', 'accepted', undefined],
        ['once', 'accepted', 2],
        ['odd', 'refused', undefined],
      ]);
      expect(proposed!.ring.epoch).toBe(2);
    });

    /** Reports shard 0 of the traces as hot, by 40 of its slots, until that has led to something; under a leader of `startLeader`. */
    const reportHotShard = (has: () => boolean) =>
      reportLoad([40 * GB, GB, GB], new Map(slotsOf(1, 0).map((slot, i) => [slot, i < 40 ? GB : 0])), has);
    async function reportLoad(
      byShard: readonly number[],
      bySlot: ReadonlyMap<number, number>,
      has: () => boolean,
      keys: readonly KeyLoad[] = [],
    ): Promise<void> {
      const producer = await rig.port.producer();
      const slotBytes = [...bySlot].flatMap(([slot, bytes]) => (bytes > 0 ? [slot, Math.round(bytes)] : []));
      while (!has()) {
        clock.nowMs += REPORT_MS;
        const toUnixMs = clock.nowMs;
        const shards = byShard.map((bytes, shard) => shardLoad(shard, Math.round((bytes * REPORT_MS) / 1_000)));
        const fromUnixMs = toUnixMs - 1_000;
        const load = { fromUnixMs, toUnixMs, slotBytes, restSlots: 0, restBytes: 0, keys };
        const value = encodeLoadReport(
          report(toUnixMs, { signals: [{ signal: 'traces', shards, instances: [], slots: load }] }),
        );
        await producer.send([{ topic: rig.names.load, partition: 0, value }]);
        const seenFrom = Number(await endOf(rig.port, rig.names.load));
        // A tick of the leader that has all of it.
        while (!tick || tick.at < toUnixMs || tick.inputOffset < seenFrom)
          await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await producer.close();
    }
    const decisionsMade = async () =>
      (await readAll(rig.port, rig.names.decisions)).map((value) => decodeDecision(value)!);

    it('carries out the slot moves of a decision, and says of it what became of it', async () => {
      const { slots } = traces(1);
      await startLeader();
      await rig.startProcessor();
      await reportHotShard(() => decided);
      await active(2);
      const decisions = await decisionsMade();
      expect(decisions.map(({ id, status }) => [id, status])).toEqual([
        [decisions[0]!.id, 'proposed'],
        [decisions[0]!.id, 'applied'],
      ]);
      const [decision] = decisions;
      if (decision?.kind !== 'rebalance') throw new Error('no rebalance');
      expect(decision.slotsMoved).toBeGreaterThan(20);
      for (const { from, to, slots: moved } of decision.moves)
        expect(moved.map((slot) => [slots[slot], traces(2).slots[slot]])).toEqual(moved.map(() => [from, to]));
      // What the next decision has to leave where it is.
      const past = pastMovesOf(rig.control.state.changes).traces.flatMap((moves) => moves.slots);
      expect(past.sort((a, b) => a - b)).toEqual(decision.moves.flatMap((move) => move.slots).sort((a, b) => a - b));
    });

    it('lets a hot key have the shard that it is on for itself until it has cooled down, and nothing of it moves for that', async () => {
      await rig.close();
      await open(LONG_MS, { rebalance: { minBytesPerSecond: GB, holdMs: 300, cooldownMs: 300 } });
      await startLeader();
      await rig.startProcessor();
      const requests = createCorpus({ seed: 7, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST }).requests(20);
      await rig.send('traces', requests);
      await rig.drained();
      const { traceId } = decodeItems('traces', requests[0]!)[0]!;
      const hash = rig.kernels.hash.xxh64(Buffer.from(traceId, 'hex'));
      const owner = traces(1).slots[Number(hash >> 48n)]!;
      const keyHash = hash.toString(16).padStart(16, '0');
      const loads = [0, 1, 2].map((shard) => (shard === owner ? 100 * GB : GB));
      const none: ReadonlyMap<number, number> = new Map();
      const isolated = () => rig.control.state.ring!.signals.traces.overrides.has(hash);
      await reportLoad(loads, none, () => decided, [
        { keyHash, bytes: 1_000 * GB, errorBytes: GB, name: `trace_id=${traceId}` },
      ]);
      await active(2);
      const shard = traces(2).overrides.get(hash)!;
      expect(shard).toBe(owner);
      expect(rig.control.state.ring!.touched.traces).toEqual([owner]);
      await rig.send('traces', requests);
      await rig.drained();
      const census = await takeRingCensus(rig.port, rings);
      expect(census).toMatchObject({ misrouted: 0, torn: 0, badCopies: 0, copies: new Map() });
      await reportLoad(loads, none, () => !isolated());
      const actions = (await decisionsMade()).filter(({ kind, status }) => kind === 'hot_key' && status === 'proposed');
      expect(actions.map(({ action }) => action)).toEqual(['isolate_key', 'release_key']);
    });

    it('takes moves back that have made things worse, once, and says so of the decision', async () => {
      await startLeader();
      await rig.startProcessor();
      const half = slotsOf(1, 0).slice(0, 40);
      await reportLoad([40 * GB, 15 * GB, 15 * GB], new Map(half.map((slot) => [slot, GB])), () => decided);
      await active(2);
      // What went to shard 1 has grown by a half since, and shard 0 has next to nothing left.
      const gained = half.filter((slot) => traces(2).slots[slot] === 1);
      const each = (40 / gained.length) * GB;
      await reportLoad(
        [GB, 45 * GB, GB],
        new Map(gained.map((slot) => [slot, each])),
        () => rig.control.state.ring!.epoch === 3,
      );
      expect(traces(3).slots).toEqual(traces(1).slots);
      const made = (await decisionsMade()).filter(({ kind }) => kind === 'rebalance');
      const [first] = made;
      const reversal = made.find(({ action }) => action === 'reverse')!;
      expect(made.filter(({ id }) => id === first!.id)).toMatchObject([
        { status: 'proposed' },
        { status: 'applied' },
        { status: 'reversed', measured: expect.closeTo((3 * 45) / 47, 1) },
      ]);
      expect(reversal).toMatchObject({ reverses: first!.id, status: 'proposed' });
      expect(rig.control.state.changes.map(({ epoch, planned }) => [epoch, planned])).toEqual([
        [2, null],
        [3, null],
      ]);
    });

    it('splits shards while they are above their capacity, and merges them when there is little load, losing nothing', async () => {
      await rig.close();
      await open(0, {
        windowMs: 1_000,
        rebalance: { minBytesPerSecond: 100, hotRatio: 5, holdMs: 1_000, churnSlots: 1_000_000 },
        capacity: {
          ...{ apply: true, bytesPerSecond: 50_000, minShards: 3, maxShards: 5 },
          ...{ splitAfterMs: 300, mergeAfterMs: 1_000, holdMs: 1_000, cooldownMs: 300 },
        },
      });
      await rig.startController();
      await rig.startProcessor();
      const corpus = createCorpus({ seed: 9, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      let requests = 0;
      /** A request is some 9 KB. */
      const feedUntil = async (has: () => boolean, count: number, everyMs: number) => {
        while (!has()) {
          await rig.send('traces', corpus.requests(count), { partition: requests % 2 });
          requests += count;
          await new Promise((resolve) => setTimeout(resolve, everyMs));
        }
      };
      const shards = () => rig.control.state.ring!.signals.traces.shards.length;
      await feedUntil(() => shards() > 3, 10, 50);
      const most = shards();
      await feedUntil(() => shards() === 3, 1, 400);
      await rig.drained();

      const made = await decisionsMade();
      const of = (action: string) => made.filter((decision) => decision.action === action);
      const [split] = of('split');
      if (split?.kind !== 'capacity') throw new Error('no decision to split');
      expect(split.from).toBeGreaterThan(1);
      expect(split.to).toBeLessThan(split.from);
      expect(split.shards).toEqual({ before: 3, after: 4 });
      expect(of('split').filter(({ status }) => status === 'applied').length).toBeGreaterThanOrEqual(most - 3);
      const [merge] = of('merge');
      if (merge?.kind !== 'capacity') throw new Error('no decision to merge');
      expect(merge.to).toBeLessThanOrEqual(0.5);
      expect(of('merge').at(-1)).toMatchObject({ status: 'applied', shards: { before: 4, after: 3 } });
      const census = await takeRingCensus(rig.port, rings);
      const spans = requests * SPANS_PER_REQUEST;
      expect(census).toMatchObject({ items: spans, misrouted: 0, torn: 0, backwards: 0 });
      expect(census.spans.size).toBe(spans);
    });

    it('says of a decision whose moves were taken back that they were', async () => {
      await startLeader();
      await reportHotShard(() => rig.control.state.proposed !== null);
      await ask({ kind: 'abandon' });
      await rig.startProcessor();
      await active(3);
      expect((await decisionsMade()).map(({ status }) => status)).toEqual(['proposed', 'abandoned']);
      expect(rings.get(3)!.signals).toEqual(rings.get(1)!.signals);
    });

    it('brings what moved slots got shortly before to their new shards, once, so that traces are whole there', async () => {
      await rig.close();
      await open(LONG_MS);
      await rig.startController();
      await rig.startProcessor();
      const requests = createCorpus({ seed: 6, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST }).requests(30);
      const spansOf = new Map<string, Set<string>>();
      for (const { traceId, spanId } of requests.flatMap((request) => decodeItems('traces', request)))
        spansOf.set(traceId, (spansOf.get(traceId) ?? new Set()).add(spanId));
      await rig.send('traces', requests);
      await rig.drained();
      const wishes: Wish[] = [
        { kind: 'create', signal: 'traces', name: 'new', capacity: 1 },
        { kind: 'merge', shard: 'traces-0001', into: 'traces-0002' },
      ];
      for (const wish of wishes) await active((await ask(wish)).ringEpoch!);

      const census = await takeRingCensus(rig.port, rings);
      expect(census).toMatchObject({ items: 600, misrouted: 0, badCopies: 0 });
      const shardUnder = (epoch: number, traceId: string) =>
        traces(epoch).slots[Number(rig.kernels.hash.xxh64(Buffer.from(traceId, 'hex')) >> 48n)]!;
      let copied = 0;
      for (const [traceId, spans] of spansOf) {
        const expected = [2, 3]
          .filter((epoch) => shardUnder(epoch, traceId) !== shardUnder(epoch - 1, traceId))
          .map((epoch) => ({ epoch, shard: shardUnder(epoch, traceId) }));
        for (const span of spans) expect(census.copies.get(span) ?? []).toEqual(expected);
        copied += expected.length * spans.size;
      }
      const events = (await readAll(rig.port, rig.names.control)).map((value) =>
        JSON.parse(Buffer.from(value).toString()),
      );
      const carried: { items: number }[] = events.flatMap(({ carried: of }) => of ?? []);
      expect(carried.map(({ items }) => items > 0)).toEqual([true, true]);
      expect(carried.reduce((sum, { items }) => sum + items, 0)).toBe(copied);
    });

    it('goes on copying where the leader before had come to', async () => {
      await rig.close();
      await open(LONG_MS);
      await rig.startProcessor();
      const corpus = createCorpus({ seed: 7, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      await rig.send('traces', corpus.requests(40));
      await rig.drained();
      const records: { offset: bigint; items: number }[] = [];
      const { topic } = traces(1).shards[1]!;
      for await (const { offset, value } of recordsOf(rig.port, topic))
        records.push({ offset, items: decodeItems('traces', value!).length });
      const left = records.slice(records.length >>> 1);
      expect(left.length).toBeGreaterThan(2);
      await commitOnBehalf(rig.port, rig.names.carryKey(topic), rig.names.carryGroup, {
        ...{ topic, partition: 0, offset: left[0]!.offset, metadata: 'carry=2 items=7 bytes=70' },
      });
      await rig.startController();
      await active((await ask({ kind: 'merge', shard: 'traces-0001', into: 'traces-0002' })).ringEpoch!);
      const copied = left.reduce((sum, { items }) => sum + items, 0);
      expect((await takeRingCensus(rig.port, rings)).copies.size).toBe(copied);
      const events = (await readAll(rig.port, rig.names.control)).map((value) =>
        JSON.parse(Buffer.from(value).toString()),
      );
      expect(events.filter(({ type }) => type === 'RingActive').at(-1)).toMatchObject({
        ...{ epoch: 2, carried: { items: copied + 7 } },
      });
    });

    it('copies nothing back into a shard that it was copied from, so that each later shard gets it once', async () => {
      await rig.close();
      await open(LONG_MS);
      await rig.startController();
      await rig.startProcessor();
      await rig.send('traces', createCorpus({ seed: 8, signal: 'traces', itemsPerRequest: 20 }).requests(20));
      await rig.drained();
      const move = async (from: string, to: string, slots: number) =>
        active((await ask({ kind: 'move', from, to, slots })).ringEpoch!);
      const there = slotsOf(1, 1).length - 1;
      // Those that a move takes are the last of a shard's slots, and a merge takes all of them.
      await move('traces-0001', 'traces-0002', there);
      await active((await ask({ kind: 'merge', shard: 'traces-0002', into: 'traces-0001' })).ringEpoch!);
      await active((await ask({ kind: 'merge', shard: 'traces-0001', into: 'traces-0000' })).ringEpoch!);
      const { copies, badCopies, spans } = await takeRingCensus(rig.port, rings);
      expect(badCopies).toBe(0);
      const epochsOf = (epoch: number) => [...copies.values()].filter((of) => of.some((copy) => copy.epoch === epoch));
      expect(epochsOf(2).length).toBeGreaterThan(0);
      expect(epochsOf(2).some((of) => of.some(({ epoch, shard }) => epoch === 3 && shard === 1))).toBe(false);
      // All that was in either of the two, and is now in the last one alone.
      const inLast = [...spans.keys()].filter((id) => !copies.get(id)?.some(({ epoch }) => epoch === 4));
      expect(inLast.length + epochsOf(4).length).toBe(400);
      expect(epochsOf(4).length).toBeGreaterThan(epochsOf(2).length);
    });

    it('brings back what went by a change that is taken back, and the same move made again copies each span once', async () => {
      await rig.close();
      await open(LONG_MS);
      await rig.startController();
      await rig.startProcessor();
      const corpus = createCorpus({ seed: 9, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      for (const partition of [0, 1]) await rig.send('traces', corpus.requests(5), { partition });
      await rig.drained();
      // Holds half of the partitions, and adopts nothing.
      const shared = Promise.withResolvers<void>();
      const idler = rig.port.joinGroup(
        {
          groupId: rig.names.processGroup,
          topics: SIGNALS.map(rig.names.ingest),
          sessionTimeoutMs: rig.config.kafka.sessionTimeoutMs,
        },
        {
          run: (held) => aborted(held.signal),
          onGeneration: ({ partitions }) => partitions.length === 3 && shared.resolve(),
        },
      );
      await shared.promise;
      const merge: Wish = { kind: 'merge', shard: 'traces-0001', into: 'traces-0002' };
      await ask(merge);
      const waiting = async () => (await readRingAcks(rig.port.admin, rig.names, 2)).waiting;
      while ((await waiting()).length !== 3) await new Promise((resolve) => setTimeout(resolve, 20));
      const ingest = rig.names.ingest('traces');
      const left = (await waiting()).flatMap(({ topic, partition }) => (topic === ingest ? [partition] : []));
      const partition = [0, 1].find((of) => !left.includes(of))!;
      await rig.send('traces', corpus.requests(5), { partition });
      const lag = async () => (await rig.port.admin.lag(rig.names.processGroup, ingest)).get(partition);
      while ((await lag())! > 0n) await new Promise((resolve) => setTimeout(resolve, 20));
      await ask({ kind: 'abandon' });
      await idler.close();
      await active(3);
      await active((await ask(merge)).ringEpoch!);

      const { holdings, badCopies } = await takeRingCensus(rig.port, rings);
      expect(badCopies).toBe(0);
      const moved = [...holdings.values()].filter(([of]) => traces(1).slots[slotOf(of!.traceId, 16)] === 1);
      const ways = moved.map((all) =>
        all
          .toSorted((a, b) => a.epoch - b.epoch)
          .map(({ epoch, shard }) => `${epoch}:${shard}`)
          .join(' '),
      );
      // Came before the change, copied by the one that holds; or came by the first, copied back, and is where it belongs then.
      expect(new Set(ways)).toEqual(new Set(['1:1 4:2', '2:2 3:1']));
    });

    it('ends the copying where a change that all have adopted is to be taken back', async () => {
      await rig.close();
      await open(LONG_MS);
      const gated = gatePort(rig.port, rig.names.shard('traces', 1));
      const release = gated.hold();
      await rig.startController({ port: gated.port });
      await rig.startProcessor();
      const corpus = createCorpus({ seed: 10, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      await rig.send('traces', corpus.requests(10));
      await rig.drained();
      await ask({ kind: 'merge', shard: 'traces-0001', into: 'traces-0002' });
      await rig.control.waitFor(({ proposed }) => proposed!.adoptedAt !== null);
      await expect(ask({ kind: 'abandon' })).resolves.toMatchObject({
        ringEpoch: 2,
        text: 'all partitions have adopted ring epoch 2: it is active with what is copied so far',
      });
      release();
      await active(2);
      const events = (await readAll(rig.port, rig.names.control)).map((value) =>
        JSON.parse(Buffer.from(value).toString()),
      );
      expect(events.filter(({ type }) => type === 'RingActive').at(-1)).toMatchObject({ epoch: 2, cutShort: true });
      expect((await takeRingCensus(rig.port, rings)).copies.size).toBe(0);
      await rig.send('traces', corpus.requests(10));
      await rig.drained();
      expect(await takeRingCensus(rig.port, rings)).toMatchObject({ misrouted: 0, torn: 0, items: 400 });
    });

    it('goes on under another leader from the log alone', async () => {
      const first = await rig.startController();
      await ask({ kind: 'split', shard: 'traces-0000' });
      await first.close();
      expect(rig.control.state.ring!.epoch).toBe(1);
      await rig.startController();
      await rig.startProcessor();
      await active(2);
      expect(await readRingAcks(rig.port.admin, rig.names, 2)).toEqual({ partitions: 6, waiting: [] });
    });

    it('takes a change back when some partitions have adopted it and others have not', async () => {
      await rig.startController();
      const corpus = createCorpus({ seed: 2, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      const processor = await rig.startProcessor();
      await rig.send('traces', corpus.requests(40), { partition: 0 });
      await rig.drained();
      await processor.close();
      // Partition 0 goes on under the epoch that it has when the change is proposed, and alone adopts the next.
      const { ringEpoch } = await ask({ kind: 'split', shard: 'traces-0000' });
      await adoptOnBehalf(rig, 0, ringEpoch!);
      // Who only looks is shown an offset some ms after its commit.
      await eventually(async () =>
        expect((await readRingAcks(rig.port.admin, rig.names, ringEpoch!)).waiting).toHaveLength(5),
      );
      expect((await ask({ kind: 'abandon' })).ringEpoch).toBe(3);
      await expect(ask({ kind: 'abandon' })).rejects.toThrow(/takes back 2 already/);
      await rig.startProcessor();
      await active(3);
      expect(rings.get(3)!.signals).toEqual(rings.get(1)!.signals);
      await rig.send('traces', corpus.requests(40), { partition: 0 });
      await rig.drained();
      const census = await takeRingCensus(rig.port, rings);
      expect(census).toMatchObject({ items: 80 * SPANS_PER_REQUEST, misrouted: 0, torn: 0, backwards: 0 });
      expect(census.spans.size).toBe(80 * SPANS_PER_REQUEST);
      // The id of the shard that never came to be is not given again.
      await active((await ask({ kind: 'create', signal: 'traces', name: 'next', capacity: 1 })).ringEpoch!);
      expect(traces(4).shards.at(-1)).toMatchObject({ id: 4, name: 'next' });
    });

    it('is waited for by who opens a partition, as far as the committed offset names it', async () => {
      await rig.startController();
      const { ringEpoch } = await ask({ kind: 'split', shard: 'traces-0000' });
      // As if a processor that has read further had worked on it before.
      await adoptOnBehalf(rig, 0, ringEpoch! + 1);
      await rig.startProcessor();
      await rig.send('traces', createCorpus({ seed: 3, signal: 'traces', itemsPerRequest: 5 }).requests(4), {
        partition: 0,
      });
      await rig.send('traces', createCorpus({ seed: 4, signal: 'traces', itemsPerRequest: 5 }).requests(4), {
        partition: 1,
      });
      const others = () => readRingAcks(rig.port.admin, rig.names, ringEpoch!);
      while ((await others()).waiting.length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
      const sourcesSeen = new Set<string>();
      for (const { topic } of traces(2).shards)
        for await (const { headers } of recordsOf(rig.port, topic))
          sourcesSeen.add(
            new TextDecoder().decode(headers.find(([header]) => header === 'weir-source')![1]).split('/')[1]!,
          );
      expect([...sourcesSeen]).toEqual(['1']);
      await active(2);
      // Epoch 3 comes to be: now partition 0 is worked on.
      await ask({ kind: 'split', shard: 'traces-0001' });
      await rig.drained();
    });
  });
}

/** Commits an offset of a partition of the traces as a processor does. */
async function adoptOnBehalf({ port, names }: PipelineRig, partition: number, epoch: number): Promise<void> {
  const topic = names.ingest('traces');
  const { offset } = await port.admin.committedOffset(names.processGroup, { topic, partition });
  await commitOnBehalf(port, names.processorKey(topic, partition), names.processGroup, {
    ...{ topic, partition, offset: offset ?? 0n, metadata: `ring=${epoch}` },
  });
}

async function commitOnBehalf(port: KafkaPort, fencingKey: string, groupId: string, at: OffsetToCommit): Promise<void> {
  const sink = await port.openSink({ fencingKey, groupId, transactionTimeoutMs: 10_000 });
  expect(await sink.commit([at])).toEqual({ kind: 'committed' });
  await sink.close();
}
