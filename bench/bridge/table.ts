/** The rows as tables for people: a line for each contender. */
import { type Column, figure, NAME, pair, ratios, render } from '../columns.ts';
import type { Row } from '../rows.ts';
import { UNITS } from './rows.ts';

const RATE = figure('spans/s', UNITS.rate);
const CPU = figure('CPU-s per 1M spans', UNITS.cpu);
const BROKER = figure("broker's CPU-s", UNITS.broker);
const MEMORY = figure('peak RSS, MB', UNITS.memory);
const ACK = pair('ack at half the rate, p50 / p99, ms', UNITS.halfP50, ' / ', UNITS.halfP99);

const ALL: readonly Column[] = [
  ...[NAME, RATE, CPU, pair('user + system', UNITS.user, ' + ', UNITS.system), BROKER, MEMORY, ACK],
  figure('p99 at 50 requests/s, ms', UNITS.lowP99),
  figure('straight to Kafka, ms', UNITS.straightP99),
  ratios('CPU-s against', UNITS.cpu),
  ratios('p99 at 50 requests/s', UNITS.lowP99),
];

/** With every figure. */
export const table = (rows: readonly Row[]): string => render(rows, ALL);

/** For the README: what a user asks. */
export const shortTable = (rows: readonly Row[]): string => render(rows, [NAME, RATE, CPU, BROKER, MEMORY, ACK]);
