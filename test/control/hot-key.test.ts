import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import type { PastMoves } from '../../src/control/churn.ts';
import { type Condition, decide } from '../../src/control/decide.ts';
import { decisionKey, type LastDecision } from '../../src/control/decision.ts';
import { hotKeyWishes } from '../../src/control/hot-key.ts';
import type { KeyRate } from '../../src/control/load-view.ts';
import { rebalanceWish } from '../../src/control/rebalance.ts';
import { type SignalRing, UNTOUCHED } from '../../src/coordination/ring-epoch.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';
import { BY_TRACE_ID, type Override } from '../../src/kernels/split/kernel.ts';

const policy = defaultConfig().control.rebalance;
const KB = 1_000;
/** Its slot is 1, so that shard 1 has it. */
const KEY = '0001000000000abc';
const HASH = BigInt(`0x${KEY}`);

const SLOTS = Array.from({ length: 9 }, (_, shards) =>
  Uint16Array.from({ length: 65_536 }, (_, slot) => slot % shards),
);
const ring = (
  shards: number,
  overrides: readonly (readonly [bigint, Override])[] = [],
  key = 'trace_id',
): SignalRing => ({
  key,
  slotBits: 16,
  slots: SLOTS[shards]!,
  shards: Array.from({ length: shards }, (_, id) => ({ id, name: `s${id}`, topic: `t${id}`, weight: 1 })),
  overrides: new Map(overrides),
  hotKeys: new Map(overrides.map(([hash]) => [hash, 'service.name=checkout'])),
});
const rate = (kilobytes: number, error = 0): KeyRate => ({
  bytesPerSecond: kilobytes * KB,
  errorBytesPerSecond: error * KB,
  name: 'service.name=checkout',
});
/** Loads in KB/s. */
const viewOf = (shards: readonly number[], keys: Record<string, KeyRate>) => ({
  shardBytesPerSecond: new Map(shards.map((load, shard) => [shard, load * KB])),
  slotBytesPerSecond: new Map<number, number>(),
  restBytesPerSecond: 0,
  keys: new Map(Object.entries(keys)),
});
const NOW = 1_000_000_000;
const wishes = (
  of: SignalRing,
  shards: readonly number[],
  keys: Record<string, KeyRate>,
  pastMoves: readonly PastMoves[] = [],
) => hotKeyWishes({ signal: 'traces', ring: of, view: viewOf(shards, keys), windowMs: 15_000, pastMoves }, policy, NOW);

const score = createReferenceScore();
const UNCHANGED = { changedAt: null, reshapedAt: new Map<number, number>() };
const TICK_MS = 5_000;
const TICKS_A_MINUTE = 60_000 / TICK_MS;

/** What is decided of the key when its load takes this course, in KB/s a tick, of 400 of all keys; each decision is in force at the next tick. */
function followed(course: readonly number[]): { at: number; action: string }[] {
  const last = new Map<string, LastDecision>();
  const pastMoves: PastMoves[] = [];
  const overrides = new Map<bigint, Override>();
  const changes: { at: number; action: string }[] = [];
  let conditions: ReadonlyMap<string, Condition> = new Map();
  const none = viewOf([], {});
  course.forEach((kilobytes, tick) => {
    const at = tick * TICK_MS;
    const signals = { metrics: none, logs: none, traces: viewOf([100, 100, 100, 100], { [KEY]: rate(kilobytes) }) };
    const of = ring(4, [...overrides]);
    const decided = decide(
      {
        ring: { epoch: 1 + changes.length, signals: { traces: of, metrics: of, logs: of }, touched: UNTOUCHED },
        load: { windowMs: 15_000, warmingUp: false, services: [], signals },
        ...{ last, conditions, plan: null },
        pastMoves: { traces: pastMoves, metrics: [], logs: [] },
        pastShards: { traces: UNCHANGED, metrics: UNCHANGED, logs: UNCHANGED },
      },
      defaultConfig().control,
      score,
      at,
    );
    conditions = decided.conditions;
    for (const { kind, subject } of decided.cleared) {
      const key = decisionKey(kind, subject);
      last.set(key, { ...last.get(key)!, cleared: true });
    }
    for (const { proposal, fingerprint, until } of decided.actions) {
      const { kind, subject } = proposal;
      last.set(decisionKey(kind, subject), { id: `${at}`, kind, subject, fingerprint, until, at, cleared: false });
      if (proposal.kind !== 'hot_key') continue;
      if (proposal.action === 'release_key') overrides.delete(HASH);
      else overrides.set(HASH, proposal.toShard ?? BY_TRACE_ID);
      changes.push({ at, action: proposal.action });
      pastMoves.push({ at, slots: [], keys: [KEY] });
    }
  });
  return changes;
}

