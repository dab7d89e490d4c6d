/** What each slot brings, as far as it is known. */

import type { SignalRing } from '../coordination/ring-epoch.ts';
import { loadsOf } from './distribution.ts';
import type { SignalView } from './load-view.ts';

/** Bytes/s of a slot. */
export type SlotLoad = (slot: number) => number;

/** As measured. Slots that no reporter lists share the rest evenly. */
export function slotLoadOf(ring: SignalRing, view: SignalView): SlotLoad {
  const listed = view.slotBytesPerSecond;
  const share = view.restBytesPerSecond / Math.max(ring.slots.length - listed.size, 1);
  return (slot) => listed.get(slot) ?? share;
}

/**
 * The same, fitted to what was measured of the shards, as slots are measured over another time: a shard's slots bring its load together; all the
 * same, where nothing is known of any. Those of a shard that an override leads to are as measured: not all of its load is in them.
 */
export function fittedSlotLoadOf(ring: SignalRing, view: SignalView): SlotLoad {
  const measured = slotLoadOf(ring, view);
  const { loads } = loadsOf(ring.shards, view);
  const overridden = new Set(ring.overrides.values());
  // By shard id: this is looked up for each slot of the table.
  const slotCount: number[] = [];
  const inSlots: number[] = [];
  ring.slots.forEach((owner, slot) => {
    slotCount[owner] = (slotCount[owner] ?? 0) + 1;
    inSlots[owner] = (inSlots[owner] ?? 0) + measured(slot);
  });
  const times: number[] = [];
  const each: number[] = [];
  ring.shards.forEach(({ id }, i) => {
    const measurable = overridden.has(id) || inSlots[id]! > 0;
    times[id] = overridden.has(id) ? 1 : measurable ? loads[i]! / inSlots[id]! : 0;
    each[id] = measurable ? 0 : loads[i]! / slotCount[id]!;
  });
  return (slot) => {
    const owner = ring.slots[slot]!;
    return measured(slot) * times[owner]! + each[owner]!;
  };
}
