import { describe, expect, it } from 'vitest';
import { MAX_SHARD_IDS, planShardChange, type ShardPlanning, type ShardWish } from '../../src/control/shard-change.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { applyChange, slotCount } from '../../src/coordination/ring-change.ts';
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';

const first = firstRing(testConfig(), kernels.ring, kernels.hash);

function planning(over: Partial<ShardPlanning> = {}): ShardPlanning {
  return {
    ring: first,
    nextShard: { traces: 4, metrics: 4, logs: 4 },
    topicOf: (signal, shard) => `${signal}_${shard}`,
    assign: (shards, slotBits) =>
      kernels.ring.assign(
        shards.map(({ id, weight }) => ({ shard: id, weight })),
        8,
        slotBits,
      ),
    slotLoad: () => () => 0,
    ...over,
  };
}

function ringAfter(wish: ShardWish, over: Partial<ShardPlanning> = {}): RingEpoch {
  const plan = planShardChange(wish, planning(over));
  if (plan.kind === 'refused') throw new Error(plan.text);
  return applyChange(over.ring ?? first, plan.change, 2);
}

const slotsOf = (ring: RingEpoch, shard: number) =>
  [...ring.signals.traces.slots.keys()].filter((slot) => ring.signals.traces.slots[slot] === shard);

describe('the plan of a change of shards', () => {
  it('takes for a new shard its share, from all in proportion', () => {
    const ring = ringAfter({ kind: 'create', signal: 'traces', name: 'n', capacity: 1 });
    expect(slotsOf(ring, 4).length / 65_536).toBeCloseTo(1 / 5, 1);
    for (const shard of [0, 1, 2, 3]) expect(slotsOf(ring, shard).length).toBeLessThan(slotsOf(first, shard).length);
    expect(ring.signals.traces.shards.at(-1)).toEqual({ id: 4, name: 'n', topic: 'traces_4', weight: 1 });
  });

  it('splits by load where it is measured, with the lower hashes staying', () => {
    const slots = slotsOf(first, 0);
    // The third slot alone has more than half of the load.
    const load = new Map(slots.map((slot, i) => [slot, i === 2 ? 1_000 : 0.01]));
    const ring = ringAfter({ kind: 'split', shard: 'traces-0000' }, { slotLoad: () => (slot) => load.get(slot) ?? 0 });
    expect(slotsOf(ring, 0)).toEqual(slots.slice(0, 3));
    expect(slotsOf(ring, 4)).toEqual(slots.slice(3));
    const even = ringAfter({ kind: 'split', shard: 'traces-0000' });
    expect(slotsOf(even, 0)).toEqual(slots.slice(0, slots.length >>> 1));
  });

  it('leaves a slot on each side of a split, whoever has the load', () => {
    const slots = slotsOf(first, 0);
    for (const heavy of [slots[0]!, slots.at(-1)!]) {
      const ring = ringAfter(
        { kind: 'split', shard: 'traces-0000' },
        { slotLoad: () => (slot) => (slot === heavy ? 5 : 0) },
      );
      expect(slotsOf(ring, 0).length).toBeGreaterThan(0);
      expect(slotsOf(ring, 4).length).toBeGreaterThan(0);
    }
  });

  it('hands overrides on with a merge, and takes them away with a retired shard', () => {
    const traces = { ...first.signals.traces, overrides: new Map([[255n, 1]]) };
    const ring = { ...first, signals: { ...first.signals, traces } };
    const merged = ringAfter({ kind: 'merge', shard: 'traces-0001', into: 'traces-0003' }, { ring });
    expect(merged.signals.traces.overrides).toEqual(new Map([[255n, 3]]));
    expect(slotsOf(merged, 3).length).toBe(slotsOf(first, 3).length + slotsOf(first, 1).length);
    const retired = ringAfter({ kind: 'retire', shard: 'traces-0001' }, { ring });
    expect(retired.signals.traces.overrides.size).toBe(0);
    expect(retired.signals.traces.shards.map(({ id }) => id)).toEqual([0, 2, 3]);
  });

  it('moves no more than is asked for, in few runs', () => {
    const plan = planShardChange({ kind: 'move', from: 'traces-0000', to: 'traces-0001', slots: 9 }, planning());
    if (plan.kind === 'refused') throw new Error(plan.text);
    expect(plan.change.traces!.moves.map(slotCount)).toEqual([9]);
  });

  it('refuses a shard beyond the last id that a kernel can hold', () => {
    const nextShard = { traces: MAX_SHARD_IDS, metrics: 4, logs: 4 };
    const wish: ShardWish = { kind: 'create', signal: 'traces', name: 'n', capacity: 1 };
    expect(planShardChange(wish, planning({ nextShard }))).toEqual({
      kind: 'refused',
      text: expect.stringContaining('has had 4096 shards, retired ones included'),
    });
  });
});
