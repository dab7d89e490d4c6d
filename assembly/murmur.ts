/** MurmurHash2, 32 bits, as Kafka's Java client has it (org.apache.kafka.common.utils.Utils.murmur2) for its default partitioner. */
const M: u32 = 0x5bd1e995;

/** Goes on with `hash` (before the first byte: the seed XOR the number of bytes) over a piece whose bytes are a multiple of 4. */
export function murmurWords(hash: u32, at: usize, bytes: u32): u32 {
  for (const end = at + <usize>bytes; at < end; at += 4) {
    let word = load<u32>(at) * M;
    word ^= word >> 24;
    hash = (hash * M) ^ (word * M);
  }
  return hash;
}

/** Takes the last piece, of any size. */
export function murmurEnd(hash: u32, at: usize, bytes: u32): u32 {
  const tail = bytes & 3;
  hash = murmurWords(hash, at, bytes - tail);
  at += bytes - tail;
  if (tail > 0) {
    let last: u32 = load<u8>(at);
    if (tail > 1) last |= (<u32>load<u8>(at, 1)) << 8;
    if (tail > 2) last |= (<u32>load<u8>(at, 2)) << 16;
    hash = (hash ^ last) * M;
  }
  hash = (hash ^ (hash >> 13)) * M;
  return hash ^ (hash >> 15);
}
