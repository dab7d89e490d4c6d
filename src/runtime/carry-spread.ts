/**
 * Where a change takes the items of keys that begin or end to be spread by trace id. They go by other tables than all others, so they are split twice:
 * first out of the rest, to a shard index that nothing else goes to; then by a table of their own.
 */
import { slotsOf } from '../coordination/ring-change.ts';
import { type SignalRing, slotOf, slotOwners } from '../coordination/ring-epoch.ts';
import { hashOfText } from '../kernels/hash/kernel.ts';
import { BY_TRACE_ID, type Override, type Routing } from '../kernels/split/kernel.ts';
import type { CarriedChange } from './carry-changes.ts';

export interface CarryRoutings {
  readonly first: Routing;
  /** By the index that the first one sends their items to. */
  readonly then: ReadonlyMap<number, Routing>;
}

/** Items of one origin. */
export interface CarriedItems {
  readonly before: SignalRing;
  readonly next: SignalRing;
  /** What `past` has led to. */
  readonly inForce: SignalRing;
  /** Shard that is read. */
  readonly from: number;
  /** Shard of the origin. */
  readonly home: number;
  readonly past: readonly CarriedChange[];
  /** Of `past` those since the origin. */
  readonly since: readonly CarriedChange[];
}

/**
 * `first`: sends what the change takes from the shard to where it goes, and all else to the shard itself. Where the items of keys are by now that have
 * an override, or had one, it does not know: they do not go with their slots.
 */
export function withKeys(first: Routing, items: CarriedItems): CarryRoutings {
  const { before, next, inForce, from, since } = items;
  const overrides = new Map(first.overrides);
  const then = new Map<number, Routing>();
  const used = new Set<Override>([from, ...slotOwners(first.slots), ...overrides.values()]);
  const history = slotsAfter(inForce, since);
  for (const [hash, wasSpread] of overriddenKeys(items)) {
    const isTouched = since.some(({ change }) => overrideIn(change, hash) !== undefined);
    // Spread since they came: its items lie where the slots of their traces are, and go with them.
    if (!isTouched && [before, next].every((ring) => ring.overrides.get(hash) === BY_TRACE_ID)) {
      overrides.set(hash, BY_TRACE_ID);
      continue;
    }
    const states = since.map((change) => overrideAfter(hash, items, change));
    const goalOf = goalsOfKey(hash, items, states, history);
    if (!wasSpread) {
      overrides.set(hash, goalOf(slotOf(before, hash)));
      continue;
    }
    const slots = before.slots.map((_, slot) => goalOf(slot));
    let index = from;
    if (slots.some((shard) => shard !== from)) {
      for (index = 0; used.has(index); ) index++;
      used.add(index);
      then.set(index, { ...first, slots, overrides: new Map([[hash, BY_TRACE_ID]]) });
    }
    overrides.set(hash, index);
  }
  const shardCount = Math.max(first.shardCount, ...[...then.keys()].map((index) => index + 1));
  return { first: { ...first, overrides, shardCount }, then };
}

/** Keys that have an override, or had one at some time: whether any of them spread the key. */
function overriddenKeys({ before, next, past }: CarriedItems): ReadonlyMap<bigint, boolean> {
  const once = past.flatMap(({ change }) =>
    change.overrides.map(({ keyHash, shard }) => [hashOfText(keyHash), shard] as const),
  );
  const keys = new Map<bigint, boolean>();
  for (const [hash, to] of [...before.overrides, ...next.overrides, ...once])
    keys.set(hash, keys.get(hash) === true || to === BY_TRACE_ID);
  return keys;
}

/** What a change makes of a key's override; undefined: nothing. */
function overrideIn({ overrides }: CarriedChange['change'], hash: bigint): Override | null | undefined {
  return overrides.find(({ keyHash }) => hashOfText(keyHash) === hash)?.shard;
}

/** Override of a key once `change` was in force; null: none. One that no change has touched has been there from the first. */
function overrideAfter(
  hash: bigint,
  { inForce, past }: Pick<CarriedItems, 'inForce' | 'past'>,
  change: CarriedChange,
): Override | null {
  const states = past.map((of) => overrideIn(of.change, hash));
  const last = states.slice(0, past.indexOf(change) + 1).findLast((override) => override !== undefined);
  if (last !== undefined) return last;
  return states.every((override) => override === undefined) ? (inForce.overrides.get(hash) ?? null) : null;
}

/** The slot tables that were in force after each of the changes, the last of which led to `inForce`. */
function slotsAfter(inForce: SignalRing, since: readonly CarriedChange[]): Uint16Array[] {
  const tables: Uint16Array[] = [];
  let { slots } = inForce;
  for (const { change } of since.toReversed()) {
    tables.unshift(slots);
    slots = slots.slice();
    for (const { from, runs } of change.moves) for (const slot of slotsOf(runs)) slots[slot] = from;
  }
  return tables;
}

/**
 * By the slot of an item's trace, which does not matter where the key was never spread: where the item is copied to; the shard that is read where it
 * stays, or is there already.
 */
function goalsOfKey(
  hash: bigint,
  { before, next, from, home }: CarriedItems,
  states: readonly (Override | null)[],
  history: readonly Uint16Array[],
): (slot: number) => number {
  const own = slotOf(before, hash);
  const place = (state: Override | null | undefined, slots: Uint16Array, slot: number) =>
    state === BY_TRACE_ID ? slots[slot]! : (state ?? slots[own]!);
  const [had, gets] = [before.overrides.get(hash), next.overrides.get(hash)];
  return (slot) => {
    if (place(had, before.slots, slot) !== from) return from;
    const to = place(gets, next.slots, slot);
    const isThere = to === home || states.some((state, i) => place(state, history[i]!, slot) === to);
    return isThere ? from : to;
  };
}
