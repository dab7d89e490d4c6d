/** Which slots go where when a signal gets another shard, or loses one. */
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
  /** Bytes/s that it has. */
  readonly load: number;
  /** Bytes/s that it can carry. */
  readonly capacity: number;
}

export interface ReshapeOptions {
  readonly ring: Pick<SignalRing, 'slots'>;
  readonly slotLoad: SlotLoad;
  readonly score: ScoreKernel;
}

/** In place of the id of a new shard, which has none yet. */
export const NEW_SHARD = -1;

export interface ReshapePlan {
  readonly moves: readonly GroupedMoves[];
  /** By id, of all shards that stay or are new: bytes/s afterwards. */
  readonly loads: ReadonlyMap<number, number>;
}

/**
 * The new shard takes slots from the fullest shards until all of them are at one level of load by weight, and so is the new shard itself: with one shard more,
 * and moves to that shard alone, the fullest cannot be brought lower. No slot can return by such a plan to a shard that it came from.
 *
 * Slots go in the order of their hashes. The heaviest first would move fewer slots, but where keys are trace ids, what made a slot the heaviest in one window is
 * gone in the next, and the new shard would get much less than it should.
 */
export function planNewShard(shards: readonly LoadedShard[], weight: number, options: ReshapeOptions): ReshapePlan {
  const level = levelWith(shards, weight);
  const filled = shards.map((of): FilledShard => ({ shard: of.id, load: of.load, aim: level * of.weight }));
  const added: FilledShard = { shard: NEW_SHARD, load: 0, aim: level * weight };
  const above = filled.filter(({ load, aim }) => load > aim);
  const slotsOf = loadedSlotsOf(above, options);
  const giving = openSlotGiving([added], options.score);
  let donors = above.map((of) => ({ of, slots: giveInOrder(giving, of, slotsOf(of)) }));
  // The excess that is left is less than a usual slot, or the slots are heavy: the fullest gives at each step, which keeps the shards even at least.
  while (donors.length > 0) {
    const fullest = donors.reduce((most, one) => (one.of.load / one.of.aim > most.of.load / most.of.aim ? one : most));
    const { of, slots } = fullest;
    if (of.load <= of.aim) break;
    if (!giving.give(of, slots, of.load - of.aim)) donors = donors.filter((one) => one !== fullest);
  }
  return { moves: grouped(giving.moves), loads: loadsById([...filled, added]) };
}

/** Gives the slots with the highest hashes away, without getting below the aim. Returns the slots with load that the donor keeps, lightest first. */
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

/** The load over weight to which the fullest shards come down, and a new shard of this weight comes up. */
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
 * The slots of the shard that goes are shared out among `takers`, and nothing else moves. None of them gets above `maxFill` of its capacity by that. null: they
 * cannot take all of it.
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
  // A shard that cannot take even the lightest slot that is left is full, and passed over from then on.
  while (slots.length > 0)
    if (!giving.give(donor, slots, Number.POSITIVE_INFINITY) && !giving.passOverBest()) return null;
  const moves = [...inRows(giving.moves), ...dealt(goes.id, unloaded, takers)];
  return { moves: grouped(moves), loads: loadsById(filled) };
}

/** Deals slots of equal load out again so that each shard gets neighbouring ones: the ring change then has few runs. */
function inRows(moves: readonly GivenSlot[]): GivenSlot[] {
  const slots = moves.map(({ slot }) => slot).sort(byLoad);
  return [...moves]
    .sort((a, b) => a.slot.load - b.slot.load || a.to - b.to)
    .map((move, i) => ({ ...move, slot: slots[i]! }));
}

/** Slots without measured load: shared out by weight, as nobody knows what they will bring. */
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

/** The slots of each shard with their loads, lightest first. */
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

function loadsById(shards: readonly FilledShard[]): ReadonlyMap<number, number> {
  return new Map(shards.map(({ shard, load }) => [shard, load]));
}
