/**
 * The ring change for a wish about shards: `create`, `split`, `merge`, `retire` or `move`. What cannot be done is refused, with the reason.
 */

import { type RingChange, runsOf, type SignalChange, type SlotMove } from '../coordination/ring-change.ts';
import type { RingEpoch, ShardState, SignalRing } from '../coordination/ring-epoch.ts';
import { hashText } from '../kernels/hash/kernel.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { ownedSlots, upperHalf } from './shard-slots.ts';

/** `shard`, `into`, `from` and `to` are names of shards, which are unique in an installation. */
export type ShardWish =
  | { readonly kind: 'create'; readonly signal: Signal; readonly name: string; readonly capacity: number }
  /** The upper half of its slots, by load where that is known, goes to a new shard. */
  | { readonly kind: 'split'; readonly shard: string }
  /** All slots and overrides of `shard` go to `into`. */
  | { readonly kind: 'merge'; readonly shard: string; readonly into: string }
  /** Its slots go to the other shards, as the consistent-hash ring of those says. */
  | { readonly kind: 'retire'; readonly shard: string }
  | { readonly kind: 'move'; readonly from: string; readonly to: string; readonly slots: number };

export interface ShardPlanning {
  /** The ring epoch in force. */
  readonly ring: RingEpoch;
  /** The next id for a new shard: see RingsState. */
  readonly nextShard: Readonly<Record<Signal, number>>;
  topicOf(signal: Signal, shard: number): string;
  /** Slot table of a consistent-hash ring of these shards. */
  assign(shards: readonly ShardState[], slotBits: SignalRing['slotBits']): Uint16Array;
  /** The measured load of each slot, in any unit; 0 where nothing is known. */
  slotLoad(signal: Signal): (slot: number) => number;
}

export type ShardPlan =
  | { readonly kind: 'change'; readonly change: RingChange; readonly text: string }
  | { readonly kind: 'refused'; readonly text: string };

/** Shard ids are below this: the kernel's tables end there. */
export const MAX_SHARD_IDS = 4_096;
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

export function planShardChange(wish: ShardWish, planning: ShardPlanning): ShardPlan {
  return orRefused(() => plan(wish, planning));
}

/** Runs `plan`; a Refusal that it throws becomes the outcome. */
export function orRefused(plan: () => PlannedChange): ShardPlan {
  try {
    return { kind: 'change', ...plan() };
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'refused', text: error.message };
    throw error;
  }
}

class Refusal extends Error {}

interface PlannedChange {
  readonly change: RingChange;
  readonly text: string;
}

function plan(wish: ShardWish, planning: ShardPlanning): PlannedChange {
  switch (wish.kind) {
    case 'create':
      return create(wish, planning);
    case 'split':
      return split(wish.shard, planning);
    case 'merge':
      return merge(wish.shard, wish.into, planning);
    case 'retire':
      return retire(wish.shard, planning);
    case 'move':
      return move(wish, planning);
  }
}

function create(
  { signal, name, capacity }: Extract<ShardWish, { kind: 'create' }>,
  planning: ShardPlanning,
): PlannedChange {
  const ring = planning.ring.signals[signal];
  const shard = newShard(signal, name, capacity, planning);
  const wanted = planning.assign([...ring.shards, shard], ring.slotBits);
  const slots = [...wanted.keys()].filter((slot) => wanted[slot] === shard.id);
  const gained = Map.groupBy(slots, (slot) => ring.slots[slot]!);
  const moves = [...gained].map(([from, slots]): SlotMove => ({ from, to: shard.id, runs: runsOf(slots) }));
  return { change: changeOf(signal, { moves, added: [shard] }), text: `shard ${name} of ${signal} is created` };
}

function split(name: string, planning: ShardPlanning): PlannedChange {
  const { signal, ring, shard } = findShard(name, planning.ring);
  const slots = ownedSlots(ring, shard.id);
  if (slots.length < 2) throw new Refusal(`shard ${name} has ${slots.length} slots: there is nothing to split`);
  const added = nextShard(signal, shard.weight, planning);
  const runs = runsOf(upperHalf(slots, planning.slotLoad(signal)));
  const move = { from: shard.id, to: added.id, runs };
  return {
    change: changeOf(signal, { moves: [move], added: [added] }),
    text: `half of shard ${name} goes to the new shard ${added.name}`,
  };
}

