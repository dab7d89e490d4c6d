/** The rows of a soak for people: a line for each thing that was watched. */
import { type Column, figure, NAME, render } from '../columns.ts';
import { type Row, rounded } from '../rows.ts';
import { UNITS } from './growth.ts';

const judged = (title: string, cell: (row: Row) => string): Column => ({
  title,
  align: 'right',
  cell: (rows) =>
    rows
      .filter(({ goal }) => goal)
      .map(cell)
      .join(),
});
const ofGrowth = (rows: readonly Row[], unit: string) => rounded(rows.find((row) => row.unit === unit)?.value);

export const table = (rows: readonly Row[]): string =>
  render(rows, [
    { ...NAME, title: 'watched' },
    figure('at the beginning', UNITS.first),
    figure('at the end', UNITS.last),
    { title: 'growth, %', align: 'right', cell: (own) => ofGrowth(own, UNITS.growth) },
    {
      title: '95 % sure, %',
      align: 'right',
      cell: (own) =>
        [UNITS.atLeast, UNITS.atMost]
          .map((unit) => ofGrowth(own, unit))
          .filter(Boolean)
          .join(' to '),
    },
    judged('limit', ({ goal, unit }) => `${rounded(goal!.must)} ${unit}`),
    judged('', ({ verdict = '' }) => verdict),
  ]);

export const notes = (): string =>
  `Beginning, end and growth are those of a line (Theil and Sen's) through the readings that follow the first fifth of the time. If readings scattered independently of
each other, the true growth would lie in the interval beside it in 95 of 100 cases; memory's do not quite, so it is rather too narrow. A limit is missed where all of the
interval is above it, and where only its upper part is, the machine was too noisy to tell.`;
