import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { capacityFingerprint, capacityIsNews, capacityWish } from '../../src/control/capacity.ts';
import type { CapacityState } from '../../src/control/capacity-planning.ts';
import type { RebalanceProposal } from '../../src/control/decision.ts';
import type { SignalView } from '../../src/control/load-view.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';

const KB = 1_000;
const NOW = 1_000_000_000;
const {
  capacity,
  rebalance,
  ring: ringPolicy,
} = defaultConfig({
  control: { rebalance: { minBytesPerSecond: 10_000 } },
}).control;
/** A shard of weight 1 can carry 100 KB/s. */
const policy = {
  rebalance,
  ring: ringPolicy,
  capacity: { ...capacity, bytesPerSecond: 100 * KB, minShards: 2, maxShards: 6 },
};

/** Slot s belongs to shard s mod the number of shards. */
function ringOf(...weights: number[]): SignalRing {
  return {
    key: 'trace_id',
    slotBits: 16,
    slots: Uint16Array.from({ length: 65_536 }, (_, slot) => slot % weights.length),
    shards: weights.map((weight, id) => ({ id, name: `s${id}`, topic: `t${id}`, weight })),
    overrides: new Map(),
  };
}

/** Each shard's load lies on its first ten slots, evenly, unless told otherwise. */
function viewOf(ring: SignalRing, loads: readonly number[], slots = new Map<number, number>()): SignalView {
  const count = ring.shards.length;
  const even = loads.flatMap((load, id) =>
    Array.from({ length: 10 }, (_, i): [number, number] => [id + i * count, load / 10]),
  );
  return {
    shardBytesPerSecond: new Map(loads.map((load, id) => [id, load])),
    slotBytesPerSecond: slots.size > 0 ? slots : new Map(even),
    restBytesPerSecond: 0,
    keys: new Map(),
  };
}

function wish(
  loads: readonly number[],
  over: Partial<CapacityState> = {},
  limits: Partial<typeof capacity> = {},
  moves: Partial<typeof rebalance> = {},
) {
  const ring = over.ring ?? ringOf(...loads.map(() => 1));
  return capacityWish(
    {
      ...{ signal: 'traces', ring, view: viewOf(ring, loads), windowMs: 15_000 },
      ...{ pastMoves: [], reshapedAt: new Map(), rebalance: null, ...over },
    },
    { ...policy, capacity: { ...policy.capacity, ...limits }, rebalance: { ...rebalance, ...moves } },
    createReferenceScore(),
    NOW,
  );
}

const movesOf = (action: RebalanceProposal['action'], unmovable: RebalanceProposal['unmovable'] = []) =>
  ({ action, unmovable }) as unknown as RebalanceProposal;
const KB_OF = (...loads: number[]) => loads.map((load) => load * KB);

