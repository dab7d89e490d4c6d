/**
 * `npm run fuzz`: the differential fuzzing of the split kernels with 1,000,000 mutated inputs, a fresh seed each time.
 * WEIR_FUZZ_INPUTS and WEIR_FUZZ_SEED choose otherwise; `npm test` does the same with 30,000.
 */
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startVitest } from 'vitest/node';

process.env.WEIR_FUZZ_INPUTS ??= '1000000';
// Nothing here needs a broker.
process.env.WEIR_TEST_NO_KAFKA = '1';
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const vitest = await startVitest(['test/kernels/split-fuzz'], {
  root,
  run: true,
  watch: false,
  testTimeout: 3_600_000,
});
await vitest.close();
