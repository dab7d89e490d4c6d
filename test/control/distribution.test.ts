import { describe, expect, it } from 'vitest';
import { distributionOf, fairShares } from '../../src/control/distribution.ts';

const equal = (count: number) => Array.from({ length: count }, () => ({ weight: 1 }));
const of = (loads: number[], weights = equal(loads.length)) => {
  const total = loads.reduce((sum, load) => sum + load, 0);
  const fair = fairShares(weights, total);
  return distributionOf(loads.map((load, i) => load / fair[i]!));
};

describe('the distribution of load over shards', () => {
  it('is even where every shard has its fair share, and without load', () => {
    const even = { maxOverMean: 1, coefficientOfVariation: 0, gini: 0 };
    expect(of([5, 5, 5])).toEqual(even);
    expect(of([30, 10], [{ weight: 3 }, { weight: 1 }])).toEqual(even);
    expect(of([0, 0])).toEqual(even);
    expect(of([])).toEqual(even);
  });

  it('is what the definitions say', () => {
    // 1, 2, 3, 4: mean 2.5, variance 1.25; all ordered pairs differ by 20 in sum: 20 / (2 * 16 * 2.5).
    const { maxOverMean, coefficientOfVariation, gini } = of([4, 1, 3, 2]);
    expect(maxOverMean).toBeCloseTo(1.6, 12);
    expect(coefficientOfVariation).toBeCloseTo(Math.sqrt(1.25) / 2.5, 12);
    expect(gini).toBeCloseTo(0.25, 12);
  });

  it('comes to its worst where one shard has everything', () => {
    const { maxOverMean, gini } = of([0, 0, 0, 8]);
    expect(maxOverMean).toBe(4);
    expect(gini).toBeCloseTo(0.75, 12);
  });
});
