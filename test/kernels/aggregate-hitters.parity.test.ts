import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeHitterTotals,
  encodeHitterTotals,
  mergeHitterTotals,
} from '../../src/kernels/aggregate/hitter-totals.ts';
import type { AggregateKernel, HeavyHitters, HitterTotals } from '../../src/kernels/aggregate/kernel.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';

type Stream = ReadonlyArray<readonly [key: bigint, weight: number]>;

function add(hitters: HeavyHitters, stream: Stream): void {
  for (let from = 0; from < stream.length; from += 1_000) {
    const part = stream.slice(from, from + 1_000);
    hitters.add(
      BigUint64Array.from(part, ([key]) => key),
      Uint32Array.from(part, ([, weight]) => weight),
    );
  }
}

function totalsOf(kernel: AggregateKernel, capacity: number, stream: Stream): HitterTotals {
  const hitters = kernel.createHeavyHitters(capacity);
  add(hitters, stream);
  const totals = hitters.read();
  hitters.release();
  return totals;
}

function exactly(stream: Stream): Map<bigint, bigint> {
  const exact = new Map<bigint, bigint>();
  for (const [key, weight] of stream) exact.set(key, (exact.get(key) ?? 0n) + BigInt(weight));
  return exact;
}

/** What space-saving promises of any stream. */
function expectGuarantees({ capacity, total, hitters }: HitterTotals, stream: Stream): void {
  const exact = exactly(stream);
  const k = BigInt(capacity);
  expect(total).toBe([...exact.values()].reduce((sum, weight) => sum + weight, 0n));
  expect(hitters.length).toBeLessThanOrEqual(capacity);
  for (const { key, weight, error } of hitters) {
    const truly = exact.get(key) ?? 0n;
    expect(weight >= truly, `key ${key}: weight ${weight}, truly ${truly}`).toBe(true);
    expect(weight - error <= truly, `key ${key}: weight ${weight}, error ${error}, truly ${truly}`).toBe(true);
    expect((weight - truly) * k <= total, `key ${key}: weight ${weight}, truly ${truly}, total ${total}`).toBe(true);
  }
  const present = new Set(hitters.map(({ key }) => key));
  for (const [key, truly] of exact) {
    if (truly * k > total) expect(present.has(key), `key ${key}: truly ${truly} of ${total}`).toBe(true);
  }
}

const random = createSeededRandom(2_005);
const anyKey = () => (BigInt(random.uint32()) << 32n) | BigInt(random.uint32());
const zipfKeys = Array.from({ length: 3_000 }, anyKey);
/** Rank r has a share in proportion to 1 / r. */
const zipf = () => zipfKeys[Math.floor(zipfKeys.length ** random.unit()) - 1]!;
const stream = (length: number, key: (i: number) => bigint, weight: (i: number) => number): Stream =>
  Array.from({ length }, (_, i) => [key(i), weight(i)] as const);

const STREAMS: ReadonlyArray<readonly [string, Stream]> = [
  ['Zipf', stream(20_000, zipf, () => 1)],
  ['Zipf, weights of 100 to 5,000', stream(20_000, zipf, () => random.integer(100, 5_000))],
  ['all keys different', stream(5_000, BigInt, () => 1)],
  ['all keys different, growing weights', stream(5_000, BigInt, (i) => i + 1)],
  ['all keys different, falling weights', stream(5_000, BigInt, (i) => 5_000 - i)],
  [
    'one more key than counters, in turn',
    stream(
      5_000,
      (i) => BigInt(i % 33),
      () => 7,
    ),
  ],
  [
    'one heavy key after many light ones',
    [
      ...stream(3_000, BigInt, () => 1),
      ...stream(
        200,
        () => 2n ** 64n - 1n,
        () => 1,
      ),
    ],
  ],
  [
    'a heavy key always just evicted',
    stream(
      6_000,
      (i) => (i % 40 === 0 ? 42n : BigInt(1_000 + i)),
      () => 1,
    ),
  ],
  [
    'keys that differ in the highest bits only',
    stream(
      5_000,
      (i) => BigInt(i % 90) << 57n,
      (i) => (i % 13) + 1,
    ),
  ],
  [
    // Multiples of the inverse of homeOf's factor: they have the homes 0, 1, 2, ... and so make one long run in the index.
    'keys whose places in the index are one long run',
    stream(
      5_000,
      (i) => BigInt.asUintN(64, BigInt(i % 200) * 0xf1de83e19937733dn),
      () => 3,
    ),
  ],
  [
    'two light keys between two that are huge',
    stream(
      999,
      (i) => BigInt(i % 4),
      (i) => (i % 2 ? 2 ** 32 - 1 : 1),
    ),
  ],
];