describe('the split of a signal', () => {
  it('is wished for when a shard is above its capacity and all others are as good as full', () => {
    expect(wish(KB_OF(100, 95, 95))).toBeNull();
    const found = wish(KB_OF(101, 95, 120))!;
    expect(found).toMatchObject({
      action: 'split',
      subject: 'traces',
      shard: 2,
      overCapacity: [2, 0],
      from: 1.2,
      shards: { before: 3, after: 4 },
      alternatives: [{ action: 'move_slots', text: expect.stringMatching(/together are at 105.3% of what they can/) }],
      reasons: [
        { rule: 'over-capacity', observed: 120 * KB, threshold: 100 * KB, window: 15_000, text: expect.any(String) },
        { rule: 'over-capacity', observed: 101 * KB },
      ],
    });
    expect(found.fill.before).toBeCloseTo(316 / 300);
    expect(found.fill.after).toBeCloseTo(316 / 400);
    expect(found.distribution.before.maxOverMean).toBeCloseTo(120 / (316 / 3));
    // Each of the ten slots of a shard is 9.5 to 12 KB/s, and the level 79 KB/s.
    expect(found.moves.map(({ from, to, runs }) => [from, to, runs.length / 2])).toEqual([
      [0, null, 2],
      [1, null, 2],
      [2, null, 3],
    ]);
    expect(found.slotsMoved).toBe(7);
    expect(found.bytesPerSecond).toBeCloseTo((2 * 10.1 + 2 * 9.5 + 3 * 12) * KB);
    expect(found.copiedBytes).toBe(Math.round(found.bytesPerSecond * 30));
    expect(found.to).toBeCloseTo(0.84);
    expect(found.distribution.after.maxOverMean).toBeCloseTo(84 / (316 / 4));
  });

  it('goes by what a shard is meant to carry, not by its load alone', () => {
    const ring = ringOf(3, 1);
    expect(wish(KB_OF(290, 99), { ring })).toBeNull();
    expect(wish(KB_OF(290, 110), { ring })).toMatchObject({ action: 'split', shard: 1 });
  });

  it('waits for slot moves that are to be carried out, and for slots that cannot move again yet', () => {
    expect(wish(KB_OF(120, 95, 95), { rebalance: movesOf('move_slots') })).toBeNull();
    expect(wish(KB_OF(120, 95, 95), { rebalance: movesOf('cannot_balance') })).toMatchObject({ action: 'split' });
    // There is room in the others: it is split only because none of its slots can move into it.
    const why = { shard: 0, slot: 0, slotBytesPerSecond: 61 * KB, text: 'slot 0 fits nowhere' };
    const room = { rebalance: movesOf('cannot_balance', [why]) };
    expect(wish(KB_OF(120, 40, 40), room)!.alternatives).toEqual([{ action: 'move_slots', text: why.text }]);
    const moved = (ago: number) => [{ at: NOW - ago, slots: [0] }];
    expect(wish(KB_OF(120, 40, 40), { ...room, pastMoves: moved(rebalance.holdMs - 1) })).toBeNull();
    expect(wish(KB_OF(120, 40, 40), { ...room, pastMoves: moved(rebalance.holdMs) })).not.toBeNull();
  });

  it('says that slots could move where slot moves are not carried out', () => {
    const found = wish(KB_OF(120, 40, 40), { rebalance: movesOf('move_slots') }, {}, { apply: false });
    expect(found).toMatchObject({
      action: 'split',
      alternatives: [{ action: 'move_slots', text: expect.stringMatching(/control\.rebalance\.apply/) }],
    });
  });

  it('is not wished for, with the reason, where it would not help or may not be', () => {
    const three = ringOf(1, 1, 1);
    const heavy = new Map([
      [0, 105 * KB],
      [3, 15 * KB],
      [1, 95 * KB],
      [2, 95 * KB],
    ]);
    const why = (found: ReturnType<typeof wish>) => {
      expect(found).toMatchObject({ action: 'cannot_split', slotsMoved: 0, to: found!.from });
      return found!.alternatives.at(-1)!.text;
    };
    const loads = KB_OF(120, 95, 95);
    expect(why(wish(loads, { ring: three, view: viewOf(three, loads, heavy) }))).toMatch(
      /slot 0 of shard s0 alone has 105000 B\/s/,
    );
    const overridden = { ...three, overrides: new Map([[7n, 0]]) };
    const beside = viewOf(overridden, KB_OF(120, 95, 95), new Map([[0, 10 * KB]]));
    expect(why(wish(loads, { ring: overridden, view: beside }))).toMatch(
      /keys that overrides send to shard s0 have 110000/,
    );
    expect(why(wish(loads, {}, { maxShards: 3 }))).toMatch(/3 shards already \(control.capacity.maxShards\)/);
    const spent = [{ at: NOW - 1, slots: Array.from({ length: 16_380 }, (_, i) => 3 * i + 1) }];
    expect(why(wish(loads, { pastMoves: spent }))).toMatch(/16380 of the 16384 of the churn budget are used up/);
    // Where nothing was moved lately even one that is above all budgets may be.
    const one = ringOf(1);
    const alike = { ...viewOf(one, [65_535], new Map([[0, 0]])), restBytesPerSecond: 65_535 };
    expect(wish([65_535], { ring: one, view: alike }, { minShards: 1, bytesPerSecond: 60_000 })).toMatchObject({
      action: 'split',
      slotsMoved: 32_767,
      moves: [{ from: 0, to: null, runs: [32_769, 32_767] }],
    });
  });

  it('takes the next one where the fullest cannot be split', () => {
    const three = ringOf(1, 1, 1);
    const slots = new Map([
      [0, 130 * KB],
      ...Array.from({ length: 10 }, (_, i): [number, number] => [1 + 3 * i, 11 * KB]),
    ]);
    expect(
      wish(KB_OF(130, 110, 95), { ring: three, view: viewOf(three, [130 * KB, 110 * KB, 95 * KB], slots) }),
    ).toMatchObject({
      action: 'split',
      shard: 1,
      overCapacity: [0, 1],
    });
  });
});

