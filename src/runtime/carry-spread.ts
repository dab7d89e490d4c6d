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
  /** Shard that is read. */
  readonly from: number;
  /** Shard of the origin. */
  readonly home: number;
  readonly past: readonly CarriedChange[];
  /** Of `past` those since the origin. */
  readonly since: readonly CarriedChange[];
}

/** `first`: sends what the change takes from the shard to where it goes, and all else to the shard itself; of keys that are spread it knows nothing. */
export function withSpreadKeys(first: Routing, items: CarriedItems): CarryRoutings {
  const { before, next, from, past, since } = items;
  const overrides = new Map(first.overrides);
  const then = new Map<number, Routing>();
  const used = new Set<Override>([from, ...slotOwners(first.slots), ...overrides.values()]);
  const history = slotsAfter(before, since);
  for (const hash of spreadKeys(items)) {
    const isTouched = since.some(({ change }) => overrideIn(change, hash) !== undefined);
    // Spread since they came: its items lie where the slots of their traces are, and go with them.
    if (!isTouched && [before, next].every((ring) => ring.overrides.get(hash) === BY_TRACE_ID)) {
      overrides.set(hash, BY_TRACE_ID);
      continue;
    }
    const states = since.map((change) => overrideAfter(hash, past, change));
    const slots = slotsOfKey(hash, items, states, history);
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

/** Keys that are spread, or were at some time. */
function spreadKeys({ before, next, past }: CarriedItems): ReadonlySet<bigint> {
  const spread = [...before.overrides, ...next.overrides].filter(([, to]) => to === BY_TRACE_ID);
  const once = past.flatMap(({ change }) => change.overrides).filter(({ shard }) => shard === BY_TRACE_ID);
  return new Set([...spread.map(([hash]) => hash), ...once.map(({ keyHash }) => hashOfText(keyHash))]);
}

/** What a change makes of a key's override; undefined: nothing. */
function overrideIn({ overrides }: CarriedChange['change'], hash: bigint): Override | null | undefined {
  return overrides.find(({ keyHash }) => hashOfText(keyHash) === hash)?.shard;
}

/** Override of a key once `change` was in force; null: none. */
function overrideAfter(hash: bigint, past: readonly CarriedChange[], change: CarriedChange): Override | null {
  const until = past.slice(0, past.indexOf(change) + 1).map((of) => overrideIn(of.change, hash));
  return until.findLast((override) => override !== undefined) ?? null;
}

/** The slot tables that were in force after each of the changes, the last of which led to `before`. */
function slotsAfter(before: SignalRing, since: readonly CarriedChange[]): Uint16Array[] {
  const tables: Uint16Array[] = [];
  let { slots } = before;
  for (const { change } of since.toReversed()) {
    tables.unshift(slots);
    slots = slots.slice();
    for (const { from, runs } of change.moves) for (const slot of slotsOf(runs)) slots[slot] = from;
  }
  return tables;
}

/** By the slot of an item's trace: where the item is copied to; the shard that is read where it stays, or is there already. */
function slotsOfKey(
  hash: bigint,
  { before, next, from, home }: CarriedItems,
  states: readonly (Override | null)[],
  history: readonly Uint16Array[],
): Uint16Array {
  const own = slotOf(before, hash);
  const place = (state: Override | null | undefined, slots: Uint16Array, slot: number) =>
    state === BY_TRACE_ID ? slots[slot]! : (state ?? slots[own]!);
  const [had, gets] = [before.overrides.get(hash), next.overrides.get(hash)];
  return before.slots.map((_, slot) => {
    if (place(had, before.slots, slot) !== from) return from;
    const to = place(gets, next.slots, slot);
    const isThere = to === home || states.some((state, i) => place(state, history[i]!, slot) === to);
    return isThere ? from : to;
  });
}
