/** Robust ones: a single disturbed measurement must not decide. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Line {
  readonly intercept: number;
  readonly slope: number;
}

/** Theil and Sen's: the median of the slopes of all pairs of points. Of at least two different x. */
export function fitLine(points: readonly (readonly [x: number, y: number])[]): Line {
  const slope = median(slopesOf(points));
  return { slope, intercept: median(points.map(([x, y]) => y - slope * x)) };
}

/** In 95 of 100 cases the true slope is between these, if the points scatter independently: Sen's interval, by the ranks of the slopes of all pairs of points. Of different x. */
export function slopeInterval(points: readonly (readonly [x: number, y: number])[]): [low: number, high: number] {
  const n = points.length;
  const slopes = slopesOf(points).sort((a, b) => a - b);
  // Kendall: so much do the numbers of rising and falling pairs scatter where there is no slope.
  const scatter = 1.96 * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  const low = Math.max(0, Math.floor((slopes.length - scatter) / 2));
  return [slopes[low]!, slopes[slopes.length - 1 - low]!];
}

const slopesOf = (points: readonly (readonly [x: number, y: number])[]): number[] =>
  points.flatMap(([x, y], i) => points.slice(i + 1).flatMap(([x2, y2]) => (x2 === x ? [] : [(y2 - y) / (x2 - x)])));