describe('the merge of shards', () => {
  it('is wished for when two fit into half of one, and the others have room to spare: what one has is shared out', () => {
    expect(wish(KB_OF(80, 26, 25, 30))).toBeNull();
    const found = wish(KB_OF(60, 20, 26, 24))!;
    expect(found).toMatchObject({
      action: 'merge',
      shard: 1,
      from: 0.6,
      to: 0.6,
      shards: { before: 4, after: 3 },
      slotsMoved: 16_384,
      bytesPerSecond: 20 * KB,
      copiedBytes: 20 * KB * 30,
      overCapacity: [],
      reasons: [{ rule: 'under-capacity', observed: 44 * KB, threshold: 50 * KB }],
      alternatives: [{ action: 'keep', text: expect.stringMatching(/are at 32.5% .*one less would be at 43.3%/) }],
    });
    // Shard 0 is above half already. The slots without load are for all: nobody knows what they will bring.
    const gained = new Map(found.moves.map(({ to, bytesPerSecond }) => [to, bytesPerSecond / KB]));
    expect(gained).toEqual(
      new Map([
        [0, 0],
        [2, expect.closeTo(10)],
        [3, expect.closeTo(10)],
      ]),
    );
    // The last two are light, but the others are too full to do without one.
    expect(wish(KB_OF(90, 90, 5, 5))).toBeNull();
  });

  it('fills those more that can carry more', () => {
    const found = wish(KB_OF(76, 20, 19), { ring: ringOf(4, 1, 1) })!;
    expect(found).toMatchObject({
      ...{ shard: 2, to: expect.closeTo(0.238) },
      moves: [
        { to: 0, bytesPerSecond: expect.closeTo(8 * 1_900) },
        { to: 1, bytesPerSecond: expect.closeTo(2 * 1_900) },
      ],
    });
  });

  it('keeps the least number of shards, and all of them when there is next to no load', () => {
    expect(wish(KB_OF(10, 10, 10), {}, { minShards: 3 })).toBeNull();
    expect(wish(KB_OF(10, 10, 10), {}, { minShards: 2 })).not.toBeNull();
    expect(wish([3 * KB, 3 * KB, 3 * KB])).toBeNull();
    expect(wish([0, 0, 0])).toBeNull();
  });

  it('leaves alone what was changed a short while ago, or is for a key alone', () => {
    const loads = KB_OF(10, 11, 12);
    const at = (ago: number) => ({ reshapedAt: new Map([[0, NOW - ago]]) });
    expect(wish(loads)).toMatchObject({ shard: 0 });
    expect(wish(loads, at(capacity.holdMs))).toMatchObject({ shard: 0 });
    expect(wish(loads, at(capacity.holdMs - 1))).toMatchObject({ shard: 1 });
    const isolated = { ...ringOf(1, 1, 1), overrides: new Map([[7n, 1]]) };
    expect(wish(loads, { ring: isolated })).toMatchObject({ shard: 0, moves: [{ from: 0, to: 2 }] });
    // Slots that came to it might go back by the merge.
    const moved = [{ at: NOW - rebalance.holdMs + 1, slots: [0] }];
    expect(wish(KB_OF(10, 11, 12, 13, 14), { pastMoves: moved })).toMatchObject({ shard: 1 });
  });

  it('is not wished for beyond the churn budget', () => {
    const spent = [{ at: NOW - rebalance.holdMs, slots: [2] }];
    expect(wish(KB_OF(10, 11, 12), { pastMoves: spent })).toBeNull();
    expect(wish(KB_OF(10, 11, 12, 13, 13), { pastMoves: spent })).not.toBeNull();
  });
});

describe('whether a decision on capacity is news', () => {
  it('is for another ring epoch or action, or a shard that was not full before; not for another shard to merge', () => {
    const split = wish(KB_OF(101, 95, 120))!;
    const last = capacityFingerprint(split, 3);
    expect(last).toBe('epoch 3 split 0,2');
    expect(capacityIsNews({ ...split, overCapacity: [2] }, 3, last)).toBe(false);
    expect(capacityIsNews({ ...split, overCapacity: [1, 2] }, 3, last)).toBe(true);
    expect(capacityIsNews(split, 4, last)).toBe(true);
    expect(capacityIsNews({ ...split, action: 'cannot_split' }, 3, last)).toBe(true);
    const merge = wish(KB_OF(10, 11, 12))!;
    expect(capacityFingerprint(merge, 3)).toBe('epoch 3 merge 0');
    expect(capacityIsNews({ ...merge, shard: 1 }, 3, 'epoch 3 merge 0')).toBe(false);
  });
});
