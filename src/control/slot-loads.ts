/** The load of each slot, as far as it is known. */

import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { SignalView } from './load-view.ts';

/** Bytes/s of a slot. */
export type SlotLoad = (slot: number) => number;

/** As measured. The slots that no reporter lists share what is left evenly. */
export function slotLoadOf(ring: SignalRing, view: SignalView): SlotLoad {
  const listed = view.slotBytesPerSecond;
  const share = view.restBytesPerSecond / Math.max(ring.slots.length - listed.size, 1);
  return (slot) => listed.get(slot) ?? share;
}

/**
 * The same, scaled so that a shard's slots add up to the shard's load: slots and shards are measured over different times. Where nothing is known of any slot
 * of a shard, each has the same part of its load. Slots of a shard with an override are left as measured, as part of that shard's load is not in them.
 */
export function fittedSlotLoadOf(ring: SignalRing, view: SignalView): SlotLoad {
  const measured = slotLoadOf(ring, view);
  const overridden = new Set(ring.overrides.values());
  // Arrays by shard id: they are looked up for each slot of the table.
  const slotCount: number[] = [];
  const inSlots: number[] = [];
  ring.slots.forEach((owner, slot) => {
    slotCount[owner] = (slotCount[owner] ?? 0) + 1;
    inSlots[owner] = (inSlots[owner] ?? 0) + measured(slot);
  });
  const times: number[] = [];
  const each: number[] = [];
  for (const { id } of ring.shards) {
    const load = view.shardBytesPerSecond.get(id) ?? 0;
    const measurable = overridden.has(id) || inSlots[id]! > 0;
    times[id] = overridden.has(id) ? 1 : measurable ? load / inSlots[id]! : 0;
    each[id] = measurable ? 0 : load / slotCount[id]!;
  }
  return (slot) => {
    const owner = ring.slots[slot]!;
    return measured(slot) * times[owner]! + each[owner]!;
  };
}
