import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import type { PastMoves } from '../../src/control/churn.ts';
import type { SignalView } from '../../src/control/load-view.ts';
import { rebalanceFingerprint, rebalanceIsNews, rebalanceWish } from '../../src/control/rebalance.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';

const policy = defaultConfig().control.rebalance;
const WINDOW = 15_000;
const KB = 1_000;

/** Slot s belongs to shard s mod `shards`. */
function ring(shards: number): SignalRing {
  return {
    key: 'trace_id',
    slotBits: 16,
    slots: Uint16Array.from({ length: 65_536 }, (_, slot) => slot % shards),
    shards: Array.from({ length: shards }, (_, id) => ({ id, name: `s${id}`, topic: `t${id}`, weight: 1 })),
    overrides: new Map(),
  };
}

/** Shard loads are the sums of their slots', plus what only overrides bring. */
function view(
  of: SignalRing,
  slots: Record<number, number>,
  overridden: Record<number, number> = {},
  rest = 0,
): SignalView {
  const shardBytesPerSecond = new Map<number, number>();
  const add = (shard: number, load: number) =>
    shardBytesPerSecond.set(shard, (shardBytesPerSecond.get(shard) ?? 0) + load);
  for (const [slot, load] of Object.entries(slots)) add(of.slots[Number(slot)]!, load);
  for (const [shard, load] of Object.entries(overridden)) add(Number(shard), load);
  for (const { id } of of.shards) if (rest > 0) add(id, rest / of.shards.length);
  const slotBytesPerSecond = new Map(Object.entries(slots).map(([slot, load]) => [Number(slot), load]));
  return { shardBytesPerSecond, slotBytesPerSecond, restBytesPerSecond: rest, keys: new Map() };
}

const NOW = 1_000_000_000;

const wish = (
  of: SignalRing,
  seen: SignalView,
  over: Partial<typeof policy> = {},
  pastMoves: readonly PastMoves[] = [],
  unitCapacity = Number.POSITIVE_INFINITY,
) =>
  rebalanceWish(
    { signal: 'traces', ring: of, view: seen, windowMs: WINDOW, unitCapacity, pastMoves },
    { ...policy, ...over },
    createReferenceScore(),
    NOW,
  );

