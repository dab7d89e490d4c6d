/** XXH64 of many keys a call: one by one, crossing over from JS costs many times what hashing does. */
import { LOOKUP_SLOTS } from './arena';
import { hash16, hash16Seeded, hashSeeded } from './hash';

/** Of keys anywhere behind `keys`, whose offsets from there and bytes are in two u32 columns. Writes a u64 each to `out`. */
export function hashKeys(keys: usize, offsets: usize, lengths: usize, count: u32, seed: u64, out: usize): void {
  for (const end = out + ((<usize>count) << 3); out < end; out += 8, offsets += 4, lengths += 4) {
    store<u64>(out, hashSeeded(keys + load<u32>(offsets), load<u32>(lengths), seed));
  }
}

/**
 * Of trace ids, one after the other. Writes a u64 each to `out`. Four independent ones a turn keep the multiplier busy: 13 % faster
 * than one. (Two a turn in SIMD take twice as long: i64x2.mul is slow.)
 */
export function hashKeys16(keys: usize, count: u32, seed: u64, out: usize): void {
  for (; count >= 4; count -= 4, keys += 64, out += 32) {
    const a = hash16Seeded(load<u64>(keys), load<u64>(keys, 8), seed);
    const b = hash16Seeded(load<u64>(keys, 16), load<u64>(keys, 24), seed);
    const c = hash16Seeded(load<u64>(keys, 32), load<u64>(keys, 40), seed);
    const d = hash16Seeded(load<u64>(keys, 48), load<u64>(keys, 56), seed);
    store<u64>(out, a);
    store<u64>(out, b, 8);
    store<u64>(out, c, 16);
    store<u64>(out, d, 24);
  }
  for (; count > 0; count--, keys += 16, out += 8) {
    store<u64>(out, hash16Seeded(load<u64>(keys), load<u64>(keys, 8), seed));
  }
}

/** Trace id -> XXH64, seed 0 -> slot -> owner, of the 2^slotBits slots at LOOKUP_SLOTS. Writes a u16 each to `out`. */
export function ownersOf16(keys: usize, count: u32, slotBits: u32, out: usize): void {
  const shift: u64 = 64 - slotBits;
  for (; count >= 4; count -= 4, keys += 64, out += 8) {
    const a = hash16(load<u64>(keys), load<u64>(keys, 8));
    const b = hash16(load<u64>(keys, 16), load<u64>(keys, 24));
    const c = hash16(load<u64>(keys, 32), load<u64>(keys, 40));
    const d = hash16(load<u64>(keys, 48), load<u64>(keys, 56));
    store<u16>(out, ownerOf(a >> shift));
    store<u16>(out, ownerOf(b >> shift), 2);
    store<u16>(out, ownerOf(c >> shift), 4);
    store<u16>(out, ownerOf(d >> shift), 6);
  }
  for (; count > 0; count--, keys += 16, out += 2) {
    store<u16>(out, ownerOf(hash16(load<u64>(keys), load<u64>(keys, 8)) >> shift));
  }
}

function ownerOf(slot: u64): u16 {
  return load<u16>(LOOKUP_SLOTS + ((<usize>slot) << 1));
}
