/** How evenly load is spread over shards. */

export interface Distribution {
  /** Of the most loaded shard: 1 is perfectly even; where all shards weigh the same, the number of shards is the worst. */
  readonly maxOverMean: number;
  /** Standard deviation over mean, across all shards: 0 is perfectly even. */
  readonly coefficientOfVariation: number;
  /** Mean difference between two shards, over twice the mean: 0 is perfectly even, near 1 one shard has everything. */
  readonly gini: number;
}

/** `relativeLoads`: each shard's load over its fair share. Without any load the distribution counts as even. */
export function distributionOf(relativeLoads: readonly number[]): Distribution {
  const sorted = Float64Array.from(relativeLoads).sort();
  const count = sorted.length;
  const mean = sorted.reduce((sum, load) => sum + load, 0) / count;
  if (!(mean > 0)) return { maxOverMean: 1, coefficientOfVariation: 0, gini: 0 };
  let squares = 0;
  let ranked = 0;
  sorted.forEach((load, rank) => {
    squares += (load - mean) ** 2;
    ranked += (2 * rank + 1 - count) * load;
  });
  return {
    maxOverMean: sorted[count - 1]!,
    coefficientOfVariation: Math.sqrt(squares / count) / mean,
    gini: ranked / (count * count * mean),
  };
}

/** What each shard would carry of `total` in proportion to its weight. In the order of the shards. */
export function fairShares(shards: readonly { readonly weight: number }[], total: number): number[] {
  const weights = shards.reduce((sum, { weight }) => sum + weight, 0);
  return shards.map(({ weight }) => (total * weight) / weights);
}
