/**
 * Every test, by vitest (`--long`: the long ones instead, without budgets; other arguments are vitest's). The last line
 * is `N passed, N failed`; `, N skipped` may follow.
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseCLI, startVitest } from 'vitest/node';
import { RunCollector, report } from './test-report.mjs';

const beganMs = Date.now();
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const long = args[0] === '--long';
if (long) process.env.WEIR_TEST_LONG = '1';

const collector = new RunCollector(join(root, 'test'));
let workers = 1;
let isWhole = false;
try {
  const { filter, options } = parseCLI(['vitest', 'run', ...args.slice(long ? 1 : 0)]);
  isWhole = filter.length === 0 && !options.testNamePattern;
  const vitest = await startVitest(filter, {
    ...options,
    root,
    run: true,
    watch: false,
    reporters: ['default', collector],
  });
  workers = vitest.config.maxWorkers;
  // Ends the broker of the run before the last lines are said.
  await vitest.close();
} catch (error) {
  // A bad option, or a broker that did not start: nothing was tested, and the last line has to say so.
  process.stderr.write(`${error.stack ?? error}\n`);
  collector.result = undefined;
}

const result = collector.result ?? { passed: 0, failed: 1, skipped: 0, suiteMs: new Map(), adapterTests: new Map() };
if (result.passed + result.failed === 0) result.failed = 1;
const { lines, complaints, last } = report(result, {
  tookMs: Date.now() - beganMs,
  workers,
  // A part of the tests, asked for by name, is not held to what the whole may take.
  budgets: !long && isWhole,
  kafka: collector.kafka,
  kafkaRequired: process.env.WEIR_TEST_REQUIRE_KAFKA === '1',
});
const failed = result.failed + complaints.length > 0;
process.stdout.write(`${[...lines, ...complaints.map((text) => `FAILED: ${text}`), '', last].join('\n')}\n`, () =>
  process.exit(failed ? 1 : 0),
);
