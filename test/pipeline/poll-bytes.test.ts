import { describe, expect, it } from 'vitest';
import { pollBytes } from '../../src/pipeline/poll-bytes.ts';

describe('the bytes of a poll', () => {
  it('grow with the shards, so that the records of many are not small', () => {
    expect([1, 16, 125, 200, 250].map((shards) => pollBytes(shards, 8_000_000))).toEqual([
      4_000_000, 4_000_000, 4_000_000, 6_400_000, 8_000_000,
    ]);
  });

  it('are never more than the setting', () => {
    expect(pollBytes(16, 1_000_000)).toBe(1_000_000);
    expect(pollBytes(4_096, 8_000_000)).toBe(8_000_000);
  });
});
