/** What a change of the ring takes out of a shard, and what of that its new shard has already. */
import { slotsOf } from '../coordination/ring-change.ts';
import { type SignalRing, selectorOf, slotOf } from '../coordination/ring-epoch.ts';
import { BY_TRACE_ID, type Routing } from '../kernels/split/kernel.ts';
import type { CarriedChange, Origin } from './carry-changes.ts';
import { type CarryRoutings, withKeys } from './carry-spread.ts';

/**
 * The routing by which items of an origin are taken out of the shard `from`: what the change moves goes where it says, and all else to `from`
 * itself. So does what its new shard has already. That follows from the origin and from the changes since, which were copied for: a slot that comes
 * back to where it was, or to where it was on the way, finds its items there.
 *
 * `inForce`: what `past` has led to; when a change is taken back that is `next`, as `before` is what is taken back.
 *
 * A change counts as copied in whole. It was not where `weir shards abandon` has cut it short, or where the clocks of two leaders differ by more than the
 * slots stayed: then the item is not in its new shard, rather than twice.
 */
export function carryRoutings(
  before: SignalRing,
  next: SignalRing,
  from: number,
  past: readonly CarriedChange[],
  inForce: SignalRing = before,
): (origin: Origin) => CarryRoutings {
  const whole = carryRouting(before, next, from);
  const known = new Map<string, CarryRoutings>();
  return (origin) => {
    const since = past.filter(({ epoch, abandons }) =>
      abandons === null ? epoch > origin.ringEpoch : abandons === origin.ringEpoch,
    );
    const key = `${origin.shard} ${since.map(({ epoch }) => epoch).join(' ')}`;
    let routings = known.get(key);
    if (!routings) {
      const first = withoutWhatIsThere(whole, from, origin.shard, since);
      routings = withKeys(first, { before, next, inForce, from, home: origin.shard, past, since });
      known.set(key, routings);
    }
    return routings;
  };
}

/** Sends what the change takes from the shard to where it goes, and all else to the shard itself. Keys that are spread are left to `withKeys`. */
export function carryRouting(before: SignalRing, next: SignalRing, from: number): Routing {
  const slots = new Uint16Array(before.slots.length).fill(from);
  for (let slot = 0; slot < slots.length; slot++) if (before.slots[slot] === from) slots[slot] = next.slots[slot]!;
  const ownerIn = (ring: SignalRing, hash: bigint) => {
    const override = ring.overrides.get(hash);
    return override === undefined || override === BY_TRACE_ID ? ring.slots[slotOf(ring, hash)]! : override;
  };
  const hashes = [...before.overrides.keys(), ...next.overrides.keys()];
  const overrides = new Map(
    hashes.map((hash) => [hash, ownerIn(before, hash) === from ? ownerIn(next, hash) : from] as const),
  );
  const shardCount = Math.max(from, ...next.shards.map(({ id }) => id)) + 1;
  return { selector: selectorOf(before.key), slotBits: before.slotBits, slots, shardCount, overrides };
}

/** Of slots. Keys that have an override, or had one, do not move with theirs: they are left to `withKeys`. */
function withoutWhatIsThere(whole: Routing, from: number, home: number, since: readonly CarriedChange[]): Routing {
  // Shards that have a slot's items; where nothing is said: their home.
  const bySlot = new Map<number, readonly number[]>();
  for (const { change } of since)
    for (const { from: giver, to, runs } of change.moves)
      for (const slot of slotsOf(runs)) {
        if (whole.slots[slot] === from) continue;
        const having = bySlot.get(slot) ?? [home];
        if (having.includes(giver)) bySlot.set(slot, [...having, to]);
      }
  const isThere = (slot: number, to: number) => to === home || bySlot.get(slot)?.includes(to) === true;
  const slots = whole.slots.slice();
  for (let slot = 0; slot < slots.length; slot++)
    if (slots[slot] !== from && isThere(slot, slots[slot]!)) slots[slot] = from;
  return { ...whole, slots };
}
