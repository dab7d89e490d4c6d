import { describe, expect, it } from 'vitest';
import { fitLine, median } from '../../bench/statistics.ts';

describe('a median', () => {
  it('is the middle one, or the mean of the two in the middle', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 9, 2])).toBe(3);
  });
});

describe('a fitted line', () => {
  const straight = Array.from({ length: 15 }, (_, x) => [x, 100 + 2 * x] as const);

  it('is the line that the points are on', () => {
    expect(fitLine(straight)).toEqual({ slope: 2, intercept: 100 });
  });

  it('does not follow a few points that are far off', () => {
    const disturbed = straight.map(([x, y]) => [x, x === 3 || x === 14 ? 10_000 : y] as const);
    expect(fitLine(disturbed).slope).toBeCloseTo(2);
    expect(fitLine(disturbed).intercept).toBeCloseTo(100);
  });
});
