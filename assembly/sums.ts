/** A row of sums over items: the AGGREGATE_ columns, of a shard or of a service instance. */
import { AGGREGATE_LATENCY_MIN, INSTANCE_HASH } from './arena';

/** Makes all sums 0, and the least latency what every latency is below. Not by memory.fill: a call takes longer than so few bytes. */
export function clearSums(at: usize): void {
  for (let column: usize = 0; column < INSTANCE_HASH; column += 8) store<u64>(at + column, 0);
  store<f64>(at, Infinity, AGGREGATE_LATENCY_MIN);
}
