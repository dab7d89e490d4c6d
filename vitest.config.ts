import { defineConfig } from 'vitest/config';

const long = process.env.WEIR_TEST_LONG === '1';

export default defineConfig({
  test: {
    include: [long ? 'test/**/*.long.test.ts' : 'test/**/*.test.ts'],
    exclude: long ? [] : ['test/**/*.long.test.ts'],
    globalSetup: ['test/setup/kafka.ts'],
    // Each file in a process of its own: signals, child processes and WASM memory stay that file's.
    pool: 'forks',
    // On two cores two files at once overlap one's waiting for Kafka with the other's computing; a third would only
    // stretch the times that the tests allow themselves. Topics and groups have names of their own, so files do not meet.
    maxWorkers: 2,
    // For what hangs. How fast something has to be is what a test asserts: a busy machine, or one that stands still for
    // some seconds, fails none.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 60_000,
  },
});
