/** What `npm test` says in its last lines: adapters, times against budgets, counts. Collected as a vitest reporter. */
import { relative, sep } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { ALL_MINUTES, OTHER_SUITE_SECONDS, PARTS } from './test-budgets.mjs';

/**
 * @typedef {object} RunResult
 * @property {number} passed
 * @property {number} failed   tests, and what fails outside of one: a file that does not load, a hook, an unhandled error
 * @property {Failure[]} failures   each of those
 * @property {number} skipped
 * @property {Map<string, number>} suiteMs
 * @property {Map<string, number>} adapterTests   tests that ran on each Kafka adapter
 */

/**
 * @typedef {object} Failure
 * @property {string} name      as vitest prints it: the file, and the test in it where it is one
 * @property {number} tookMs    0 outside of a test
 * @property {string} message   first line of the error
 */

/** Failures that the last lines name; of more only the number. */
const NAMED_FAILURES = 12;

/** A vitest reporter that keeps the result of the run. */
export class RunCollector {
  /** @type {RunResult | undefined} undefined while nothing has run to its end. */
  result;

  /** @type {{ reason: string } | object | undefined} what test/setup/kafka.ts provided */
  kafka;

  constructor(testFolder) {
    this.testFolder = testFolder;
  }

  onInit(vitest) {
    this.vitest = vitest;
  }

  onTestRunEnd(modules, unhandledErrors) {
    // Now, as it is gone when vitest has closed.
    this.kafka = this.vitest.getProvidedContext().kafka;
    const result = {
      passed: 0,
      failed: 0,
      failures: [],
      skipped: 0,
      suiteMs: new Map(),
      adapterTests: new Map(),
    };
    const add = (map, key, amount) => map.set(key, (map.get(key) ?? 0) + amount);
    const fail = (name, error, tookMs = 0) => {
      result.failed++;
      result.failures.push({ name, tookMs, message: firstLine(error) });
    };
    for (const error of unhandledErrors) fail('outside of a test', error);
    for (const module of modules) {
      const file = relative(this.testFolder, module.moduleId);
      add(result.suiteMs, suiteOf(file), module.diagnostic().duration);
      for (const error of module.errors()) fail(file, error);
      for (const suite of module.children.allSuites())
        for (const error of suite.errors()) fail(`${file} > ${suite.fullName}`, error);
      for (const test of module.children.allTests()) {
        const { state, errors } = test.result();
        if (state === 'pending') continue;
        if (state === 'failed') fail(`${file} > ${test.fullName}`, errors[0], test.diagnostic()?.duration);
        else result[state]++;
        const adapter = test.meta().kafkaAdapter ?? adapterOf(module.moduleId);
        if (adapter !== undefined && state !== 'skipped') add(result.adapterTests, adapter, 1);
      }
    }
    this.result = result;
  }
}

function firstLine(error) {
  const text = stripVTControlCharacters(String(error?.message ?? error)).trim();
  return text.split('\n', 1)[0].slice(0, 300);
}

/** A suite that runs on every adapter has a file for each: `memory.test.ts`, `processor.kafkajs.test.ts`. */
const adapterOf = (path) => /\b(kafkajs|memory)\.test\.ts$/.exec(path)?.[1];

/** @param {string} path relative to the test folder */
export const suiteOf = (path) => path.split(sep)[0].replace(/(\.long)?\.test\.ts$/, '');

/**
 * The last lines. Each line of `complaints` counts as a failure of the run.
 * @param {RunResult} result
 * @param {{ tookMs: number, workers: number, budgets: boolean, kafka: { reason: string } | object | undefined, kafkaRequired: boolean }} run
 * @returns {{ lines: string[], complaints: string[], last: string }}
 */
export function report(result, run) {
  const lines = [];
  const complaints = [];
  lines.push('', 'Kafka adapters tested:');
  const missing = run.kafka && 'reason' in run.kafka ? run.kafka.reason : undefined;
  const count = (adapter) => result.adapterTests.get(adapter) ?? 0;
  for (const [adapter, what] of [
    ['kafkajs', 'on real Apache Kafka'],
    // In the long run only.
    ...(count('librdkafka') > 0 ? [['librdkafka', 'on real Apache Kafka']] : []),
    ['memory', 'the in-process log'],
  ]) {
    lines.push(`  ${adapter} (${what}): ${count(adapter) === 0 ? 'NOT TESTED' : `${count(adapter)} tests`}`);
  }
  if (missing !== undefined) {
    lines.push('', '!'.repeat(80), `THE TESTS ON REAL KAFKA WERE SKIPPED: ${missing}`, '!'.repeat(80));
  }
  if (run.kafkaRequired && count('kafkajs') === 0) {
    complaints.push(`Real Kafka is required here (WEIR_TEST_REQUIRE_KAFKA=1), and nothing was tested on it.`);
  }
  const times = timeLines(result, run);
  lines.push('', ...times.lines);
  complaints.push(...times.complaints);
  lines.push(...failureLines(result.failures));
  const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : '';
  return {
    lines,
    complaints,
    last: `${result.passed} passed, ${result.failed + complaints.length} failed${skipped}`,
  };
}

/** What failed, said again at the end: of a log that is kept, that is what one gets to see. */
function failureLines(failures) {
  if (failures.length === 0) return [];
  const named = failures.slice(0, NAMED_FAILURES).flatMap(({ name, tookMs, message }) => {
    const after = tookMs > 0 ? ` (after ${(tookMs / 1_000).toFixed(1)} s)` : '';
    return [`FAILED: ${name}${after}`, `  ${message}`];
  });
  const more = failures.length - NAMED_FAILURES;
  return ['', ...named, ...(more > 0 ? [`FAILED: ${more} more, see above`] : [])];
}

function timeLines(result, { tookMs, workers, budgets }) {
  const seconds = (ms) => `${(ms / 1_000).toFixed(1)} s`;
  if (!budgets) {
    const suites = [...result.suiteMs].map(([suite, ms]) => `  ${suite.padEnd(16)} ${seconds(ms)}`);
    return {
      lines: ['Time, without budgets:', ...suites, `  ${'in all'.padEnd(16)} ${seconds(tookMs)}`],
      complaints: [],
    };
  }
  const lines = ['Time against budget (a suite: its files added up; a part: that by the files that run at once):'];
  const complaints = [];
  const check = (what, ms, budgetMs) => {
    const over = ms > budgetMs;
    lines.push(
      `  ${what.padEnd(20)} ${seconds(ms).padStart(8)} of ${seconds(budgetMs).padStart(8)}${over ? '  OVER' : ''}`,
    );
    if (over)
      complaints.push(
        `${what} took ${seconds(ms)}, over its budget of ${seconds(budgetMs)} (scripts/test-budgets.mjs).`,
      );
  };
  const partOf = (suite) => PARTS.find((part) => suite in part.suiteSeconds) ?? PARTS[0];
  for (const part of PARTS) {
    const suites = [...result.suiteMs].filter(([suite]) => partOf(suite) === part);
    for (const [suite, ms] of suites) check(suite, ms, (part.suiteSeconds[suite] ?? OTHER_SUITE_SECONDS) * 1_000);
    const partMs = suites.reduce((sum, [, ms]) => sum + ms, 0) / workers;
    check(`part: ${part.part}`, partMs, part.minutes * 60_000);
  }
  check('in all', tookMs, ALL_MINUTES * 60_000);
  return { lines, complaints };
}
