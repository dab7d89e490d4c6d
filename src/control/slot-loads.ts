/** What each slot brings, as far as it is known. */

import type { SignalRing } from '../coordination/ring-epoch.ts';
import { BY_TRACE_ID } from '../kernels/split/kernel.ts';
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
  const overridden = new Set([...ring.overrides.values()].filter((shard) => shard !== BY_TRACE_ID));
  const owned = new Map(ring.shards.map(({ id }, i) => [id, { load: loads[i]!, slots: 0, inSlots: 0 }]));
  ring.slots.forEach((owner, slot) => {
    const of = owned.get(owner)!;
    of.slots++;
    of.inSlots += measured(slot);
  });
  return (slot) => {
    const owner = ring.slots[slot]!;
    const { load, slots, inSlots } = owned.get(owner)!;
    if (overridden.has(owner)) return measured(slot);
    return inSlots > 0 ? (measured(slot) * load) / inSlots : load / slots;
  };
}
