import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const MODULE = new URL('../../src/roles/young-generation.ts', import.meta.url).href;
/** What outlives collections makes V8 double the young generation; the program prints it in bytes before and after. */
const CHURN = `
  import { getHeapSpaceStatistics } from 'node:v8';
  const bytes = () => getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size;
  const before = bytes();
  let kept = [];
  for (let i = 0; i < 1_000_000; i++) {
    kept.push({ i });
    if (kept.length > 50_000) kept = kept.slice(25_000);
  }
  console.log(JSON.stringify([before, bytes()]));
`;

async function grown(before: string): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', `${before}${CHURN}`]);
  const [from, to] = JSON.parse(stdout) as [number, number];
  return to / from;
}

it('keeps the young generation as it is, which under load would else grow to many times that', async () => {
  const [free, kept] = await Promise.all([
    grown(''),
    grown(`import { keepYoungGeneration } from '${MODULE}'; keepYoungGeneration();`),
  ]);
  // Of its own it becomes 32 times as large. Kept, it is at 2, or at a page or two more while one is being collected.
  expect(free).toBeGreaterThan(8);
  expect(kept).toBeLessThan(4);
});
