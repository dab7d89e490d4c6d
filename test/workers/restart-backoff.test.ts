import { describe, expect, it } from 'vitest';
import { RestartBackoff } from '../../src/workers/restart-backoff.ts';

describe('the back-off of a worker that ends by itself', () => {
  it('doubles from half a second to 30 s', () => {
    const backoff = new RestartBackoff();
    const waits = Array.from({ length: 8 }, () => backoff.after(1_000));
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it('begins anew after a run of a minute', () => {
    const backoff = new RestartBackoff();
    for (let ended = 0; ended < 5; ended++) backoff.after(59_999);
    expect(backoff.after(60_000)).toBe(500);
    expect(backoff.after(0)).toBe(1_000);
  });
});
