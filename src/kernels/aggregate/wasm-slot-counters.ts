import type { KernelHost } from '../host.ts';
import type { SlotCounters } from './kernel.ts';
import { checkBatchPairs, checkSlotTotals, slotBeyond, slotOverflow } from './limits.ts';
import type { AggregationRegion } from './wasm.ts';

// Of assembly/slot-counters.ts.
const HEADER_BYTES = 64;
const SLOT_BEYOND = -1;
/** Slots that one call takes out: 12 B each in the BATCH region. */
const MOST_TAKEN = 131_072;

export function createWasmSlotCounters(host: KernelHost, region: AggregationRegion, slotBits: 16 | 18): SlotCounters {
  const { beginSlots, addSlots, addToSlot, takeSlots } = host.exports;
  const slotCount = 2 ** slotBits;
  const room = region.take(HEADER_BYTES + 8 * slotCount + slotCount / 64, `counters of ${slotCount} slots`);
  const batch = host.exports.BATCH.value;
  const bytesColumn = batch + 4 * MOST_TAKEN;
  beginSlots(room.at, slotBits);
  return {
    slotBits,
    add(slots, bytes) {
      checkBatchPairs(slots.length, bytes.length);
      host.u32.set(slots, batch / 4);
      host.u32.set(bytes, bytesColumn / 4);
      const outcome = addSlots(room.at, slotBits, batch, bytesColumn, slots.length);
      if (outcome === 0) return;
      throw outcome === SLOT_BEYOND ? slotBeyond(slotBits, `a slot up to ${largest(slots)}`) : slotOverflow();
    },
    merge(totals) {
      const { at } = room;
      checkSlotTotals(slotBits, host.u8.readBigUInt64LE(at), totals);
      for (let i = 0; i < totals.slots.length; i++) addToSlot(at, slotBits, totals.slots[i]!, totals.bytes[i]!);
    },
    take() {
      const parts: Array<{ slots: Uint32Array; bytes: BigUint64Array }> = [];
      for (;;) {
        const taken = takeSlots(room.at, slotBits, batch, bytesColumn, MOST_TAKEN);
        if (taken === 0) break;
        const { buffer } = host.u8;
        parts.push({
          slots: new Uint32Array(buffer.slice(batch, batch + 4 * taken)),
          bytes: new BigUint64Array(buffer.slice(bytesColumn, bytesColumn + 8 * taken)),
        });
      }
      return parts.length === 1 ? parts[0]! : joined(parts);
    },
    release: () => room.release(),
  };
}

function largest(slots: Uint32Array): number {
  return slots.reduce((most, slot) => Math.max(most, slot), 0);
}

function joined(parts: ReadonlyArray<{ slots: Uint32Array; bytes: BigUint64Array }>) {
  const length = parts.reduce((sum, { slots }) => sum + slots.length, 0);
  const whole = { slots: new Uint32Array(length), bytes: new BigUint64Array(length) };
  let at = 0;
  for (const { slots, bytes } of parts) {
    whole.slots.set(slots, at);
    whole.bytes.set(bytes, at);
    at += slots.length;
  }
  return whole;
}
