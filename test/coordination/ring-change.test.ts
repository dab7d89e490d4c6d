import { describe, expect, it } from 'vitest';
import { firstRing } from '../../src/coordination/first-ring.ts';
import {
  applyChange,
  losersOf,
  type RingChange,
  revert,
  ringChangeSchema,
  runsOf,
  type SignalChange,
  slotsOf,
} from '../../src/coordination/ring-change.ts';
import { BY_TRACE_ID } from '../../src/kernels/split/kernel.ts';
import { kernels, testConfig } from './cluster.ts';

const base = firstRing(testConfig(), kernels.ring, kernels.hash);
const own = (shard: number) =>
  [...base.signals.traces.slots.keys()].filter((slot) => base.signals.traces.slots[slot] === shard);
const added = { id: 4, name: 'new', topic: 't4', weight: 2 };
const change = (of: Partial<SignalChange>): RingChange => ({
  traces: { moves: [], added: [], retired: [], overrides: [], ...of },
});

describe('runs of slots', () => {
  it.each([[[]], [[0]], [[3, 4, 5]], [[0, 2, 3, 9, 65_535]]])('say what the slots %j are', (slots) => {
    expect(slotsOf(runsOf(slots))).toEqual(slots);
  });

  it('are one for slots side by side', () => {
    expect(runsOf([5, 6, 7, 9])).toEqual([5, 3, 9, 1]);
  });
});

describe('a change of the ring', () => {
  it('makes the next epoch of the last, which stays as it was', () => {
    const slots = own(1).slice(0, 10);
    const before = base.signals.traces.slots.slice();
    const move = { from: 1, to: 4, runs: runsOf(slots) };
    const next = applyChange(
      base,
      change({ added: [added], moves: [move], overrides: [{ keyHash: '00000000000000ff', shard: 2 }] }),
      2,
    );
    expect(next.epoch).toBe(2);
    // Shard 3 loses the key that goes to 2: it is in slot 0.
    expect(base.signals.traces.slots[0]).toBe(3);
    expect(next.touched).toEqual({ traces: [1, 2, 3, 4], metrics: [], logs: [] });
    expect(next.signals.logs).toBe(base.signals.logs);
    expect(next.signals.traces.shards.at(-1)).toEqual(added);
    expect(next.signals.traces.overrides.get(255n)).toBe(2);
    expect(next.signals.traces.hotKeys).toBeUndefined();
    const differ = [...before.keys()].filter((slot) => next.signals.traces.slots[slot] !== before[slot]);
    expect(differ).toEqual(slots);
    expect(base.signals.traces.slots).toEqual(before);
  });

  it('touches every shard when it spreads a key by trace id, or gives it back to its slot', () => {
    const all = base.signals.traces.shards.map(({ id }) => id);
    const overrides = [{ keyHash: '00000000000000ff', shard: BY_TRACE_ID, key: 'service.name=checkout' }];
    const parsed = ringChangeSchema.parse(JSON.parse(JSON.stringify(change({ overrides }))));
    const spread = applyChange(base, parsed, 2);
    expect(spread.signals.traces.overrides).toEqual(new Map([[255n, BY_TRACE_ID]]));
    expect(spread.signals.traces.hotKeys).toEqual(new Map([[255n, 'service.name=checkout']]));
    expect(spread.touched.traces).toEqual(all);
    expect([...losersOf(base.signals.traces, parsed.traces!)]).toEqual([3]);
    const back = change({ overrides: [{ keyHash: '00000000000000ff', shard: null }] });
    const released = applyChange(spread, back, 3);
    expect(released.signals.traces).toEqual(base.signals.traces);
    expect(released.touched.traces).toEqual(all);
    expect([...losersOf(spread.signals.traces, back.traces!)].sort()).toEqual(all);
  });

  it('is taken back by an epoch with the tables of before, that touches the same shards', () => {
    const proposed = applyChange(base, change({ moves: [{ from: 1, to: 2, runs: runsOf(own(1)) }], retired: [1] }), 2);
    expect(proposed.signals.traces.shards.map(({ id }) => id)).toEqual([0, 2, 3]);
    expect(revert(base, proposed, 3)).toEqual({ epoch: 3, signals: base.signals, touched: proposed.touched });
  });

  it.each<[string, Partial<SignalChange>, RegExp]>([
    [
      'moves a slot from who does not own it',
      { moves: [{ from: 1, to: 2, runs: runsOf(own(0).slice(0, 1)) }] },
      /is shard 0's, not 1's/,
    ],
    ['moves slots to a shard that is none', { moves: [{ from: 0, to: 9, runs: [] }] }, /go to shard 9, which is none/],
    ['adds a shard that is there', { added: [{ ...added, id: 3 }] }, /there is a shard 3 already/],
    ['retires a shard that is none', { retired: [7] }, /shard 7 is retired/],
    ['retires a shard that still has slots', { retired: [3] }, /are left with shard 3/],
    [
      'overrides a key to a shard that is none',
      { overrides: [{ keyHash: '00000000000000ff', shard: 8 }] },
      /are left with shard 8/,
    ],
  ])('does not fit when it %s', (_what, of, says) => {
    expect(() => applyChange(base, change(of), 2)).toThrow(says);
  });
});
