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
  const slopes = points.flatMap(([x, y], i) =>
    points.slice(i + 1).flatMap(([x2, y2]) => (x2 === x ? [] : [(y2 - y) / (x2 - x)])),
  );
  const slope = median(slopes);
  return { slope, intercept: median(points.map(([x, y]) => y - slope * x)) };
}
