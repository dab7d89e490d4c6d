/** How much something has grown over a soak, once it has settled: a line through its readings, not its last against its first. */
import type { Row, Verdict } from '../rows.ts';
import { fitLine, slopeInterval } from '../statistics.ts';

/** Until here heap and compilers settle: the line begins after it. */
const SETTLING_SHARE = 0.2;

/** How often there is a reading: each minute, in a short try more often, for a line needs points. */
export const everyMinutesOf = (minutes: number): number => Math.min(1, minutes / 15);

export const UNITS = {
  first: 'at the beginning',
  last: 'at the end',
  growth: '% growth',
  atLeast: '% growth, at least',
  atMost: '% growth, at most',
} as const;

/** The line's rise from its beginning to its end, in % of its beginning, with the interval that noise leaves it, and whether it is at most `most`. */
export function growthRows<Reading extends { readonly minute: number }>(
  of: string,
  readings: readonly Reading[],
  value: (reading: Reading) => number,
  most: number,
): Row[] {
  const settled = readings.slice(Math.ceil(readings.length * SETTLING_SHARE));
  const points = settled.map((reading) => [reading.minute, value(reading)] as const);
  const { intercept, slope } = fitLine(points);
  const [from, to] = [settled[0]!.minute, settled.at(-1)!.minute];
  const [first, last] = [intercept + slope * from, intercept + slope * to];
  const percent = (rise: number) => (100 * rise * (to - from)) / first;
  const [low, high] = slopeInterval(points).map(percent) as [number, number];
  const grownBy = percent(slope);
  const row = (unit: string, figure: number): Row => ({ name: 'soak', case: of, value: figure, unit });
  return [
    row(UNITS.first, first),
    row(UNITS.last, last),
    row(UNITS.atLeast, low),
    row(UNITS.atMost, high),
    {
      ...row(UNITS.growth, grownBy),
      peer: 'limit',
      peer_value: most,
      goal: { must: most, of: 'value' },
      verdict: judge(grownBy, low, most),
    },
  ];
}

/** A line above the limit that noise alone may have raised so far tells nothing. */
function judge(grownBy: number, atLeast: number, most: number): Verdict {
  if (grownBy <= most) return 'met';
  return atLeast > most ? 'missed' : 'not measurable here';
}
