/**
 * The consistent-hash ring, and look-ups in a slot table filled from it.
 *
 * A shard stands on the ring at points; point i of shard s is XXH64, seed 0, over the 8 bytes (u32 LE s, u32 LE i). Of the
 * points between two slots the lowest counts; of equal ones the lower shard's. A hash belongs to the first point at or
 * after it, past the last one to the first of all. Slot t (of 2^slotBits) belongs to whom its start belongs to,
 * t << (64 - slotBits).
 *
 * How many points a shard has is what makes the shares right: see shares.ts.
 */
export type SlotBits = 16 | 18;

export interface RingShard {
  /** 0 to 65535, each once. */
  readonly shard: number;
  /** 1 is a usual shard. Of a shard of weight 0 one point is left. */
  readonly weight: number;
}

export interface Ring {
  readonly slotBits: SlotBits;
  /** Owner of each slot. */
  readonly slots: Uint16Array;
  /** Points of each shard, whether they own a slot or not. */
  readonly points: ReadonlyMap<number, number>;
  /** Owner of a hash (u64) on the ring itself: finer than its slot's, where a point falls into that slot. */
  ownerOf(hash: bigint): number;
}

/** Hashes of one look-up at most. */
export const LOOK_UP_HASHES = 65_536;

export interface RingKernel {
  readonly name: 'wasm' | 'reference';
  /** Does not depend on the order of the shards. RangeError: no shard, one twice, or a shard or weight out of range. */
  build(shards: readonly RingShard[], vnodes: number, slotBits: SlotBits): Ring;
  /** The slots of `build`. */
  assign(shards: readonly RingShard[], vnodes: number, slotBits: SlotBits): Uint16Array;
  /** Takes a copy of a table of 2^16 or 2^18 slots: look-ups go to it until the next one. */
  setSlots(slots: Uint16Array): void;
  /** Where the hashes of a look-up are written, LOOK_UP_HASHES of them. It may lie in the kernel's memory: ask for it anew after a split. */
  readonly hashes: BigUint64Array;
  /** Owners of the slots of the first `count` of `hashes`: a view that holds until the next call. RangeError: too many, or before setSlots. */
  lookUp(count: number): Uint16Array;
}

/** Throws the RangeErrors of setSlots. */
export function slotBitsOf(slots: Uint16Array): SlotBits {
  if (slots.length === 2 ** 16) return 16;
  if (slots.length === 2 ** 18) return 18;
  throw new RangeError(`a table of ${slots.length} slots, but there may be 65536 or 262144`);
}

/** Throws the RangeErrors of lookUp. */
export function checkLookUp(count: number, slotBits: SlotBits | null): SlotBits {
  if (slotBits === null) throw new RangeError('a look-up before setSlots');
  if (!(Number.isInteger(count) && count >= 0 && count <= LOOK_UP_HASHES)) {
    throw new RangeError(`a look-up of ${count} hashes, but there may be 0 to ${LOOK_UP_HASHES}`);
  }
  return slotBits;
}