describe('a hot key', () => {
  it('is one that alone is above the target, whatever its sampled load may be wrong by', () => {
    const loads = [100, 100, 100, 100];
    expect(wishes(ring(4), loads, { [KEY]: rate(114) })).toEqual([]);
    expect(wishes(ring(4), loads, { [KEY]: rate(130, 16) })).toEqual([]);
    expect(wishes(ring(4), loads, { [KEY]: rate(130, 14) })).toMatchObject([
      { action: 'isolate_key', subject: `traces/${KEY}`, keyHash: KEY, reasons: [{ rule: 'hot-key' }] },
    ]);
    expect(wishes(ring(4), [1, 1, 1, 1], { [KEY]: rate(4) })).toEqual([]);
  });

  it('stays where it is when what lies beside it is less than what would have to move for it elsewhere', () => {
    expect(wishes(ring(4), [100, 220, 50, 80], { [KEY]: rate(150) })).toMatchObject([
      { fromShard: 1, toShard: 1, from: 220 / 112.5, to: 220 / 112.5 },
    ]);
    // 300 beside it; the 130 and the 10 of shard 2 are less.
    expect(wishes(ring(4), [10, 430, 5, 5], { [KEY]: rate(130) })).toMatchObject([
      { fromShard: 1, toShard: 2, from: 430 / 112.5, to: 300 / 112.5 },
    ]);
  });

  it('gets a shard that no other key has for itself, as long as one is left for all others', () => {
    const [second, third] = ['0001000000000001', '0001000000000002'];
    const keys = { [KEY]: rate(300), [second!]: rate(280), [third!]: rate(260) };
    const found = wishes(ring(5), [10, 860, 20, 5, 6], keys);
    expect(found.map(({ keyHash, toShard }) => [keyHash, toShard])).toEqual([
      [KEY, 3],
      [second, 4],
      [third, 0],
    ]);
    const one = { [KEY]: rate(550) };
    expect(wishes(ring(2), [10, 600], one)).toHaveLength(1);
    // Its key is too warm to be released.
    const other = '0000000000000005';
    expect(wishes(ring(2, [[5n, 0]]), [310, 600], { ...one, [other]: rate(300) })).toHaveLength(0);
  });

  it('is released once it has cooled down to half of a fair share, for sure', () => {
    const isolated = ring(4, [[HASH, 3]]);
    expect(wishes(isolated, [100, 100, 100, 100], { [KEY]: rate(50) })).toEqual([]);
    expect(wishes(isolated, [100, 100, 100, 100], { [KEY]: rate(45, 5) })).toEqual([]);
    const release = { action: 'release_key', keyHash: KEY, fromShard: 3, toShard: 1, reasons: [{ rule: 'cool-key' }] };
    expect(wishes(isolated, [100, 100, 100, 100], { [KEY]: rate(45, 4) })).toMatchObject([release]);
    expect(wishes(isolated, [100, 100, 100, 100], {})).toMatchObject([release]);
  });

  it('is never wished to be isolated and released at one load', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 8 }),
        fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 8, maxLength: 8 }),
        fc.integer({ min: 1, max: 1_000 }),
        fc.integer({ min: 0, max: 500 }),
        (shards, loads, load, error) => {
          const keys = { [KEY]: rate(load, error) };
          for (const { toShard } of wishes(ring(shards), loads.slice(0, shards), keys))
            expect(wishes(ring(shards, [[HASH, toShard!]]), loads.slice(0, shards), keys)).toEqual([]);
        },
      ),
    );
  });

  it('is spread by trace id where the keys are services, however many keys have shards for themselves', () => {
    const services = ring(4, [], 'service.name');
    expect(wishes(services, [100, 220, 40, 40], { [KEY]: rate(160) })).toMatchObject([
      // A quarter of the 160 stays.
      { action: 'spread_key', fromShard: 1, toShard: null, from: 2.2, to: 1.4 },
    ]);
    const many = ring(2, [[5n, 0]], 'service.name');
    const keys = { [KEY]: rate(550), '0000000000000005': rate(300) };
    expect(wishes(many, [310, 600], keys)).toMatchObject([{ action: 'spread_key', keyHash: KEY }]);
    const view = viewOf([100, 220, 40, 40], { [KEY]: rate(160) });
    const actions = (['traces', 'metrics', 'logs'] as const).map(
      (signal) =>
        hotKeyWishes({ signal, ring: ring(4, [], 'resource'), view, windowMs: 15_000, pastMoves: [] }, policy, NOW)[0]!
          .action,
    );
    // Metrics have no traces, and a resource is one already.
    expect(actions).toEqual(['spread_key', 'isolate_key', 'spread_key']);
    expect(wishes(ring(4, [[HASH, BY_TRACE_ID]], 'service.name'), [100, 100, 100, 100], {})).toMatchObject([
      { action: 'release_key', fromShard: null, toShard: 1 },
    ]);
  });

  it('is not released where the configuration has sent it to a shard', () => {
    const configured = { ...ring(4, [[HASH, 3]]), hotKeys: new Map() };
    expect(wishes(configured, [100, 100, 100, 100], {})).toEqual([]);
  });

  it('is named with its share of the load, in its reason too', () => {
    const [wish] = wishes(ring(4), [100, 100, 100, 100], { [KEY]: rate(152, 2) });
    expect(wish).toMatchObject({ key: 'service.name=checkout', share: 0.38, bytesPerSecond: 152 * KB });
    expect(wish!.reasons[0]!.text).toBe(
      'key service.name=checkout is 38% of traces (152000 B/s by samples, give or take 2000), more than the 28.7% that its shard 1 should carry: it gets shard 1 for itself',
    );
    const nameless = { ...rate(152), name: '' };
    expect(wishes(ring(4), [100, 100, 100, 100], { [KEY]: nameless })[0]!.reasons[0]!.text).toContain(
      `key with hash ${KEY} is 38%`,
    );
    // Nobody lists it any more: the ring knows.
    expect(wishes(ring(4, [[HASH, 3]]), [100, 100, 100, 100], {})[0]).toMatchObject({
      key: 'service.name=checkout',
      share: 0,
    });
  });

  it('is left alone for the hold time after a change of it, and when the churn budget is used up', () => {
    const hot = { [KEY]: rate(150) };
    const changed = (ms: number) => [{ at: NOW - ms, slots: [], keys: [KEY] }];
    expect(wishes(ring(4), [100, 100, 100, 100], hot, changed(policy.holdMs - 1))).toEqual([]);
    expect(wishes(ring(4), [100, 100, 100, 100], hot, changed(policy.holdMs))).toHaveLength(1);
    expect(wishes(ring(4, [[HASH, 3]]), [100, 100, 100, 100], {}, changed(policy.holdMs - 1))).toEqual([]);
    const spent = (slots: number) => [{ at: NOW - 1, slots: Array.from({ length: slots }, (_, slot) => slot) }];
    expect(wishes(ring(4), [100, 100, 100, 100], hot, spent(policy.churnSlots))).toEqual([]);
    expect(wishes(ring(4), [100, 100, 100, 100], hot, spent(policy.churnSlots - 1))).toHaveLength(1);
  });

  it('is changed no more often than the hold time allows, whatever its load does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 1, max: 120 })), { maxLength: 12 }),
        (course) => {
          const changes = followed(course.flatMap(([kilobytes, ticks]) => Array<number>(ticks).fill(kilobytes)));
          const isolates = changes.map(({ action }) => action === 'isolate_key');
          isolates.forEach((isolate, i) => {
            expect(isolate).toBe(i % 2 === 0);
          });
          for (let i = 1; i < changes.length; i++)
            expect(changes[i]!.at - changes[i - 1]!.at).toBeGreaterThanOrEqual(policy.holdMs);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('is isolated once and released once when it gets hot and cools down', () => {
    const minutes = (count: number) => count * TICKS_A_MINUTE;
    const course = [...Array<number>(minutes(20)).fill(150), ...Array<number>(minutes(20)).fill(20)];
    expect(followed(course).map(({ action }) => action)).toEqual(['isolate_key', 'release_key']);
    // A load that scatters between the two limits changes nothing.
    expect(followed(Array.from({ length: minutes(40) }, (_, tick) => (tick % 2 === 0 ? 60 : 110)))).toEqual([]);
  });

  it('leaves shards behind that are levelled down to the target, though none of them is hot by itself', () => {
    const slots = new Map(Array.from({ length: 20 }, (_, i) => [2 + 4 * i, 7 * KB]));
    const rebalance = (pastMoves: readonly PastMoves[], overrides: [bigint, Override][], shards: number[]) => {
      const view = { ...viewOf(shards, { [KEY]: rate(300) }), slotBytesPerSecond: slots };
      const state = {
        signal: 'traces',
        ring: ring(4, overrides),
        view,
        windowMs: 15_000,
        pastMoves,
        unitCapacity: Infinity,
      } as const;
      return rebalanceWish(state, policy, score, NOW);
    };
    const changed = (ms: number) => [{ at: NOW - ms, slots: [], keys: [KEY] }];
    // 1.4 times the mean.
    expect(rebalance([], [], [80, 90, 140, 90])).toBeNull();
    expect(rebalance(changed(policy.holdMs), [], [80, 90, 140, 90])).toBeNull();
    const wish = rebalance(changed(policy.holdMs - 1), [], [80, 90, 140, 90])!;
    expect(wish).toMatchObject({ action: 'move_slots', from: 1.4, reasons: [{ threshold: policy.targetRatio }] });
    expect(wish.to).toBeLessThanOrEqual(policy.targetRatio);
    // Of the 270 that the key leaves to three shards; of all 570 that would be no more than 1.1 times a quarter.
    expect(rebalance([], [[HASH, 1]], [50, 300, 160, 60])).toMatchObject({ action: 'move_slots', from: 160 / 90 });
  });

  it('is one of several that are seen to one by one, before slots are moved', () => {
    const other = '0002000000000abc';
    const decided = (overrides: [bigint, Override][], changing: boolean) => {
      const of = ring(4, overrides, 'service.name');
      const slots = new Map(Array.from({ length: 10 }, (_, i) => [5 + 4 * i, 4 * KB]));
      const keys = { [KEY]: rate(150), [other]: rate(140) };
      const traces = { ...viewOf([10, 190, 180, 20], keys), slotBytesPerSecond: slots };
      const none = viewOf([], {});
      const { actions, reasons } = decide(
        {
          ring: { epoch: 1, signals: { traces: of, metrics: of, logs: of }, touched: UNTOUCHED },
          load: { windowMs: 15_000, warmingUp: false, services: [], signals: { traces, metrics: none, logs: none } },
          ...{ last: new Map(), conditions: new Map(), plan: null, changing },
          pastMoves: { traces: [], metrics: [], logs: [] },
          pastShards: { traces: UNCHANGED, metrics: UNCHANGED, logs: UNCHANGED },
        },
        { ...defaultConfig().control, scaling: { ...defaultConfig().control.scaling, stabilisationMs: 0 } },
        score,
        NOW,
      );
      return [actions.map(({ proposal }) => proposal.subject), reasons.map(({ verdict }) => verdict)];
    };
    expect(decided([], false)).toEqual([[`traces/${KEY}`], ['decided', 'waiting', 'waiting']]);
    expect(decided([[HASH, BY_TRACE_ID]], false)).toEqual([[`traces/${other}`], ['decided', 'waiting']]);
    expect(decided([], true)).toEqual([[], ['waiting', 'waiting', 'waiting']]);
  });

  it('makes its own shard no hot one, but for what lies beside it', () => {
    const of = ring(4, [[HASH, 1]]);
    const rebalance = (beside: number) => {
      const slots = new Map(Array.from({ length: 10 }, (_, i) => [1 + 4 * i, (beside / 10) * KB]));
      const view = { ...viewOf([100, 300 + beside, 100, 100], { [KEY]: rate(300) }), slotBytesPerSecond: slots };
      const state = {
        signal: 'traces',
        ring: of,
        view,
        windowMs: 15_000,
        pastMoves: [],
        unitCapacity: Infinity,
      } as const;
      return rebalanceWish(state, policy, createReferenceScore(), 0);
    };
    expect(rebalance(0)).toBeNull();
    expect(rebalance(20)).toBeNull();
    // Above its place by more than what the target allows: all of it goes.
    expect(rebalance(100)!.moves.flatMap(({ from, slots }) => slots.map(() => from))).toEqual(Array(10).fill(1));
  });
});
