/**
 * Bytes by slot, u64 each, over any number of calls. In the AGGREGATION region:
 *
 *   total u64, 64 B | 2^slotBits counters, u64 | one byte for each 64 of them: whether any was added to
 *
 * A byte is stored and not read, a bit would be both; and extraction looks only into marked groups of 64. No counter is above the
 * total, so that keeping the total from overflowing is enough.
 */
const HEADER_BYTES: usize = 64;
const GROUP_SHIFT: u32 = 6;

const OK: i32 = 0;
const SLOT_BEYOND: i32 = -1;
const OVERFLOW: i32 = -2;

function countersOf(at: usize): usize {
  return at + HEADER_BYTES;
}

function groupsOf(at: usize, slotBits: u32): usize {
  return at + HEADER_BYTES + ((<usize>8) << slotBits);
}

export function beginSlots(at: usize, slotBits: u32): void {
  memory.fill(at, 0, HEADER_BYTES + ((<usize>8) << slotBits) + ((<usize>1) << (slotBits - GROUP_SHIFT)));
}

/** Adds bytes[i], u32, to slots[i], u32. An error code, and nothing added, for a slot that there is none of and for too many bytes. */
export function addSlots(at: usize, slotBits: u32, slots: usize, bytes: usize, count: u32): i32 {
  const end = slots + ((<usize>count) << 2);
  const bytesOfSlot = bytes - slots;
  let union: u32 = 0;
  let sum: u64 = 0;
  for (let slot = slots; slot < end; slot += 4) {
    union |= load<u32>(slot);
    sum += <u64>load<u32>(slot + bytesOfSlot);
  }
  if (union >> slotBits) return SLOT_BEYOND;
  const total = load<u64>(at) + sum;
  if (total < sum) return OVERFLOW;
  store<u64>(at, total);
  const counters = countersOf(at);
  const groups = groupsOf(at, slotBits);
  for (; slots < end; slots += 4) {
    const slot = load<u32>(slots);
    const counter = counters + ((<usize>slot) << 3);
    store<u64>(counter, load<u64>(counter) + <u64>load<u32>(slots + bytesOfSlot));
    store<u8>(groups + <usize>(slot >> GROUP_SHIFT), 1);
  }
  return OK;
}

/** Adds a u64 to one slot; the host has looked that there is the slot, and that the total does not overflow. */
export function addToSlot(at: usize, slotBits: u32, slot: u32, bytes: u64): void {
  const counter = countersOf(at) + ((<usize>slot) << 3);
  store<u64>(at, load<u64>(at) + bytes);
  store<u64>(counter, load<u64>(counter) + bytes);
  store<u8>(groupsOf(at, slotBits) + <usize>(slot >> GROUP_SHIFT), 1);
}

/**
 * Takes slots above 0 out, ascending, at most `most` (64 or more) at a time: writes slot u32 and bytes u64 into two columns, sets the
 * counters to 0 and gives the slots' number; 0 when there are no more.
 */
export function takeSlots(at: usize, slotBits: u32, slots: usize, bytes: usize, most: u32): u32 {
  const counters = countersOf(at);
  const groups = groupsOf(at, slotBits);
  const count: u32 = 1 << (slotBits - GROUP_SHIFT);
  let taken: u32 = 0;
  for (let group: u32 = 0; group < count; group++) {
    if (load<u8>(groups + <usize>group) == 0) continue;
    if (taken + 64 > most) return taken;
    const first = group << GROUP_SHIFT;
    for (let slot = first; slot < first + 64; slot++) {
      const counter = counters + ((<usize>slot) << 3);
      const sum = load<u64>(counter);
      if (sum == 0) continue;
      store<u32>(slots + ((<usize>taken) << 2), slot);
      store<u64>(bytes + ((<usize>taken) << 3), sum);
      store<u64>(counter, 0);
      taken++;
    }
    store<u8>(groups + <usize>group, 0);
  }
  store<u64>(at, 0);
  return taken;
}
