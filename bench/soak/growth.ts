/** How much something has grown over a soak, once it has settled: a line through its readings, not its last against its first. */
import type { Row } from '../rows.ts';
import { fitLine } from '../statistics.ts';

/** Until here heap and compilers settle: the line begins after it. */
const SETTLING_SHARE = 0.2;

/** How often there is a reading: each minute, in a short try more often, for a line needs points. */
export const everyMinutesOf = (minutes: number): number => Math.min(1, minutes / 15);

/** The line's rise from its beginning to its end, in % of its beginning, and whether that is at most `most`. */
export function growthRow<Reading extends { readonly minute: number }>(
  soak: string,
  of: string,
  readings: readonly Reading[],
  value: (reading: Reading) => number,
  most: number,
): Row {
  const settled = readings.slice(Math.ceil(readings.length * SETTLING_SHARE));
  const { intercept, slope } = fitLine(settled.map((reading) => [reading.minute, value(reading)]));
  const [first, last] = [settled[0]!, settled.at(-1)!].map(({ minute }) => intercept + slope * minute) as [
    number,
    number,
  ];
  const grownBy = 100 * (last / first - 1);
  return {
    name: 'soak',
    case: `${soak}: ${of} from ${first.toFixed(0)} to ${last.toFixed(0)}`,
    value: grownBy,
    unit: '% growth',
    peer: 'limit',
    peer_value: most,
    goal: { must: most, of: 'value' },
    verdict: grownBy <= most ? 'met' : 'missed',
  };
}
