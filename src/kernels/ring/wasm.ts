import type { KernelHost } from '../host.ts';
import {
  checkLookUp,
  LOOK_UP_HASHES,
  type Ring,
  type RingKernel,
  type RingShard,
  type SlotBits,
  slotBitsOf,
} from './kernel.ts';
import { fitPoints } from './shares.ts';

export function createWasmRing(host: KernelHost): RingKernel {
  const { ringBegin, ringAdd, ringOwners, ringHashes, ringSetSlots, ringLookUp, RING_SLOTS, BATCH } = host.exports;
  let tableBits: SlotBits | null = null;
  // Views are kept from call to call, as making one costs as much as looking up a hundred hashes.
  let hashes = new BigUint64Array();
  let found = new Uint16Array();

  const fitted = (shards: readonly RingShard[], vnodes: number, slotBits: SlotBits) =>
    fitPoints(shards, vnodes, (counts) => {
      ringBegin(slotBits);
      for (const [i, { shard }] of shards.entries()) ringAdd(shard, counts[i]!, slotBits);
      return new Uint16Array(host.u8.buffer, ringOwners(slotBits), 2 ** slotBits);
    });

  return {
    name: 'wasm',
    build(shards, vnodes, slotBits): Ring {
      const { points, owners } = fitted(shards, vnodes, slotBits);
      const slots = owners.slice();
      const lowest = new BigUint64Array(host.u8.buffer, ringHashes(), slots.length).slice();
      const shift = BigInt(64 - slotBits);
      return {
        slotBits,
        slots,
        points: new Map(shards.map(({ shard }, i) => [shard, points[i]!])),
        ownerOf(hash) {
          const stretch = Number(hash >> shift);
          return slots[hash <= lowest[stretch]! ? stretch : (stretch + 1) % slots.length]!;
        },
      };
    },
    assign: (shards, vnodes, slotBits) => fitted(shards, vnodes, slotBits).owners.slice(),
    setSlots(slots) {
      tableBits = slotBitsOf(slots);
      new Uint16Array(host.u8.buffer, RING_SLOTS.value, slots.length).set(slots);
      ringSetSlots(tableBits);
    },
    get hashes() {
      if (hashes.buffer !== host.u8.buffer) {
        hashes = new BigUint64Array(host.u8.buffer, BATCH.value, LOOK_UP_HASHES);
      }
      return hashes;
    },
    lookUp(count) {
      const owners = ringLookUp(count, checkLookUp(count, tableBits));
      const { buffer } = host.u8;
      if (found.length !== count || found.buffer !== buffer) found = new Uint16Array(buffer, owners, count);
      return found;
    },
  };
}
