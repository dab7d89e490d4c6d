import { expect, it } from 'vitest';
import { measure } from '../../bench/pipeline/contender.ts';

it('a contender that is through before it could be measured gives no figures', async () => {
  let stopped = false;
  const start = async () => ({
    pid: process.pid,
    assertRunning() {},
    progress: async () => ({ done: 7, isAll: true }),
    stop: async () => {
      stopped = true;
    },
  });
  await expect(measure({ start }, 100, process.pid)).rejects.toThrow('100 spans are too few');
  expect(stopped).toBe(true);
});
