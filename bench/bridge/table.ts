/** The rows as a table for people: a line for each contender. */
import { figure, NAME, pair, ratios, render } from '../columns.ts';
import type { Row } from '../rows.ts';
import { UNITS } from './rows.ts';

export const table = (rows: readonly Row[]): string =>
  render(rows, [
    NAME,
    figure('spans/s', UNITS.rate),
    figure('CPU-s', UNITS.cpu),
    pair('user + system', UNITS.user, ' + ', UNITS.system),
    figure("broker's CPU-s", UNITS.broker),
    figure('peak RSS, MB', UNITS.memory),
    pair('ack at half the rate, p50 / p99, ms', UNITS.halfP50, ' / ', UNITS.halfP99),
    figure('p99 at 50 requests/s, ms', UNITS.lowP99),
    figure('straight to Kafka, ms', UNITS.straightP99),
    ratios('CPU-s against', UNITS.cpu),
    ratios('p99 at 50 requests/s', UNITS.lowP99),
  ]);
