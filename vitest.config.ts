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
    testTimeout: 30_000,
    // A hook may start a broker on a busy machine.
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
});
