import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type LoadedShard,
  NEW_SHARD,
  planNewShard,
  planWithout,
  type ReshapePlan,
} from '../../src/control/reshape-plan.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';

const UNIT = 1_000;
const SLOTS = 256;

interface Situation {
  readonly shards: readonly LoadedShard[];
  readonly slots: Uint16Array;
  readonly slotLoad: (slot: number) => number;
  /** Of all its slots. */
  readonly heaviest: number;
}

/** Slots come in runs, some of them without load. */
const situation = fc
  .record({
    weights: fc.array(fc.constantFrom(1, 1, 2, 4), { minLength: 2, maxLength: 9 }),
    owners: fc.array(fc.record({ owner: fc.nat(), run: fc.integer({ min: 1, max: 12 }) }), {
      minLength: 30,
      maxLength: 40,
    }),
    shares: fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 100 })), {
      minLength: SLOTS,
      maxLength: SLOTS,
    }),
    fill: fc.double({ min: 0.02, max: 1.3, noNaN: true }),
  })
  .map(({ weights, owners, shares, fill }): Situation => {
    const slots = new Uint16Array(SLOTS);
    for (let at = 0, i = 0; at < SLOTS; i++) {
      const { owner, run } = owners[i % owners.length]!;
      slots.fill(owner % weights.length, at, at + run);
      at += run;
    }
    const capacity = weights.reduce((sum, weight) => sum + weight * UNIT, 0);
    const scale =
      (fill * capacity) /
      Math.max(
        1,
        shares.reduce((sum, share) => sum + share, 0),
      );
    const slotLoad = (slot: number) => shares[slot]! * scale;
    const shards = weights.map((weight, id): LoadedShard => {
      const load = shares.reduce((sum, _, slot) => sum + (slots[slot] === id ? slotLoad(slot) : 0), 0);
      return { id, name: `s${id}`, topic: `t${id}`, weight, load, capacity: weight * UNIT };
    });
    return { shards, slots, slotLoad, heaviest: Math.max(...shares) * scale };
  });

const options = ({ slots, slotLoad }: Situation) => ({ ring: { slots }, slotLoad, score: createReferenceScore() });
const slotsOf = (slots: Uint16Array, shard: number) => [...slots.keys()].filter((slot) => slots[slot] === shard);

/** The slot table afterwards, in which each slot has one owner: it is moved once at most, away from whose it is. */
function tableAfter({ slots }: Situation, { moves }: ReshapePlan): Int32Array {
  const after = Int32Array.from(slots);
  for (const { from, to, slots: moved } of moves)
    for (const slot of moved) {
      expect(after[slot]).toBe(from);
      after[slot] = to;
    }
  return after;
}

function expectLoads({ slotLoad }: Situation, { loads }: ReshapePlan, after: Int32Array): void {
  for (const [shard, load] of loads)
    expect(load).toBeCloseTo(
      after.reduce((sum, owner, slot) => sum + (owner === shard ? slotLoad(slot) : 0), 0),
      3,
    );
}

describe('a shard that goes', () => {
  it('gives all its slots and nobody else any, to shards that do not get above what they may be filled to', () => {
    let taken = 0;
    fc.assert(
      fc.property(situation, fc.double({ min: 0.2, max: 1, noNaN: true }), (of, maxFill) => {
        const [goes, ...takers] = [...of.shards].sort((a, b) => a.load - b.load) as [LoadedShard, ...LoadedShard[]];
        const plan = planWithout(goes, takers, maxFill, options(of));
        if (!plan) {
          const rooms = takers.map(({ load, capacity }) => Math.max(0, maxFill * capacity - load));
          // Each of them could have taken no other whole slot.
          expect(rooms.reduce((sum, room) => sum + room, 0)).toBeLessThan(goes.load + takers.length * of.heaviest);
          return;
        }
        taken++;
        const after = tableAfter(of, plan);
        expect(plan.moves.flatMap(({ slots }) => slots).sort((a, b) => a - b)).toEqual(slotsOf(of.slots, goes.id));
        expect(plan.moves.every(({ from, to }) => from === goes.id && to !== goes.id)).toBe(true);
        expectLoads(of, plan, after);
        for (const { id, load, capacity } of takers)
          expect(plan.loads.get(id)!).toBeLessThanOrEqual(Math.max(load, maxFill * capacity) + 1e-6);
      }),
      { numRuns: 300 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  it('leaves the others as even as its slots allow: no gainer is ahead of another shard by more than a slot', () => {
    fc.assert(
      fc.property(situation, (of) => {
        const [goes, ...takers] = [...of.shards].sort((a, b) => a.load - b.load) as [LoadedShard, ...LoadedShard[]];
        const roomy = takers.map((shard) => ({ ...shard, capacity: 1e9 * shard.weight }));
        const { loads, moves } = planWithout(goes, roomy, 1, options(of))!;
        const weightOf = new Map(takers.map(({ id, weight }) => [id, weight]));
        const fill = (shard: number, more = 0) => (loads.get(shard)! + more) / weightOf.get(shard)!;
        for (const { to, bytesPerSecond } of moves)
          if (bytesPerSecond > 0)
            for (const { id } of takers) expect(fill(to, -of.heaviest)).toBeLessThanOrEqual(fill(id) + 1e-6);
      }),
      { numRuns: 200 },
    );
  });

  it('changes the table in few places where its slots bring the same', () => {
    const slots = Uint16Array.from({ length: 4_096 }, (_, slot) => slot >>> 10);
    const shards = [0, 1, 2, 3].map((id) => ({ id, name: '', topic: '', weight: 1, load: 1_024, capacity: 8_192 }));
    const plan = planWithout(shards[1]!, [shards[0]!, shards[2]!, shards[3]!], 0.5, {
      ...{ ring: { slots }, slotLoad: () => 1, score: createReferenceScore() },
    })!;
    expect(
      plan.moves.map(({ to, slots: moved }) => [to, moved[0], moved.at(-1)! - moved[0]! + 1, moved.length]),
    ).toEqual([
      [0, 1_024, 342, 342],
      [2, 1_366, 341, 341],
      [3, 1_707, 341, 341],
    ]);
  });
});

describe('a new shard', () => {
  it('takes from the fullest no more than it must for all to be level, and raises nobody', () => {
    let balanced = 0;
    fc.assert(
      fc.property(situation, fc.constantFrom(1, 2), (of, weight) => {
        const plan = planNewShard(of.shards, weight, options(of));
        const after = tableAfter(of, plan);
        expectLoads(of, plan, after);
        const fills = of.shards.map(({ id, weight: own }) => plan.loads.get(id)! / own);
        const added = plan.loads.get(NEW_SHARD)! / weight;
        const before = Math.max(...of.shards.map(({ load, weight: own }) => load / own));
        expect(Math.max(added, ...fills)).toBeLessThanOrEqual(before + 1e-6);
        for (const { from, to, slots } of plan.moves) {
          expect(to).toBe(NEW_SHARD);
          const { weight: own } = of.shards[from]!;
          const heaviest = Math.max(...slots.map(of.slotLoad));
          // Below the level, which is not below that of the new shard, by less than a slot.
          expect((plan.loads.get(from)! + heaviest) / own).toBeGreaterThan(added - 1e-6);
        }
        if (Math.max(...fills) <= added + (2 * of.heaviest) / weight) balanced++;
      }),
      { numRuns: 300 },
    );
    expect(balanced).toBeGreaterThan(150);
  });
});
