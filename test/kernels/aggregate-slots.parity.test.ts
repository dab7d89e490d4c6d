import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SlotCounters, SlotTotals } from '../../src/kernels/aggregate/kernel.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';

const MAX_U64 = 2n ** 64n - 1n;
const pairs = fc.array(
  fc.tuple(
    fc.oneof(fc.integer({ min: 0, max: 130 }), fc.integer({ min: 0, max: 65_535 }), fc.constant(65_535)),
    fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  ),
  { maxLength: 200 },
);

function add(counters: SlotCounters, added: ReadonlyArray<readonly [number, number]>): void {
  counters.add(
    Uint32Array.from(added, ([slot]) => slot),
    Uint32Array.from(added, ([, bytes]) => bytes),
  );
}

function asMap({ slots, bytes }: SlotTotals): Map<number, bigint> {
  return new Map(Array.from(slots, (slot, i) => [slot, bytes[i]!]));
}

const totals = (...entries: ReadonlyArray<readonly [number, bigint]>): SlotTotals => ({
  slots: Uint32Array.from(entries, ([slot]) => slot),
  bytes: BigUint64Array.from(entries, ([, bytes]) => bytes),
});

describe.each(KERNEL_TWINS)('slot counters of the $name kernel', ({ aggregate: kernel }) => {
  it('give the touched slots, ascending, with their bytes, and forget them', () => {
    const counters = kernel.createSlotCounters(16);
    fc.assert(
      fc.property(pairs, pairs, (first, second) => {
        add(counters, first);
        add(counters, second);
        const exact = new Map<number, bigint>();
        for (const [slot, bytes] of [...first, ...second]) exact.set(slot, (exact.get(slot) ?? 0n) + BigInt(bytes));
        for (const [slot, bytes] of exact) if (bytes === 0n) exact.delete(slot);
        const taken = counters.take();
        expect(asMap(taken)).toEqual(exact);
        expect([...taken.slots]).toEqual([...taken.slots].sort((a, b) => a - b));
        expect(counters.take()).toEqual(totals());
      }),
      { seed: 1, numRuns: 150 },
    );
    counters.release();
  });

  it('take all of 2^18 slots out, also where they come in uneven numbers', () => {
    const counters = kernel.createSlotCounters(18);
    const filled = Array.from({ length: 2 ** 18 }, (_, slot) => slot).filter((slot) => slot < 1 || slot > 40);
    counters.merge({
      slots: Uint32Array.from(filled),
      bytes: BigUint64Array.from(filled, (slot) => BigInt(slot) + 2n ** 40n),
    });
    const taken = counters.take();
    expect(taken.slots.length).toBe(filled.length);
    const wrong = taken.slots.findIndex((slot, i) => slot !== filled[i] || taken.bytes[i] !== BigInt(slot) + 2n ** 40n);
    expect(wrong).toBe(-1);
    expect(counters.take().slots.length).toBe(0);
    counters.release();
  });

  it('merge what others have taken', () => {
    const [ours, theirs] = [kernel.createSlotCounters(16), kernel.createSlotCounters(16)];
    add(ours, [
      [7, 100],
      [65_535, 1],
    ]);
    add(theirs, [
      [7, 11],
      [8, 12],
    ]);
    ours.merge(theirs.take());
    expect(ours.take()).toEqual(totals([7, 111n], [8, 12n], [65_535, 1n]));
    ours.release();
    theirs.release();
  });

  it.each([16, 18] as const)('refuse a batch with a slot from 2^%i on, and add nothing of it', (slotBits) => {
    const counters = kernel.createSlotCounters(slotBits);
    const beyond = 2 ** slotBits;
    for (const slot of [beyond, 2 ** 31, 2 ** 32 - 1]) {
      const refused: ReadonlyArray<readonly [number, number]> = [
        [1, 5],
        [slot, 5],
        [2, 5],
      ];
      expect(() => add(counters, refused)).toThrow(`but there are 2^${slotBits} slots`);
      expect(() => counters.merge(totals([1, 5n], [slot, 5n]))).toThrow(RangeError);
    }
    expect(() => counters.add(new Uint32Array(2), new Uint32Array(3))).toThrow(RangeError);
    expect(() => counters.add(new Uint32Array(65_537), new Uint32Array(65_537))).toThrow(RangeError);
    expect(() => counters.merge({ slots: new Uint32Array(2), bytes: new BigUint64Array(1) })).toThrow(RangeError);
    expect(counters.take()).toEqual(totals());
    add(counters, [[beyond - 1, 9]]);
    expect(counters.take()).toEqual(totals([beyond - 1, 9n]));
    counters.release();
  });

  it('count beyond 2^53 to the last byte, and refuse what would pass 2^64', () => {
    const counters = kernel.createSlotCounters(16);
    counters.merge(totals([3, 2n ** 53n + 1n]));
    add(counters, [[3, 1]]);
    expect(counters.take()).toEqual(totals([3, 2n ** 53n + 2n]));

    counters.merge(totals([3, MAX_U64 - 10n], [4, 7n]));
    const refused: ReadonlyArray<readonly [number, number]> = [
      [5, 2],
      [3, 2],
    ];
    expect(() => add(counters, refused)).toThrow('2^64 bytes');
    expect(() => counters.merge(totals([9, 4n]))).toThrow('2^64 bytes');
    expect(() => counters.merge(totals([9, MAX_U64], [10, MAX_U64]))).toThrow('2^64 bytes');
    add(counters, [[3, 3]]);
    expect(counters.take()).toEqual(totals([3, MAX_U64 - 7n], [4, 7n]));
    add(counters, [[3, 2 ** 32 - 1]]);
    expect(counters.take()).toEqual(totals([3, 2n ** 32n - 1n]));
    counters.release();
  });
});
