/** How uneven the shards are, by the items of the last seconds. */
import { distributionOf } from '../../src/control/distribution.ts';

/** Loads are looked at over this, as the controller does. */
export const WINDOW_MS = 15_000;

/** `lately`: items by shard id, for each second; `shards`: those that count. */
export function maxOverMeanOf(lately: readonly Float64Array[], shards: readonly number[]): number {
  const loads = shards.map((shard) => lately.reduce((sum, second) => sum + (second[shard] ?? 0), 0));
  const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length;
  return distributionOf(loads.map((load) => load / mean)).maxOverMean;
}
