import { expect, it } from 'vitest';
import { maxValueBytes } from '../../src/bridge/record-bytes.ts';

it('the largest value leaves room for the batch and for its headers', () => {
  const headers = [['tenant', Buffer.alloc(256)]] as const;
  expect(maxValueBytes(100_000, [])).toBeLessThan(100_000 - 61);
  expect(maxValueBytes(100_000, headers)).toBeLessThan(maxValueBytes(100_000, []) - 256 - 'tenant'.length);
});
