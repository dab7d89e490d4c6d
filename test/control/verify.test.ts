import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import type { SignalView } from '../../src/control/load-view.ts';
import { type PlanInForce, verifyPlan } from '../../src/control/verify.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';

const policy = defaultConfig().control.rebalance;
const WINDOW = 15_000;
const KB = 1_000;
const ACTIVE_AT = 1_000_000;

/** Slot s belongs to shard s mod 4, but for slots 0 and 4, which the plan has brought from shard 0 to shards 1 and 2. */
const ring: SignalRing = {
  key: 'trace_id',
  slotBits: 16,
  slots: Uint16Array.from({ length: 65_536 }, (_, slot) => (slot === 0 ? 1 : slot === 4 ? 2 : slot % 4)),
  shards: Array.from({ length: 4 }, (_, id) => ({ id, name: `s${id}`, topic: `t${id}`, weight: 1 })),
  overrides: new Map(),
};
const plan: PlanInForce = {
  decisionId: '7-1',
  signal: 'traces',
  epoch: 5,
  activeAt: ACTIVE_AT,
  from: 1.6,
  to: 1.1,
  keys: [],
  moves: [
    { from: 0, to: 1, slots: [0] },
    { from: 0, to: 2, slots: [4] },
  ],
};
/** Loads in KB/s. */
const view = (shards: readonly number[], slots: Record<number, number>): SignalView => ({
  shardBytesPerSecond: new Map(shards.map((load, shard) => [shard, load * KB])),
  slotBytesPerSecond: new Map(Object.entries(slots).map(([slot, load]) => [Number(slot), load * KB])),
  restBytesPerSecond: 0,
  keys: new Map(),
});
const verify = (seen: SignalView, now = ACTIVE_AT + WINDOW, over: Partial<typeof policy> = {}) =>
  verifyPlan(plan, ring, seen, WINDOW, { ...policy, ...over }, now);

describe('the verdict on moves that are in force', () => {
  const worse = view([60, 180, 80, 80], { 0: 100, 4: 10 });

  it('waits until a whole window has been measured under them', () => {
    expect(verify(worse, ACTIVE_AT + WINDOW - 1)).toBeNull();
    expect(verify(worse)).not.toBeNull();
  });

  it('keeps what is no worse than before, also where it is not what was planned', () => {
    expect(verify(view([100, 100, 100, 100], { 0: 20 }))).toEqual({ plan, measured: 1, reversal: null });
    // 1.1 * 1.6 is the limit.
    expect(verify(view([70, 176, 80, 74], { 0: 100 }))).toMatchObject({ measured: 1.76, reversal: null });
  });

  it('takes all of them back when the hottest shard is hotter than before by more than the margin', () => {
    const { measured, reversal } = verify(worse)!;
    expect(measured).toBeCloseTo(1.8, 9);
    expect(reversal).toMatchObject({
      action: 'reverse',
      subject: 'traces',
      reverses: '7-1',
      slotsMoved: 2,
      hotShards: [1],
      moves: [
        { from: 1, to: 0, slots: [0], bytesPerSecond: 100 * KB },
        { from: 2, to: 0, slots: [4], bytesPerSecond: 10 * KB },
      ],
      reasons: [{ rule: 'plan-made-worse', window: WINDOW }],
    });
    // Shard 0 then has 60, 100 and 10 of 400.
    expect(reversal!.to).toBeCloseTo(1.7, 9);
    expect(verify(worse, undefined, { reverseMargin: 0.2 })!.reversal).toBeNull();
  });

  it('blames the moves for nothing that taking them back would not relieve', () => {
    // Shard 3 has become hot on its own.
    expect(verify(view([50, 60, 50, 240], { 0: 20, 4: 10 }))!.reversal).toBeNull();
    // Slot 0 makes any shard hot.
    expect(verify(view([60, 250, 50, 40], { 0: 240 }))!.reversal).toBeNull();
  });

  it('takes the override of a key back where its shard has become the hottest by it', () => {
    const keyHash = '0000000000000005';
    const isolated = { ...ring, overrides: new Map([[5n, 3]]) };
    const of = { ...plan, moves: [], keys: [keyHash] };
    const rate = { bytesPerSecond: 60 * KB, errorBytesPerSecond: KB, name: 'trace_id=05' };
    const judged = (shards: readonly number[]) =>
      verifyPlan(
        of,
        isolated,
        { ...view(shards, {}), keys: new Map([[keyHash, rate]]) },
        WINDOW,
        policy,
        ACTIVE_AT + WINDOW,
      )!;
    // Slot 0, where the key comes from, is shard 1's.
    expect(judged([60, 60, 100, 180]).reversal).toMatchObject({
      action: 'release_key',
      key: 'trace_id=05',
      reverses: '7-1',
      fromShard: 3,
      toShard: 1,
      from: 1.8,
      to: 1.2,
      reasons: [{ rule: 'plan-made-worse' }],
    });
    expect(judged([60, 180, 60, 100]).reversal).toBeNull();
  });

  it('takes nothing back of a signal with too little load to judge', () => {
    expect(verify(view([0.7, 1.8, 0.8, 0.7], { 0: 1, 4: 0.1 }))).toMatchObject({ reversal: null });
  });
});
