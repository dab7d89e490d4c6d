/** Smaller polls keep more partitions in flight at once, which at 16 shards raised the throughput by a quarter. */
const USUAL_POLL_BYTES = 4_000_000;
/**
 * A shard's record costs much the same whatever it holds: its header, its place in three requests, the broker's work for a
 * partition. So polls grow with the number of shards, lest their records become so small that this is most of the cost.
 */
const POLL_BYTES_A_SHARD = 32_000;

/** Most value bytes of a poll; `maxBytes` is the setting. */
export function pollBytes(shards: number, maxBytes: number): number {
  return Math.min(maxBytes, Math.max(USUAL_POLL_BYTES, shards * POLL_BYTES_A_SHARD));
}
