/** Keys in one buffer: key i is the `lengths[i]` bytes from `offsets[i]` on. In any order, also overlapping. */
export interface KeyBatch {
  readonly bytes: Uint8Array;
  readonly offsets: Uint32Array;
  /** As many as `offsets`. */
  readonly lengths: Uint32Array;
}

/** Throws unless the batch is well formed. */
export function checkKeys({ bytes, offsets, lengths }: KeyBatch): void {
  if (offsets.length !== lengths.length)
    throw new RangeError(`${offsets.length} offsets of keys, but ${lengths.length} lengths`);
  for (let i = 0; i < offsets.length; i++) {
    if (offsets[i]! + lengths[i]! > bytes.length)
      throw new RangeError(`key ${i}: ${lengths[i]} bytes from ${offsets[i]} reach out of ${bytes.length}`);
  }
}

/** Number of keys; throws unless they come out even. */
export function countKeys16(keys: Uint8Array): number {
  if (keys.length % 16 !== 0) throw new RangeError(`${keys.length} bytes are no keys of 16 bytes`);
  return keys.length / 16;
}

export function checkRoom(out: { readonly length: number }, keys: number): void {
  if (out.length < keys) throw new RangeError(`${keys} keys, but room for the results of ${out.length}`);
}

/** Of a slot table; throws unless it has 2^16 or 2^18 slots. */
export function slotBitsOf(slots: Uint16Array): 16 | 18 {
  if (slots.length === 2 ** 16) return 16;
  if (slots.length === 2 ** 18) return 18;
  throw new RangeError(`a slot table has 65,536 or 262,144 slots, not ${slots.length}`);
}

export class NoSlots extends Error {
  constructor() {
    super('owners16 was called before setSlots');
  }
}
