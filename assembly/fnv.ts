/** FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/): what many Go programs hash keys with. */
const PRIME: u64 = 0x100000001b3;

/** Goes on with `hash`, that of the bytes before; of none it is the offset basis, see src/kernels/hash/kernel.ts. */
export function fnv1a64(hash: u64, at: usize, bytes: u32): u64 {
  for (const end = at + <usize>bytes; at < end; at++) hash = (hash ^ load<u8>(at)) * PRIME;
  return hash;
}
