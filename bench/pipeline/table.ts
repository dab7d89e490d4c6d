/** The rows as tables for people: a line for each contender, with the case in words. */
import { type Row, rounded } from '../rows.ts';
import { PARTS } from './profile.ts';
import { share, UNITS } from './rows.ts';

interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
  /** From the rows of one contender. */
  cell(rows: readonly Row[]): string;
}

const figure = (title: string, unit: string): Column => ({
  title,
  align: 'right',
  cell: (rows) => shown(rows, unit),
});

const pair = (title: string, one: string, between: string, other: string): Column => ({
  title,
  align: 'right',
  cell: (rows) => [shown(rows, one), shown(rows, other)].filter((value) => value !== '').join(between),
});

/** Against each peer, with the verdict where there is a goal. */
const ratios = (title: string, unit: string): Column => ({
  title,
  align: 'left',
  cell: (rows) =>
    rows
      .filter((row) => row.unit === unit && row.peer !== undefined)
      .map(({ peer, ratio, verdict }) => `${peer}: ${rounded(ratio)}x${verdict ? ` (${verdict})` : ''}`)
      .join('; '),
});

const NAME: Column = { title: 'case', align: 'left', cell: (rows) => rows[0]!.case };
const RATE = figure('spans/s', UNITS.rate);
const CPU = figure('CPU-s', UNITS.cpu);
const BROKER = figure("broker's CPU-s", UNITS.broker);
const MEMORY = figure('peak RSS, MB', UNITS.memory);
const RECORDS = figure('records written', UNITS.records);
const BYTES = figure('MB written', UNITS.bytes);
const RATIOS = ratios('CPU-s against', UNITS.cpu);

const ALL: readonly Column[] = [
  ...[NAME, RATE, CPU, pair('user + system', UNITS.user, ' + ', UNITS.system), BROKER],
  ...PARTS.map((part) => figure(`% ${part}`, share(part))),
  pair('poll p50 / p99, ms', UNITS.pollP50, ' / ', UNITS.pollP99),
  ...[MEMORY, RECORDS, BYTES, RATIOS, ratios('broker included', UNITS.withBroker), ratios('throughput', UNITS.rate)],
];

/** With every figure. */
export const table = (rows: readonly Row[]): string => render(rows, ALL);

/** For the README: what a user asks. */
export const shortTable = (rows: readonly Row[]): string =>
  render(rows, [NAME, RATE, CPU, BROKER, MEMORY, RECORDS, BYTES]);

function render(rows: readonly Row[], columns: readonly Column[]): string {
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
