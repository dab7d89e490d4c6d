/** The rows as tables for people: a line for each contender, and one for each comparison. */
import { figure, NAME, pair, render } from '../columns.ts';
import { table as plainTable, type Row } from '../rows.ts';
import { ALL } from './matrix.ts';
import { PARTS } from './profile.ts';
import { share, UNITS } from './rows.ts';

const RATE = figure('spans/s', UNITS.rate);
const CPU = figure('CPU-s', UNITS.cpu);
const BROKER = figure("broker's CPU-s", UNITS.broker);
const MEMORY = figure('peak RSS, MB', UNITS.memory);
const RECORDS = figure('records written', UNITS.records);
const BYTES = figure('MB written', UNITS.bytes);

const FIGURES = [
  ...[NAME, RATE, CPU, pair('user + system', UNITS.user, ' + ', UNITS.system), BROKER],
  ...PARTS.map((part) => figure(`% ${part}`, share(part))),
  pair('poll p50 / p99, ms', UNITS.pollP50, ' / ', UNITS.pollP99),
  ...[MEMORY, RECORDS, BYTES],
];

/** With every figure, and below them how they compare. */
export const table = (rows: readonly Row[]): string =>
  [render(rows, FIGURES), plainTable(rows.filter(({ peer }) => peer !== undefined))].join('\n\n');

/** For the README: what a user asks, uncompressed. */
export const shortTable = (rows: readonly Row[]): string =>
  render(rows.filter(isUncompressed), [NAME, RATE, CPU, BROKER, MEMORY, RECORDS, BYTES]);

const isUncompressed = (row: Row) => !ALL.codecs.some((codec) => row.case.includes(`, ${codec}: `));
