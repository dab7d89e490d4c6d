/** Rows as a table for people that has a line for each case: what is known of it, in columns. */
import { type Row, rounded } from './rows.ts';

export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
  /** From the rows of one case. */
  cell(rows: readonly Row[]): string;
}

export const NAME: Column = { title: 'case', align: 'left', cell: (rows) => rows[0]!.case };

/** The value that has this unit and no peer. */
export const figure = (title: string, unit: string): Column => ({
  title,
  align: 'right',
  cell: (rows) => shown(rows, unit),
});

export const pair = (title: string, one: string, between: string, other: string): Column => ({
  title,
  align: 'right',
  cell: (rows) => [shown(rows, one), shown(rows, other)].filter((value) => value !== '').join(between),
});

/** Against each peer, with the verdict where there is a goal. */
export const ratios = (title: string, unit: string): Column => ({
  title,
  align: 'left',
  cell: (rows) =>
    rows
      .filter((row) => row.unit === unit && row.peer !== undefined)
      .map(({ peer, ratio, verdict }) => `${peer}: ${rounded(ratio)}x${verdict ? ` (${verdict})` : ''}`)
      .join('; '),
});

export function render(rows: readonly Row[], columns: readonly Column[]): string {
  const cases = [...new Set(rows.map((row) => row.case))];
  const lines = cases.map((name) => {
    const own = rows.filter((row) => row.case === name);
    return columns.map((column) => column.cell(own));
  });
  const rule = columns.map(({ align }) => (align === 'left' ? '---' : '---:'));
  return [columns.map(({ title }) => title), rule, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const shown = (rows: readonly Row[], unit: string) =>
  rounded(rows.find((row) => row.unit === unit && row.peer === undefined)?.value);