function merge(name: string, intoName: string, planning: ShardPlanning): PlannedChange {
  const { signal, ring, shard } = findShard(name, planning.ring);
  const { signal: other, shard: into } = findShard(intoName, planning.ring);
  if (name === intoName) throw new Refusal(`shard ${name} cannot be merged into itself`);
  if (signal !== other) throw new Refusal(`shard ${name} is one of ${signal}, ${intoName} of ${other}`);
  const slots = ownedSlots(ring, shard.id);
  const moves = slots.length === 0 ? [] : [{ from: shard.id, to: into.id, runs: runsOf(slots) }];
  const overrides = overridesOf(ring, shard.id).map((keyHash) => ({ keyHash, shard: into.id }));
  return {
    change: changeOf(signal, { moves, retired: [shard.id], overrides }),
    text: `shard ${name} is merged into ${intoName}; its topic ${shard.topic} stays`,
  };
}

function retire(name: string, planning: ShardPlanning): PlannedChange {
  const { signal, ring, shard } = findShard(name, planning.ring);
  const others = ring.shards.filter(({ id }) => id !== shard.id);
  if (others.length === 0) throw new Refusal(`shard ${name} is the last one of ${signal}`);
  const wanted = planning.assign(others, ring.slotBits);
  const given = Map.groupBy(ownedSlots(ring, shard.id), (slot) => wanted[slot]!);
  const moves = [...given].map(([to, slots]): SlotMove => ({ from: shard.id, to, runs: runsOf(slots) }));
  // Keys that an override sent to it go by their slots from now on.
  const overrides = overridesOf(ring, shard.id).map((keyHash) => ({ keyHash, shard: null }));
  return {
    change: changeOf(signal, { moves, retired: [shard.id], overrides }),
    text: `shard ${name} is retired; its topic ${shard.topic} stays`,
  };
}

function move(
  { from, to, slots: count }: Extract<ShardWish, { kind: 'move' }>,
  planning: ShardPlanning,
): PlannedChange {
  const { signal, ring, shard: losing } = findShard(from, planning.ring);
  const { signal: other, shard: gaining } = findShard(to, planning.ring);
  if (from === to) throw new Refusal(`slots of shard ${from} cannot be moved to itself`);
  if (signal !== other) throw new Refusal(`shard ${from} is one of ${signal}, ${to} of ${other}`);
  const slots = ownedSlots(ring, losing.id);
  if (count > slots.length) throw new Refusal(`shard ${from} has ${slots.length} slots, and ${count} were to be moved`);
  // The last ones, so that neither what stays nor what goes is in many pieces.
  const runs = runsOf(slots.slice(-count));
  return {
    change: changeOf(signal, { moves: [{ from: losing.id, to: gaining.id, runs }] }),
    text: `${count} slots of shard ${from} go to ${to}`,
  };
}

/** A change of one signal alone. */
export function changeOf(signal: Signal, change: Partial<SignalChange>): RingChange {
  return { [signal]: { moves: [], added: [], retired: [], overrides: [], ...change } };
}

function newShard(
  signal: Signal,
  name: string,
  weight: number,
  { ring, nextShard, topicOf }: ShardPlanning,
): ShardState {
  if (!NAME.test(name))
    throw new Refusal(`"${name}" cannot be a shard's name: lower-case letters, digits, ".", "_" and "-", at most 63`);
  for (const other of SIGNALS)
    if (ring.signals[other].shards.some((shard) => shard.name === name))
      throw new Refusal(`there is a shard ${name} already, one of ${other}`);
  const id = nextShard[signal];
  if (id >= MAX_SHARD_IDS)
    throw new Refusal(
      `${signal} has had ${MAX_SHARD_IDS} shards, retired ones included, and can have no more: an id is never given again, as its topic keeps its records`,
    );
  return { id, name, topic: topicOf(signal, id), weight };
}

/** A new shard whose name follows the pattern of the first shards. */
export function nextShard(signal: Signal, weight: number, planning: ShardPlanning): ShardState {
  return newShard(signal, freeName(signal, planning), weight, planning);
}

function freeName(signal: Signal, { ring, nextShard }: ShardPlanning): string {
  const taken = new Set(ring.signals[signal].shards.map(({ name }) => name));
  const stem = `${signal}-${String(nextShard[signal]).padStart(4, '0')}`;
  let name = stem;
  for (let i = 2; taken.has(name); i++) name = `${stem}-${i}`;
  return name;
}

function findShard(name: string, ring: RingEpoch): { signal: Signal; ring: SignalRing; shard: ShardState } {
  for (const signal of SIGNALS) {
    const shard = ring.signals[signal].shards.find((candidate) => candidate.name === name);
    if (shard) return { signal, ring: ring.signals[signal], shard };
  }
  throw new Refusal(`there is no shard ${name}; \`weir shards list\` shows those that there are`);
}

function overridesOf(ring: SignalRing, shard: number): string[] {
  return [...ring.overrides].filter(([, owner]) => owner === shard).map(([hash]) => hashText(hash));
}
