import { describe, expect, it } from 'vitest';
import { growthRows } from '../../bench/soak/growth.ts';
import { table } from '../../bench/soak/table.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';

const MOST = 10;
/** Thirty minutes; the first six are left out. */
const soak = (value: (minute: number) => number) =>
  growthRows(
    'a soak: RSS, MB',
    Array.from({ length: 30 }, (_, i) => ({ minute: i + 1 })),
    ({ minute }) => value(minute),
    MOST,
  );
const verdict = (rows: ReturnType<typeof soak>) => rows.find(({ goal }) => goal)?.verdict;

describe('the growth over a soak', () => {
  it('is not seen in the time in which a process settles', () => {
    expect(verdict(soak((minute) => Math.min(100, 50 + 10 * minute)))).toBe('met');
  });

  it('is missed where it is slow and steady', () => {
    const rows = soak((minute) => 150 + minute);
    expect(verdict(rows)).toBe('missed');
    expect(rows.find(({ goal }) => goal)?.value).toBeCloseTo((100 * 23) / 157);
  });

  it.each([1, 2, 3])(
    'is missed in spite of noise, not made by it, and not judged where it may be noise alone (seed %i)',
    (seed) => {
      const random = createSeededRandom(seed);
      const noise = Array.from({ length: 31 }, () => random.unit() - 0.5);
      expect(verdict(soak((minute) => 100 + 30 * noise[minute]!))).not.toBe('missed');
      expect(verdict(soak((minute) => 100 + 3 * minute + 30 * noise[minute]!))).toBe('missed');
      expect(verdict(soak((minute) => 100 + minute + 100 * noise[minute]!))).toBe('not measurable here');
    },
  );

  it('is a line of the table', () => {
    const [, , line] = table(soak(() => 100)).split('\n');
    expect(line).toBe('| a soak: RSS, MB | 100 | 100 | 0 | 0 to 0 | 10 % growth | met |');
  });
});