describe('the rebalance of a signal', () => {
  it('leaves shards at hotRatio times the mean alone', () => {
    const four = ring(4);
    // Means of 100 KB/s: 150, 100, 80, 70.
    expect(wish(four, view(four, { 0: 150 * KB, 1: 100 * KB, 2: 80 * KB, 3: 70 * KB }))).toBeNull();
    expect(wish(four, view(four, { 0: 151 * KB, 1: 100 * KB, 2: 79 * KB, 3: 70 * KB }))).not.toBeNull();
  });

  it('relieves a shard that is above its capacity while the others have room, and not when all are full', () => {
    const four = ring(4);
    const spread = (total: number, shard: number) =>
      Object.fromEntries(Array.from({ length: 20 }, (_, i) => [4 * i + shard, total / 20]));
    const seen = view(four, {
      ...spread(130 * KB, 0),
      ...spread(90 * KB, 1),
      ...spread(90 * KB, 2),
      ...spread(90 * KB, 3),
    });
    expect(wish(four, seen)).toBeNull();
    const found = wish(four, seen, {}, [], 120 * KB)!;
    expect(found).toMatchObject({
      action: 'move_slots',
      hotShards: [0],
      reasons: [{ rule: 'over-capacity', observed: expect.closeTo(130 * KB), threshold: 120 * KB, window: WINDOW }],
    });
    expect(found.to).toBeLessThanOrEqual(policy.targetRatio);
    // At the target of 1.15 times 100 KB/s each of them would still be above it.
    expect(wish(four, seen, {}, [], 114 * KB)).toBeNull();
  });

  it('leaves a signal with too little load alone', () => {
    const two = ring(2);
    expect(wish(two, view(two, { 0: 99_999 }))).toBeNull();
    expect(wish(two, view(two, { 0: 100_000 }))).not.toBeNull();
    expect(wish(ring(1), view(ring(1), { 0: 1e9 }))).toBeNull();
    expect(wish(two, view(two, {}))).toBeNull();
  });

  it('moves heavy slots before light ones, and stops at the target', () => {
    const four = ring(4);
    const light = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [8 + 4 * i, 2 * KB]));
    const seen = view(four, { 0: 60 * KB, 4: 95 * KB, ...light, 1: 50 * KB, 2: 60 * KB, 3: 70 * KB });
    const found = wish(four, seen)!;
    // Shard 0 has 255 of 435 KB/s; the aim is 1.12 times the mean, 121.8: 133.2 have to go. The 95 fit nowhere; the 60 fit into shard 1; then 37 of 2 make it.
    expect(found).toMatchObject({ action: 'move_slots', subject: 'traces', hotShards: [0] });
    expect(found.from).toBeCloseTo(255 / (435 / 4), 5);
    expect(found.slotsMoved).toBe(38);
    expect(found.moves[0]).toEqual({ from: 0, to: 1, slots: expect.arrayContaining([0]), bytesPerSecond: 60 * KB });
    expect(found.to).toBeLessThanOrEqual(policy.targetRatio + 1e-9);
    expect(found.reasons).toMatchObject([{ rule: 'hot-shard', threshold: 1.5, window: WINDOW }]);
    expect(found.unmovable).toEqual([]);
  });

  it('moves to the shards that the score kernel picks, the emptiest in proportion', () => {
    const four = ring(4);
    const light = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [4 * i, 4 * KB]));
    const kernel = createReferenceScore();
    const picks: number[] = [];
    const score = {
      ...kernel,
      pick: () => {
        picks.push(kernel.pick());
        return picks.at(-1)!;
      },
    };
    const seen = view(four, { ...light, 1: 70 * KB, 2: 20 * KB, 3: 60 * KB });
    const state = { signal: 'traces', ring: four, view: seen, windowMs: WINDOW, pastMoves: [] } as const;
    const found = rebalanceWish({ ...state, unitCapacity: Number.POSITIVE_INFINITY }, policy, score, NOW)!;
    expect(picks[0]).toBe(2);
    expect(new Set(found.moves.map(({ to }) => to))).toEqual(new Set(picks));
  });

  it('picks the lightest slot that alone is enough', () => {
    const two = ring(2);
    const seen = view(two, { 0: 100 * KB, 2: 50 * KB, 4: 70 * KB, 1: 20 * KB });
    // Mean 120, aim 134.4: 85.6 of 220 have to go; of 100, 70 and 50 only the 100 is enough, and it fits.
    expect(wish(two, seen)!.moves).toEqual([{ from: 0, to: 1, slots: [0], bytesPerSecond: 100 * KB }]);
  });

  it('explains when one slot alone is too hot for every shard', () => {
    const four = ring(4);
    const found = wish(four, view(four, { 0: 400 * KB, 1: 100 * KB, 2: 100 * KB, 3: 100 * KB }))!;
    expect(found).toMatchObject({
      action: 'cannot_balance',
      slotsMoved: 0,
      moves: [],
      unmovable: [{ shard: 0, slot: 0, slotBytesPerSecond: 400 * KB }],
    });
    expect(found.unmovable[0]!.text).toMatch(/slot 0 alone has 400000 B\/s.*a shard of its own/);
    expect(found.to).toBe(found.from);
  });

  it('does not empty a shard that one slot alone keeps hot', () => {
    const four = ring(4);
    const light = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [8 + 4 * i, 2 * KB]));
    const found = wish(four, view(four, { ...light, 0: 400 * KB, 1: 100 * KB, 2: 100 * KB, 3: 100 * KB }))!;
    expect(found).toMatchObject({ action: 'cannot_balance', slotsMoved: 0, unmovable: [{ shard: 0, slot: 0 }] });
  });

  it('gives away the heavy slots beside one that alone keeps a shard hot', () => {
    const four = ring(4);
    const light = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [12 + 4 * i, 2 * KB]));
    const found = wish(
      four,
      view(four, { ...light, 0: 400 * KB, 4: 40 * KB, 8: 30 * KB, 1: 100 * KB, 2: 100 * KB, 3: 100 * KB }),
    )!;
    expect(found.moves.flatMap(({ slots }) => slots).sort()).toEqual([4, 8]);
    expect(found.unmovable).toMatchObject([{ shard: 0, slot: 0 }]);
  });

  it('finds places for the heavy slots of all hot shards before the light ones of any take the room', () => {
    const four = ring(4);
    const light = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [8 + 4 * i, 3 * KB]));
    // The aim is 198.8 of 300, 210, 100 and 100 KB/s. Light ones of shard 0 in both of the others would leave no room for the 70 of shard 1.
    const seen = view(four, { ...light, 0: 120 * KB, 1: 140 * KB, 5: 70 * KB, 2: 100 * KB, 3: 100 * KB });
    const found = wish(four, seen)!;
    expect(found.to).toBeLessThanOrEqual(policy.targetRatio + 1e-9);
    expect(found.moves.find(({ from }) => from === 1)!.slots).toEqual([5]);
  });

  describe('of a heavy slot that fits nowhere, as all others are filled evenly', () => {
    const four = ring(4);
    const light = Object.fromEntries(
      [1, 2, 3].flatMap((shard) => Array.from({ length: 19 }, (_, i) => [shard + 4 * i, 5 * KB])),
    );
    // Of 175 KB/s at least 46.2 have to go, and there is room for 33.8 in each of the others, which have 95.
    const seen = view(four, { ...light, 0: 115 * KB, 4: 60 * KB });

    it('makes room in the emptiest, whose light slots go to the others', () => {
      const found = wish(four, seen)!;
      const [heavy, ...given] = found.moves;
      expect(heavy).toMatchObject({ from: 0, slots: [4] });
      expect(new Set(given.map(({ from }) => from))).toEqual(new Set([heavy!.to]));
      // 26.2 are wanted of it, at 5 each.
      expect(found.slotsMoved).toBe(7);
      expect(found.to).toBeLessThanOrEqual(policy.targetRatio);
      expect(found.unmovable).toEqual([]);
    });

    it('moves nothing where the moves that are left are too few for that', () => {
      const few = wish(four, seen, { churnSlots: 6 })!;
      expect(few).toMatchObject({ action: 'cannot_balance', slotsMoved: 0, unmovable: [{ shard: 0, slot: 0 }] });
    });
  });

  it('explains when an override holds the load', () => {
    const two = ring(2);
    const found = wish(two, view(two, {}, { 0: 100 * KB }))!;
    expect(found).toMatchObject({ action: 'cannot_balance', unmovable: [{ shard: 0, slot: null }] });
    expect(found.unmovable[0]!.text).toMatch(/override/);
  });

  it('leaves a slot that moved a short while ago where it is', () => {
    const two = ring(2);
    const seen = view(two, { 0: 100 * KB, 2: 50 * KB, 4: 70 * KB, 1: 20 * KB });
    const moved = (ago: number) => [{ at: NOW - ago, slots: [0] }];
    // Without slot 0 the 70 are not enough alone, and the 50 do not fit after them.
    expect(wish(two, seen, {}, moved(policy.holdMs - 1))!.moves).toMatchObject([{ slots: [4] }]);
    expect(wish(two, seen, {}, moved(policy.holdMs))!.moves).toMatchObject([{ slots: [0] }]);
    const alone = wish(two, view(two, { 0: 100 * KB, 1: 20 * KB }), {}, moved(0))!;
    expect(alone.action).toBe('cannot_balance');
    expect(alone.unmovable[0]!.text).toMatch(/slot 0 came a short while ago.*holdMs/);
  });

  it('spends the churn budget of its window and no more, and says so', () => {
    const two = ring(2);
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [2 * i, 2 * KB]));
    const seen = view(two, { ...many, 1: 10 * KB });
    const past = (ago: number, count: number) => [
      { at: NOW - ago, slots: Array.from({ length: count }, (_, i) => 60_001 + 2 * i) },
    ];
    const budget = { churnSlots: 30 };
    expect(wish(two, seen, budget)!.slotsMoved).toBe(30);
    expect(wish(two, seen, budget, past(policy.churnWindowMs - 1, 20))!.slotsMoved).toBe(10);
    expect(wish(two, seen, budget, past(policy.churnWindowMs, 20))!.slotsMoved).toBe(30);
    const none = wish(two, seen, budget, past(0, 30))!;
    expect(none).toMatchObject({ action: 'cannot_balance', slotsMoved: 0 });
    expect(none.unmovable[0]!.text).toMatch(/churn budget is used up/);
  });

  it('holds a shard against its fair share, not the mean, where weights differ', () => {
    const plain = ring(2);
    const weighted = { ...plain, shards: plain.shards.map((shard) => ({ ...shard, weight: shard.id === 0 ? 3 : 1 })) };
    // 150 of 200 is what a shard of three quarters of the weight is there for.
    expect(wish(weighted, view(weighted, { 0: 150 * KB, 1: 50 * KB }))).toBeNull();
    const found = wish(weighted, view(weighted, { 0: 100 * KB, 1: 31 * KB, 3: 44 * KB, 5: 25 * KB }))!;
    expect(found.hotShards).toEqual([1]);
    expect(found.from).toBeCloseTo(2, 9);
    expect(found.moves).toEqual([{ from: 1, to: 0, slots: [3], bytesPerSecond: 44 * KB }]);
  });

  it('shares what reporters summed up evenly over the slots that they did not list', () => {
    const two = ring(2);
    const skewed: SignalRing = {
      ...two,
      slots: Uint16Array.from({ length: 65_536 }, (_, slot) => (slot < 60_000 ? 0 : 1)),
    };
    const seen: SignalView = {
      shardBytesPerSecond: new Map([
        [0, 600 * KB],
        [1, 55.36 * KB],
      ]),
      slotBytesPerSecond: new Map(),
      restBytesPerSecond: 655.36 * KB,
      keys: new Map(),
    };
    const found = wish(skewed, seen, { maxMoves: 65_536, churnSlots: 65_536 })!;
    expect(found.to).toBeLessThanOrEqual(1.15 + 1e-3);
    expect(found.slotsMoved).toBeGreaterThan(20_000);
    const few = wish(skewed, seen, { maxMoves: 10 })!;
    expect(few.slotsMoved).toBe(10);
    expect(few.unmovable[0]!.text).toMatch(/maxMoves/);
  });

  it('moves only slots that the loser owns, once each, makes no shard worse than the target and no hot shard hotter', () => {
    const load = fc.integer({ min: 0, max: 1_000_000 });
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 12 }),
        fc.dictionary(fc.integer({ min: 0, max: 199 }).map(String), load, { maxKeys: 200 }),
        fc.integer({ min: 1, max: 50 }),
        (shards, slots, maxMoves) => {
          const of = ring(shards);
          const seen = view(of, slots as Record<number, number>);
          const found = wish(of, seen, { maxMoves });
          const loads = new Map(of.shards.map(({ id }) => [id, seen.shardBytesPerSecond.get(id) ?? 0]));
          const total = [...loads.values()].reduce((sum, one) => sum + one, 0);
          const mean = total / shards;
          const hottest = Math.max(...loads.values());
          expect(found !== null).toBe(total >= policy.minBytesPerSecond && hottest > policy.hotRatio * mean);
          if (!found) return;
          const before = new Map(loads);
          const moved = new Set<number>();
          for (const { from, to, slots: list, bytesPerSecond } of found.moves) {
            expect(from).not.toBe(to);
            for (const slot of list) {
              expect(of.slots[slot]).toBe(from);
              expect(moved.has(slot)).toBe(false);
              moved.add(slot);
            }
            loads.set(from, loads.get(from)! - bytesPerSecond);
            loads.set(to, loads.get(to)! + bytesPerSecond);
          }
          expect(found.slotsMoved).toBe(moved.size);
          expect(moved.size).toBeLessThanOrEqual(maxMoves);
          const limit = policy.targetRatio * mean * (1 + 1e-9);
          for (const [shard, after] of loads)
            expect(after <= limit || after <= before.get(shard)!, `shard ${shard}`).toBe(true);
          expect(found.to).toBeCloseTo(Math.max(...loads.values()) / mean, 6);
          const above = [...loads].filter(([, after]) => after > limit).map(([shard]) => shard);
          expect(new Set(found.unmovable.map(({ shard }) => shard))).toEqual(new Set(above));
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('whether a rebalance is news', () => {
  const four = ring(4);
  const hot = (...shards: number[]) => {
    const found = wish(four, view(four, { 0: 100 * KB, 1: 10 * KB, 2: 10 * KB, 3: 10 * KB }))!;
    return { ...found, hotShards: shards };
  };
  it('is for a shard that was not hot before, or another ring epoch; not for fewer hot shards or other slots', () => {
    const last = rebalanceFingerprint(hot(10, 2), 3);
    expect(last).toBe('epoch 3 hot 2,10');
    expect(rebalanceIsNews(hot(2, 10), 3, last)).toBe(false);
    expect(rebalanceIsNews(hot(10), 3, last)).toBe(false);
    expect(rebalanceIsNews(hot(2, 1), 3, last)).toBe(true);
    expect(rebalanceIsNews(hot(2, 10), 4, last)).toBe(true);
  });
});
