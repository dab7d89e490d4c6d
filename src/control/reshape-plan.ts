/** Which slots go where when a signal gets another shard, or has one less. */
import type { ShardState, SignalRing } from '../coordination/ring-epoch.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import { ownedSlotsOfEach } from './shard-slots.ts';
import {
  byLoad,
  type FilledShard,
  type GivenSlot,
  type GroupedMoves,
  grouped,
  type LoadedSlot,
  openSlotGiving,
  type SlotGiving,
} from './slot-giving.ts';
import type { SlotLoad } from './slot-loads.ts';

export interface LoadedShard extends ShardState {
  /** Bytes/s, as `capacity`. */
  readonly load: number;
  readonly capacity: number;
}

export interface ReshapeOptions {
  readonly ring: Pick<SignalRing, 'slots'>;
  readonly slotLoad: SlotLoad;
  readonly score: ScoreKernel;
}

/** Stands for the id that a new shard does not have yet. */
export const NEW_SHARD = -1;

export interface ReshapePlan {
  readonly moves: readonly GroupedMoves[];
  /** Of all that stay or come: bytes/s afterwards, by their ids. */
  readonly loads: ReadonlyMap<number, number>;
}

/**
 * A new shard takes from the fullest down to the level, by weight, that it then has itself: with one shard more, and moves to it alone, the fullest cannot
 * be brought lower. No slot can go back by it to where it came from.
 *
 * Slots go in the order of their hashes, not the heaviest first, which would be fewer: where keys are trace ids, what made a slot the heaviest in one
 * window is gone in the next, and the new shard would get much less than it was meant to.
 */
export function planNewShard(shards: readonly LoadedShard[], weight: number, options: ReshapeOptions): ReshapePlan {
  const level = levelWith(shards, weight);
  const filled = shards.map((of): FilledShard => ({ shard: of.id, load: of.load, aim: level * of.weight }));
  const added: FilledShard = { shard: NEW_SHARD, load: 0, aim: level * weight };
  const above = filled.filter(({ load, aim }) => load > aim);
  const slotsOf = loadedSlotsOf(above, options);
  const giving = openSlotGiving([added], options.score);
  let donors = above.map((of) => ({ of, slots: giveInOrder(giving, of, slotsOf(of)) }));
  // What is left is less than a slot, or slots are heavy: the fullest gives at each step, so that all are alike at least.
  while (donors.length > 0) {
    const fullest = donors.reduce((most, one) => (one.of.load / one.of.aim > most.of.load / most.of.aim ? one : most));
    const { of, slots } = fullest;
    if (of.load <= of.aim) break;
    if (!giving.give(of, slots, of.load - of.aim)) donors = donors.filter((one) => one !== fullest);
  }
  return { moves: grouped(giving.moves), loads: loadsOf([...filled, added]) };
}

/** Those with the highest hashes, as far as that does not bring it below its aim. Returns what it keeps of those with load, lightest first. */
function giveInOrder(giving: SlotGiving, donor: FilledShard, slots: readonly LoadedSlot[]): LoadedSlot[] {
  const loaded = slots.filter(({ load }) => load > 0);
  const oneSlot = donor.load / loaded.length;
  const given = new Set<LoadedSlot>();
  for (const slot of loaded.toSorted((a, b) => b.slot - a.slot)) {
    const excess = donor.load - donor.aim;
    if (excess <= oneSlot) break;
    if (slot.load <= excess && giving.give(donor, [slot], Number.POSITIVE_INFINITY)) given.add(slot);
  }
  return loaded.filter((slot) => !given.has(slot));
}

/** Load over weight to which the fullest come down, and a new one with this weight comes up. */
function levelWith(shards: readonly LoadedShard[], weight: number): number {
  const fullest = [...shards].sort((a, b) => b.load / b.weight - a.load / a.weight);
  let [load, weights] = [0, weight];
  for (const shard of fullest) {
    if (shard.load / shard.weight <= load / weights) break;
    load += shard.load;
    weights += shard.weight;
  }
  return load / weights;
}

/**
 * The slots of one that goes are shared out among `takers`, so evenly as they are, and nothing else moves. None is filled above `maxFill` of its capacity by
 * it. null: they cannot take it all.
 */
export function planWithout(
  goes: LoadedShard,
  takers: readonly LoadedShard[],
  maxFill: number,
  options: ReshapeOptions,
): ReshapePlan | null {
  const filled = takers.map(
    ({ id, load, capacity }): FilledShard => ({ shard: id, load, aim: Math.max(load, maxFill * capacity) }),
  );
  const donor: FilledShard = { shard: goes.id, load: goes.load, aim: 0 };
  const all = loadedSlotsOf([donor], options)(donor);
  const slots = all.filter(({ load }) => load > 0);
  const unloaded = all.filter(({ load }) => load === 0);
  const giving = openSlotGiving(filled, options.score);
  // One that can take none of what is left, which only gets lighter, is full.
  while (slots.length > 0)
    if (!giving.give(donor, slots, Number.POSITIVE_INFINITY) && !giving.passOverBest()) return null;
  const moves = [...inRows(giving.moves), ...dealt(goes.id, unloaded, takers)];
  return { moves: grouped(moves), loads: loadsOf(filled) };
}

/** Slots of the same load are as good as each other: each shard gets some that are neighbours, so that the ring's change has few runs. */
function inRows(moves: readonly GivenSlot[]): GivenSlot[] {
  const slots = moves.map(({ slot }) => slot).sort(byLoad);
  return [...moves]
    .sort((a, b) => a.slot.load - b.slot.load || a.to - b.to)
    .map((move, i) => ({ ...move, slot: slots[i]! }));
}

/** By weight, as nobody knows what they will bring. */
function dealt(from: number, slots: readonly LoadedSlot[], takers: readonly LoadedShard[]): GivenSlot[] {
  const weights = takers.reduce((sum, { weight }) => sum + weight, 0);
  let [before, at] = [0, 0];
  return takers.flatMap(({ id, weight }) => {
    before += weight;
    const end = Math.round((slots.length * before) / weights);
    const part = slots.slice(at, end).map((slot) => ({ from, to: id, slot }));
    at = end;
    return part;
  });
}

/** Of each shard, lightest first. */
function loadedSlotsOf(
  shards: readonly FilledShard[],
  { ring, slotLoad }: ReshapeOptions,
): (of: FilledShard) => LoadedSlot[] {
  const owned = ownedSlotsOfEach(
    ring,
    shards.map(({ shard }) => shard),
  );
  return ({ shard }) =>
    owned
      .get(shard)!
      .map((slot) => ({ slot, load: slotLoad(slot) }))
      .sort(byLoad);
}

function loadsOf(shards: readonly FilledShard[]): ReadonlyMap<number, number> {
  return new Map(shards.map(({ shard, load }) => [shard, load]));
}
