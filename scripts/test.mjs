/**
 * Every test, by vitest (`--long`: the long ones instead, without budgets; other arguments are vitest's). The last line
 * is `N passed, N failed`; `, N skipped` may follow.
 */
import { readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseCLI, startVitest } from 'vitest/node';
import { buildLibrdkafka, librdkafkaModules } from './librdkafka.mjs';
import { LaunchError } from './progress.mjs';
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
  if (long && needsLibrdkafka(filter)) await provideLibrdkafka();
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

/** Whether a file that runs on the driver is among those asked for, which are parts of paths. */
function needsLibrdkafka(filter) {
  const files = readdirSync(join(root, 'test'), { recursive: true }).map((file) => join('test', file));
  const onDriver = files.filter((file) => /librdkafka.*\.long\.test\.ts$/.test(file));
  return onDriver.some((file) => filter.length === 0 || filter.some((part) => file.includes(part)));
}

/** Where it cannot be built its tests fail: a part that this machine could run must not pass for tested. */
async function provideLibrdkafka() {
  try {
    await buildLibrdkafka();
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    const line = '!'.repeat(80);
    process.stderr.write(`${line}\nTHE TESTS ON LIBRDKAFKA WILL FAIL: ${error.message}\n${line}\n`);
  }
  process.env.NODE_PATH = librdkafkaModules();
}

const nothingRan = { passed: 0, failed: 1, failures: [], skipped: 0, suiteMs: new Map(), adapterTests: new Map() };
const result = collector.result ?? nothingRan;
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
