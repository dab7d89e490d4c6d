import { describe, expect, it } from 'vitest';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import { BY_TRACE_ID } from '../../src/kernels/split/kernel.ts';
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

  it('is what a key got in its shard while its slot went elsewhere without it', () => {
    const key = hashIn(moved, 5n);
    const of = (epoch: number, change: CarriedChange['change']): CarriedChange => ({ epoch, abandons: null, change });
    const toShard = (shard: number | null) => ({ ...moves(1, 1), moves: [], overrides: [keyTo(key, shard)] });
    const past = [of(2, toShard(1)), of(3, moves(1, 2))];
    const before = { ...withSlot(2), overrides: new Map([[key, 1]]) };
    const release = (ringEpoch: number) =>
      carryRoutings(before, withSlot(2), 1, past)({ ringEpoch, shard: 1 }).first.overrides.get(key);
    expect([1, 2, 3].map(release)).toEqual([2, 2, 2]);
    // Released it has gone where the slot is by now; when that moves on and comes back, it is not copied there again.
    const later = [...past, of(4, toShard(null)), of(5, moves(2, 3))];
    const again = (to: number) =>
      carryRoutings(withSlot(3), withSlot(to), 3, later)({ ringEpoch: 2, shard: 1 }).first.overrides.get(key);
    expect([0, 1, 2].map(again)).toEqual([0, 3, 3]);
  });

  it('is what a key has that the configuration has held, wherever its slot has gone meanwhile', () => {
    const key = hashIn(moved, 5n);
    const before = { ...withSlot(2), overrides: new Map([[key, 1]]) };
    const past: CarriedChange[] = [{ epoch: 2, abandons: null, change: moves(1, 2) }];
    const routing = carryRoutings(before, withSlot(2), 1, past)({ ringEpoch: 1, shard: 1 });
    expect(routing.first.overrides.get(key)).toBe(2);
  });

  it('is not what a key got before it was spread, and has been copied, when a later move is taken back', () => {
    const key = hashIn(other, 5n);
    const spread: CarriedChange = {
      ...{ epoch: 2, abandons: null },
      change: { ...moves(1, 1), moves: [], overrides: [{ ...keyTo(key, null), shard: BY_TRACE_ID }] },
    };
    const withKey = (ring: SignalRing): SignalRing => ({ ...ring, overrides: new Map([[key, BY_TRACE_ID]]) });
    // Epoch 3 was to bring the slot from 2 to 1, where the key's items of epoch 1 are: by epoch 2 they are copied to 2, and by 4 not again.
    const [inForce, taken] = [withKey(withSlot(2)), withKey(withSlot(1))];
    const { first, then } = carryRoutings(taken, inForce, 1, [spread], inForce)({ ringEpoch: 1, shard: 1 });
    const goal = then.get(first.overrides.get(key) as number)?.slots[moved] ?? 1;
    expect(goal).toBe(1);
  });

  const keyTo = (hash: bigint, shard: number | null) => ({ keyHash: hash.toString(16).padStart(16, '0'), shard });
});
