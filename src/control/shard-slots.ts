/** The slots of a shard, and where a split cuts them. */
import type { SignalRing } from '../coordination/ring-epoch.ts';

/** Ascending. */
export function ownedSlots(ring: Pick<SignalRing, 'slots'>, shard: number): number[] {
  return ownedSlotsOfEach(ring, [shard]).get(shard)!;
}

/** The slots of each of these shards, ascending. One walk over the table for all of them. */
export function ownedSlotsOfEach(
  ring: Pick<SignalRing, 'slots'>,
  shards: readonly number[],
): ReadonlyMap<number, number[]> {
  const byOwner = new Map(shards.map((shard): [number, number[]] => [shard, []]));
  ring.slots.forEach((owner, slot) => {
    byOwner.get(owner)?.push(slot);
  });
  return byOwner;
}

/**
 * The slots with the higher hashes that have half of the load together; without any load, half of the slots. Each half gets at least one slot, so there must be
 * two. `slots` ascending; `loadOf` in any unit.
 */
export function upperHalf(slots: readonly number[], loadOf: (slot: number) => number): number[] {
  return slots.slice(middleOf(slots, loadOf));
}

function middleOf(slots: readonly number[], loadOf: (slot: number) => number): number {
  const total = slots.reduce((sum, slot) => sum + loadOf(slot), 0);
  if (total === 0) return slots.length >>> 1;
  let before = 0;
  for (let i = 0; i < slots.length; i++) {
    const next = before + loadOf(slots[i]!);
    if (next >= total / 2) {
      // Cut on the side that is closer to the half.
      const at = next - total / 2 <= total / 2 - before ? i + 1 : i;
      return Math.min(Math.max(at, 1), slots.length - 1);
    }
    before = next;
  }
  return slots.length - 1;
}
