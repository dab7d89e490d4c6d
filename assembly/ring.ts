/**
 * The consistent-hash ring, without sorting its points. A slot belongs to the first point at or after its start, so of all
 * points that fall between two slots only the lowest can own one: the lowest point of each slot's stretch is kept, and one
 * pass from the last slot down hands it on to the empty stretches before it.
 */
import { MAX_SLOTS, NIL, SAMPLES } from './arena';
import { hash8 } from './hash';

/** Lowest point of each stretch: hash u64, then shard u32 (NIL: none). In the scratch memory: 3 MiB of its 16. */
const HASHES: usize = SAMPLES;
const OWNERS: usize = SAMPLES + ((<usize>MAX_SLOTS) << 3);

export function ringBegin(slotBits: u32): void {
  memory.fill(OWNERS, 0xff, (<usize>4) << slotBits);
}

/** Puts the points 0..points-1 of a shard on the ring. */
export function ringAdd(shard: u32, points: u32, slotBits: u32): void {
  for (let i: u32 = 0; i < points; i++) {
    const hash = hash8(<u64>shard | ((<u64>i) << 32));
    const stretch = <usize>(hash >> (64 - slotBits));
    const hashAt = HASHES + (stretch << 3);
    const ownerAt = OWNERS + (stretch << 2);
    const owner = load<u32>(ownerAt);
    const lowest = load<u64>(hashAt);
    // Free stretches hold NIL, which is above every shard, but an older hash: look at the owner first.
    if (owner == NIL || hash < lowest || (hash == lowest && shard < owner)) {
      store<u64>(hashAt, hash);
      store<u32>(ownerAt, shard);
    }
  }
}

/** Writes the owner of each slot, u16, over the hashes, and gives their address. */
export function ringOwners(slotBits: u32): usize {
  const slots: u32 = 1 << slotBits;
  // The ring is closed: behind the last slot comes the first point of all.
  let owner: u32 = 0;
  for (let slot: u32 = 0; slot < slots; slot++) {
    owner = load<u32>(OWNERS + ((<usize>slot) << 2));
    if (owner != NIL) break;
  }
  for (let slot = slots; slot-- > 0; ) {
    const own = load<u32>(OWNERS + ((<usize>slot) << 2));
    if (own != NIL) owner = own;
    store<u16>(HASHES + ((<usize>slot) << 1), owner);
  }
  return HASHES;
}
