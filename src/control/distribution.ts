/**
 * How evenly a signal's load lies on its shards. A shard's fair share of the load is in proportion to its weight; everything here is in shares of
 * it: 1 is what a shard is meant to carry.
 */
import type { SignalView } from './load-view.ts';

export interface Distribution {
  /** Of the most loaded shard: 1 is perfectly even; the number of shards the worst, where they are equal. */
  readonly maxOverMean: number;
  /** Standard deviation over mean, of all shards: 0 is perfectly even. */
  readonly coefficientOfVariation: number;
  /** Mean difference of two shards over twice the mean: 0 is perfectly even, near 1 one shard has all. */
  readonly gini: number;
}

/** Bytes/s of each shard, in their order, and of all. */
export function loadsOf(
  shards: readonly { readonly id: number }[],
  { shardBytesPerSecond }: Pick<SignalView, 'shardBytesPerSecond'>,
): { loads: number[]; total: number } {
  const loads = shards.map(({ id }) => shardBytesPerSecond.get(id) ?? 0);
  return { loads, total: loads.reduce((sum, load) => sum + load, 0) };
}

/** `loads` and `fair` (see fairShares) by shard. Without load: even. */
export function distributionOf(loads: readonly number[], fair: readonly number[]): Distribution {
  const shares = Float64Array.from(loads, (load, i) => load / fair[i]!).sort();
  const count = shares.length;
  const mean = shares.reduce((sum, share) => sum + share, 0) / count;
  if (!(mean > 0)) return { maxOverMean: 1, coefficientOfVariation: 0, gini: 0 };
  let squares = 0;
  let ranked = 0;
  shares.forEach((share, rank) => {
    squares += (share - mean) ** 2;
    ranked += (2 * rank + 1 - count) * share;
  });
  return {
    maxOverMean: shares[count - 1]!,
    coefficientOfVariation: Math.sqrt(squares / count) / mean,
    gini: ranked / (count * count * mean),
  };
}

/** What each shard would carry of `total` if it lay as the weights say. In the order of the shards. */
export function fairShares(shards: readonly { readonly weight: number }[], total: number): number[] {
  const weights = shards.reduce((sum, { weight }) => sum + weight, 0);
  return shards.map(({ weight }) => (total * weight) / weights);
}
