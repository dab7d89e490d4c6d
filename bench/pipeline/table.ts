/** The rows as tables for people: a line for each contender, with the case in words. */
import { type Column, figure, NAME, pair, ratios, render } from '../columns.ts';
import type { Row } from '../rows.ts';
import { PARTS } from './profile.ts';
import { share, UNITS } from './rows.ts';

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