const weights = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const streams = fc.array(
  fc.tuple(fc.oneof(fc.bigInt({ min: 0n, max: 12n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), weights),
  { maxLength: 150 },
);
const capacities = fc.integer({ min: 1, max: 20 });

describe.each(KERNEL_TWINS)('heavy hitters of the $name kernel', ({ aggregate: kernel }) => {
  it.each(STREAMS)('keep their guarantees: %s', (_, all) => {
    for (const capacity of [1, 2, 32, 100]) expectGuarantees(totalsOf(kernel, capacity, all), all);
  });

  it('keep their guarantees for any stream', () => {
    fc.assert(
      fc.property(capacities, streams, (capacity, all) => expectGuarantees(totalsOf(kernel, capacity, all), all)),
      { seed: 1, numRuns: 300 },
    );
  });

  it.each(STREAMS)('are the same as those of the reference, which searches: %s', (_, all) => {
    for (const capacity of [1, 7, 64]) {
      expect(totalsOf(kernel, capacity, all)).toEqual(totalsOf(KERNEL_TWINS[0]!.aggregate, capacity, all));
    }
  });

  it('are exact while there are counters left', () => {
    fc.assert(
      fc.property(streams, (all) => {
        const { hitters } = totalsOf(kernel, 200, all);
        const exact = [...exactly(all)].filter(([, weight]) => weight > 0n);
        expect(new Map(hitters.map(({ key, weight }) => [key, weight]))).toEqual(new Map(exact));
        expect(hitters.every(({ error }) => error === 0n)).toBe(true);
      }),
      { seed: 2, numRuns: 100 },
    );
  });

  it('let the least key of those with the least weight give way', () => {
    const { hitters } = totalsOf(kernel, 3, [
      [9n, 5],
      [2n, 4],
      [7n, 4],
      [1n, 1],
    ]);
    expect(hitters).toEqual([
      { key: 9n, weight: 5n, error: 0n },
      { key: 1n, weight: 5n, error: 4n },
      { key: 7n, weight: 4n, error: 0n },
    ]);
  });

  it('keep their guarantees when merged, also in a chain, with other capacities and with a stream that goes on', () => {
    fc.assert(
      fc.property(capacities, fc.nat(5), streams, streams, streams, streams, (capacity, more, a, b, c, d) => {
        const hitters = kernel.createHeavyHitters(capacity);
        add(hitters, a);
        hitters.merge(totalsOf(kernel, capacity + more, b));
        expectGuarantees(hitters.read(), [...a, ...b]);
        add(hitters, c);
        expectGuarantees(hitters.read(), [...a, ...b, ...c]);
        hitters.merge(decodeHitterTotals(encodeHitterTotals(totalsOf(kernel, capacity, d))));
        expectGuarantees(hitters.read(), [...a, ...b, ...c, ...d]);
        hitters.release();
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  it.each(STREAMS)('keep their guarantees when the stream is dealt out to five and merged: %s', (_, all) => {
    for (const deal of [
      (i: number) => i % 5,
      (i: number) => Math.floor((5 * i) / all.length),
      (i: number) => Number(all[i]![0] % 5n),
    ]) {
      const hitters = kernel.createHeavyHitters(16);
      for (let part = 0; part < 5; part++) {
        hitters.merge(
          totalsOf(
            kernel,
            16,
            all.filter((_, i) => deal(i) === part),
          ),
        );
      }
      expectGuarantees(hitters.read(), all);
      hitters.release();
    }
  });

  it('merge to the same whoever takes in whom', () => {
    fc.assert(
      fc.property(capacities, streams, streams, (capacity, a, b) => {
        const [ofA, ofB] = [totalsOf(kernel, capacity, a), totalsOf(kernel, capacity, b)];
        expect(mergeHitterTotals(ofA, ofB)).toEqual(mergeHitterTotals(ofB, ofA));
      }),
      { seed: 4, numRuns: 200 },
    );
  });

  it('leave no trace after a reset', () => {
    const hitters = kernel.createHeavyHitters(10);
    fc.assert(
      fc.property(streams, streams, (before, after) => {
        add(hitters, before);
        hitters.reset();
        add(hitters, after);
        expect(hitters.read()).toEqual(totalsOf(kernel, 10, after));
      }),
      { seed: 5, numRuns: 100 },
    );
    hitters.release();
  });

  it('refuse totals that no stream has, and take nothing of them', () => {
    const hitters = kernel.createHeavyHitters(2);
    add(hitters, [[5n, 3]]);
    const before = hitters.read();
    const hitter = (key: bigint, weight: bigint, error = 0n) => ({ key, weight, error });
    const bad: ReadonlyArray<readonly [string, HitterTotals]> = [
      ['their bound is too loose', { capacity: 1, total: 9n, hitters: [hitter(1n, 9n)] }],
      ['a capacity of 0', { capacity: 0, total: 9n, hitters: [] }],
      ['3 of them', { capacity: 2, total: 9n, hitters: [hitter(1n, 3n), hitter(2n, 2n), hitter(3n, 1n)] }],
      ['twice', { capacity: 2, total: 9n, hitters: [hitter(1n, 3n), hitter(1n, 2n)] }],
      ['comes after one with less weight', { capacity: 2, total: 9n, hitters: [hitter(1n, 2n), hitter(2n, 3n)] }],
      ['weights of 10', { capacity: 2, total: 9n, hitters: [hitter(1n, 6n), hitter(2n, 4n)] }],
      ['with counters left', { capacity: 2, total: 9n, hitters: [hitter(1n, 8n)] }],
      ['with counters left', { capacity: 2, total: 9n, hitters: [hitter(1n, 9n, 1n)] }],
      ['error 3', { capacity: 2, total: 9n, hitters: [hitter(1n, 5n), hitter(2n, 3n, 3n)] }],
      ['error 5', { capacity: 2, total: 9n, hitters: [hitter(1n, 6n, 5n), hitter(2n, 3n)] }],
      ['error -1', { capacity: 2, total: 9n, hitters: [hitter(1n, 5n), hitter(2n, 3n, -1n)] }],
      ['the key 18446744073709551616', { capacity: 2, total: 9n, hitters: [hitter(2n ** 64n, 9n)] }],
      ['total of 9223372036854775808', { capacity: 2, total: 2n ** 63n, hitters: [hitter(1n, 2n ** 63n)] }],
      ['total weight of', { capacity: 2, total: 2n ** 63n - 3n, hitters: [hitter(1n, 2n ** 63n - 3n)] }],
    ];
    for (const [what, totals] of bad) {
      expect(() => hitters.merge(totals), what).toThrow(what);
      expect(hitters.read(), what).toEqual(before);
    }
    hitters.release();
  });

  it('count weights beyond 2^53 to the last one, and refuse more from 2^63 on', () => {
    const hitters = kernel.createHeavyHitters(2);
    const most = 2n ** 63n - 4n;
    hitters.merge({ capacity: 2, total: most, hitters: [{ key: 1n, weight: most, error: 0n }] });
    add(hitters, [
      [1n, 1],
      [2n, 3],
    ]);
    expect(hitters.read()).toEqual({
      capacity: 2,
      total: 2n ** 63n,
      hitters: [
        { key: 1n, weight: most + 1n, error: 0n },
        { key: 2n, weight: 3n, error: 0n },
      ],
    });
    expect(() => add(hitters, [[1n, 1]])).toThrow('reset first');
    hitters.reset();
    expect(hitters.read()).toEqual({ capacity: 2, total: 0n, hitters: [] });
    expect(() => hitters.add(new BigUint64Array(2), new Uint32Array(1))).toThrow(RangeError);
    expect(() => kernel.createHeavyHitters(0)).toThrow(RangeError);
    expect(() => kernel.createHeavyHitters(65_537)).toThrow(RangeError);
    hitters.release();
  });
});

describe('heavy hitters as bytes', () => {
  const whole = totalsOf(KERNEL_TWINS[0]!.aggregate, 8, STREAMS[1]![1]);

  it('are the same when read again', () => {
    expect(decodeHitterTotals(encodeHitterTotals(whole))).toEqual(whole);
  });

  it('are refused wherever they are cut off', () => {
    const bytes = encodeHitterTotals(whole);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeHitterTotals(bytes.subarray(0, length)), `${length} bytes`).toThrow(
        /cut off|fixed64|totals|keys, /,
      );
    }
  });
});
