import { describe, expect, it } from 'vitest';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import type { CarriedChange } from '../../src/runtime/carry-changes.ts';
import { carryRouting, carryRoutings } from '../../src/runtime/carry-routing.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';

const { traces } = firstRing(testConfig(), kernels.ring, kernels.hash).signals;
const slotOf = (shard: number) => traces.slots.indexOf(shard);
const hashIn = (slot: number, low = 1n) => (BigInt(slot) << 48n) | low;

it('copies of a shard what it loses, by its slot or by an override, and nothing else', () => {
  const [moved, foreign] = [slotOf(1), slotOf(0)];
  const slots = traces.slots.slice();
  slots[moved] = 2;
  const base: SignalRing = {
    ...traces,
    overrides: new Map([
      // Held by shard 1 whatever becomes of their slots; the second goes to 3 by the change, the third loses its override.
      [hashIn(moved, 5n), 1],
      [hashIn(foreign, 6n), 1],
      [hashIn(foreign, 7n), 1],
      // Held by another one, though its slot is shard 1's.
      [hashIn(moved, 8n), 0],
    ]),
  };
  const overrides = new Map([...base.overrides].filter(([hash]) => hash !== hashIn(foreign, 7n)));
  overrides.set(hashIn(foreign, 6n), 3);
  const routing = carryRouting(base, { ...base, slots, overrides }, 1);
  expect(routing.slots[moved]).toBe(2);
  expect(routing.slots.filter((shard) => shard !== 1)).toHaveLength(1);
  expect([5n, 6n, 7n].map((low, i) => routing.overrides.get(hashIn(i === 0 ? moved : foreign, low)))).toEqual([
    1, 3, 0,
  ]);
  expect(routing.overrides.get(hashIn(moved, 8n))).toBe(1);
  expect(routing.shardCount).toBe(4);
});

describe('what is taken out of a shard to be copied', () => {
  const [moved, other] = [slotOf(1), traces.slots.lastIndexOf(1)];
  const withSlot = (shard: number, slot = moved): SignalRing => ({ ...traces, slots: traces.slots.with(slot, shard) });
  /** By ring epoch 2 and later, in order: from where to where the slot has moved. */
  const past = (...path: readonly [from: number, to: number][]): CarriedChange[] =>
    path.map(([from, to], i) => ({ epoch: i + 2, abandons: null, change: moves(from, to) }));
  const moves = (from: number, to: number) => ({
    ...{ moves: [{ from, to, runs: [moved, 1] }], added: [], retired: [], overrides: [] },
  });
  /** Where what came by `ringEpoch` to `home` goes when the slot moves from `from` to `to`. */
  const goal = (changes: readonly CarriedChange[], [from, to]: [number, number], ringEpoch: number, home: number) =>
    carryRoutings(withSlot(from), withSlot(to), from, changes)({ ringEpoch, shard: home }).first.slots[moved];

  it('is all that moves, where nothing has moved before', () => {
    expect(goal([], [1, 2], 1, 1)).toBe(2);
  });

  it('is not what came from the shard that the slot goes back to, or was copied to it on the way', () => {
    expect(goal(past([1, 2]), [2, 1], 1, 1)).toBe(2);
    expect(goal(past([1, 2]), [2, 1], 2, 2)).toBe(1);
    // There and back, and there again: the original is copied once.
    expect(goal(past([1, 2], [2, 1]), [1, 2], 1, 1)).toBe(1);
    expect(goal(past([1, 2], [2, 3], [3, 1]), [1, 3], 1, 1)).toBe(1);
    expect(goal(past([1, 2], [2, 3], [3, 1]), [1, 0], 1, 1)).toBe(0);
    expect(goal(past([1, 2], [2, 1]), [1, 2], 3, 1)).toBe(2);
  });

  it('is what a change that was not copied for has left behind', () => {
    // From 1 to 2 without copies: what came to 1 before is in none of the shards that came after.
    expect(goal(past([1, 2], [2, 3]).slice(1), [3, 2], 1, 1)).toBe(2);
  });

  it('is not what was copied back when a change was taken back, but all that the change had not touched', () => {
    const takenBack: CarriedChange = { epoch: 3, abandons: 2, change: moves(2, 1) };
    expect(goal([takenBack], [1, 2], 1, 1)).toBe(2);
    expect(goal([takenBack], [1, 2], 2, 2)).toBe(1);
    expect(goal([takenBack], [1, 2], 3, 1)).toBe(2);
  });

  it('looks at each slot and each key by itself', () => {
    const key = hashIn(other, 5n);
    const changes: CarriedChange[] = [
      ...past([1, 2], [2, 1]),
      { epoch: 4, abandons: null, change: { ...moves(1, 1), moves: [], overrides: [keyTo(key, 2)] } },
      { epoch: 5, abandons: null, change: { ...moves(1, 1), moves: [], overrides: [keyTo(key, null)] } },
    ];
    const slots = traces.slots.with(moved, 2).with(other, 2);
    const next = { ...traces, slots, overrides: new Map([[key, 2]]) };
    const routing = (ringEpoch: number) =>
      carryRoutings({ ...traces, overrides: new Map() }, next, 1, changes)({ ringEpoch, shard: 1 }).first;
    expect([routing(1).slots[moved], routing(1).slots[other]]).toEqual([1, 2]);
    expect([1, 5].map((ringEpoch) => routing(ringEpoch).overrides.get(key))).toEqual([1, 2]);
  });
  const keyTo = (hash: bigint, shard: number | null) => ({ keyHash: hash.toString(16).padStart(16, '0'), shard });
});
