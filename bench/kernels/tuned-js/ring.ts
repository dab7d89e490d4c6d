/** Slot table look-ups in JS, as fast as it gets: typed arrays, owners in bytes where they fit, the slot read as the hash's uppermost u16, several hashes a round. */

/** `hashes` little endian u64 as u16; their number a multiple of 8; 2^16 slots of less than 256 shards. */
export function lookUp16(hashes: Uint16Array, slots: Uint8Array, owners: Uint16Array): void {
  for (let i = 0, at = 3; i < owners.length; i += 8, at += 32) {
    owners[i] = slots[hashes[at]!]!;
    owners[i + 1] = slots[hashes[at + 4]!]!;
    owners[i + 2] = slots[hashes[at + 8]!]!;
    owners[i + 3] = slots[hashes[at + 12]!]!;
    owners[i + 4] = slots[hashes[at + 16]!]!;
    owners[i + 5] = slots[hashes[at + 20]!]!;
    owners[i + 6] = slots[hashes[at + 24]!]!;
    owners[i + 7] = slots[hashes[at + 28]!]!;
  }
}

/** `hashes` little endian u64 as u32; their number a multiple of 4; 2^18 slots. */
export function lookUp18(hashes: Uint32Array, slots: Uint16Array, owners: Uint16Array): void {
  for (let i = 0, at = 1; i < owners.length; i += 4, at += 8) {
    owners[i] = slots[hashes[at]! >>> 14]!;
    owners[i + 1] = slots[hashes[at + 2]! >>> 14]!;
    owners[i + 2] = slots[hashes[at + 4]! >>> 14]!;
    owners[i + 3] = slots[hashes[at + 6]! >>> 14]!;
  }
}

/** What one writes first. */
export function lookUpPlain(hashes: Uint32Array, slots: Uint16Array, owners: Uint16Array): void {
  const shift = slots.length === 65_536 ? 16 : 14;
  for (let i = 0; i < owners.length; i++) owners[i] = slots[hashes[2 * i + 1]! >>> shift]!;
}
