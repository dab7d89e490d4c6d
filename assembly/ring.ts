/**
 * The consistent-hash ring, without sorting its points. A slot belongs to the first point at or after its start, so of all
 * points that fall between two slots only the lowest can own one: the lowest point of each slot's stretch is kept, and one
 * pass from the last slot down hands it on to the empty stretches before it.
 */
import { BATCH, BATCH_BYTES, MAX_SLOTS, NIL, RING_SLOTS, SAMPLES } from './arena';
import { hash8 } from './hash';
import { MOST_BYTE_OWNERS, narrowOwners } from './routing';

/** Of each stretch the hash of its lowest point, u64, and its shard, u32 (NIL: no point); then the owner of each slot, u16. In the scratch memory: 3.5 MiB of its 16. */
const HASHES: usize = SAMPLES;
const SHARDS: usize = HASHES + ((<usize>MAX_SLOTS) << 3);
const OWNERS: usize = SHARDS + ((<usize>MAX_SLOTS) << 2);

/** Hashes of one look-up, u64, in the first half of BATCH; their owners, u16, in the second. */
const LOOK_UP_OWNERS: usize = BATCH + (BATCH_BYTES >> 1);

export function ringBegin(slotBits: u32): void {
  memory.fill(HASHES, 0xff, (<usize>8) << slotBits);
  memory.fill(SHARDS, 0xff, (<usize>4) << slotBits);
}

/** Puts the points 0..points-1 of a shard on the ring. */
export function ringAdd(shard: u32, points: u32, slotBits: u32): void {
  const shift: u64 = 64 - slotBits;
  for (let i: u32 = 0; i < points; i++) {
    const hash = hash8(<u64>shard | ((<u64>i) << 32));
    const stretch = <usize>(hash >> shift);
    const hashAt = HASHES + (stretch << 3);
    const lowest = load<u64>(hashAt);
    // An empty stretch holds the highest hash and NIL, which is above every shard.
    if (hash > lowest) continue;
    const shardAt = SHARDS + (stretch << 2);
    if (hash == lowest && shard > load<u32>(shardAt)) continue;
    store<u64>(hashAt, hash);
    store<u32>(shardAt, shard);
  }
}

/** Writes the owner of each slot, u16, and gives their address. */
export function ringOwners(slotBits: u32): usize {
  const slots: u32 = 1 << slotBits;
  // The ring is closed: behind the last slot comes the first point of all.
  let owner: u32 = 0;
  for (let slot: u32 = 0; slot < slots; slot++) {
    owner = load<u32>(SHARDS + ((<usize>slot) << 2));
    if (owner != NIL) break;
  }
  for (let slot = slots; slot-- > 0; ) {
    const own = load<u32>(SHARDS + ((<usize>slot) << 2));
    if (own != NIL) owner = own;
    store<u16>(OWNERS + ((<usize>slot) << 1), owner);
  }
  return OWNERS;
}

/** The lowest point of each stretch, u64; the highest hash where there is none. */
export function ringHashes(): usize {
  return HASHES;
}

/** Whether the table is of bytes. Not that of 2^18 slots, which is still larger than the first cache: it would gain 4 %. */
let byteTable: bool = false;

/** Takes the owners, u16, that the host has written to RING_SLOTS. */
export function ringSetSlots(slotBits: u32): void {
  byteTable = false;
  if (slotBits != 16) return;
  const slots: u32 = 1 << 16;
  for (let slot: usize = 0; slot < <usize>slots; slot++) {
    if (load<u16>(RING_SLOTS + (slot << 1)) >= MOST_BYTE_OWNERS) return;
  }
  narrowOwners(RING_SLOTS, slots);
  byteTable = true;
}

/** Writes the owner of each of the first `count` hashes in BATCH, u16, and gives their address. Up to 7 hashes after them are looked up, too. */
export function ringLookUp(count: u32, slotBits: u32): usize {
  if (byteTable) lookUpBytes(count);
  else if (slotBits == 16) lookUp16(count);
  else lookUp18(count);
  return LOOK_UP_OWNERS;
}

/** As lookUp16; a byte in an even lane is a u16. */
function lookUpBytes(count: u32): void {
  let out = LOOK_UP_OWNERS;
  for (let at = BATCH, end = BATCH + ((<usize>count) << 3); at < end; at += 64, out += 16) {
    let owners = v128.load_lane<u8>(RING_SLOTS + <usize>load<u16>(at, 6), i64x2.splat(0), 0);
    owners = v128.load_lane<u8>(RING_SLOTS + <usize>load<u16>(at, 14), owners, 2);
    owners = v128.load_lane<u8>(RING_SLOTS + <usize>load<u16>(at, 22), owners, 4);
    owners = v128.load_lane<u8>(RING_SLOTS + <usize>load<u16>(at, 30), owners, 6);
    owners = v128.load_lane<u8>(RING_SLOTS + <usize>load<u16>(at, 38), owners, 8);
    owners = v128.load_lane<u8>(RING_SLOTS + <usize>load<u16>(at, 46), owners, 10);
    owners = v128.load_lane<u8>(RING_SLOTS + <usize>load<u16>(at, 54), owners, 12);
    owners = v128.load_lane<u8>(RING_SLOTS + <usize>load<u16>(at, 62), owners, 14);
    v128.store(out, owners);
  }
}

/** The slot is the hash's uppermost u16: no shift. */
function lookUp16(count: u32): void {
  let out = LOOK_UP_OWNERS;
  for (let at = BATCH, end = BATCH + ((<usize>count) << 3); at < end; at += 64, out += 16) {
    let owners = v128.load_splat<u16>(RING_SLOTS + ((<usize>load<u16>(at, 6)) << 1));
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>load<u16>(at, 14)) << 1), owners, 1);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>load<u16>(at, 22)) << 1), owners, 2);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>load<u16>(at, 30)) << 1), owners, 3);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>load<u16>(at, 38)) << 1), owners, 4);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>load<u16>(at, 46)) << 1), owners, 5);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>load<u16>(at, 54)) << 1), owners, 6);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>load<u16>(at, 62)) << 1), owners, 7);
    v128.store(out, owners);
  }
}

function lookUp18(count: u32): void {
  let out = LOOK_UP_OWNERS;
  for (let at = BATCH, end = BATCH + ((<usize>count) << 3); at < end; at += 64, out += 16) {
    let owners = v128.load_splat<u16>(RING_SLOTS + ((<usize>(load<u32>(at, 4) >> 14)) << 1));
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>(load<u32>(at, 12) >> 14)) << 1), owners, 1);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>(load<u32>(at, 20) >> 14)) << 1), owners, 2);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>(load<u32>(at, 28) >> 14)) << 1), owners, 3);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>(load<u32>(at, 36) >> 14)) << 1), owners, 4);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>(load<u32>(at, 44) >> 14)) << 1), owners, 5);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>(load<u32>(at, 52) >> 14)) << 1), owners, 6);
    owners = v128.load_lane<u16>(RING_SLOTS + ((<usize>(load<u32>(at, 60) >> 14)) << 1), owners, 7);
    v128.store(out, owners);
  }
}
