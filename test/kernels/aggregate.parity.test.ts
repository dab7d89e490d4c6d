import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LATENCY_BUCKETS, latencyQuantileNs, MAX_LATENCY_NS } from '../../src/kernels/aggregate/histogram.ts';
import { type AggregateKernel, MAX_SAMPLES, type ShardTotals } from '../../src/kernels/aggregate/kernel.ts';
import type { Sample } from '../../src/kernels/aggregate/sample-batch.ts';
import { decodeShardTotals, encodeShardTotals } from '../../src/kernels/aggregate/shard-totals.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { ProtobufError } from '../../src/protobuf/reader.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';

const SHARDS = 5;

/** Totals of samples in batches of `capacity`. */
function totalsOf(kernel: AggregateKernel, samples: readonly Sample[], capacity = 64, shards = SHARDS): ShardTotals[] {
  const aggregates = kernel.createShardAggregates(shards);
  const batch = kernel.createBatch(capacity);
  try {
    for (const sample of samples) {
      batch.push(sample.shard, sample.bytes, sample.latencyNs, sample.error);
      if (!batch.full) continue;
      aggregates.add(batch);
      batch.clear();
    }
    aggregates.add(batch);
    return aggregates.read();
  } finally {
    batch.release();
    aggregates.release();
  }
}

/** Merged one after the other into an empty one. */
function merged(kernel: AggregateKernel, ...parts: ReadonlyArray<readonly ShardTotals[]>): ShardTotals[] {
  const aggregates = kernel.createShardAggregates(SHARDS);
  try {
    for (const part of parts) aggregates.merge(part);
    return aggregates.read();
  } finally {
    aggregates.release();
  }
}

const latencies = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 3, arbitrary: fc.maxSafeInteger().map((value) => Math.abs(value) % (MAX_LATENCY_NS + 1)) },
  // Neighbours of the octaves, where a bucket is off by one if it ever is.
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.integer({ min: 0, max: 52 }), fc.integer({ min: -2, max: 2 }))
      .map(([octave, offset]) => Math.min(Math.max(2 ** octave + offset, 0), MAX_LATENCY_NS)),
  },
);
const samples = fc.array(
  fc.record({
    shard: fc.integer({ min: 0, max: SHARDS - 1 }),
    bytes: fc.oneof(fc.integer({ min: 0, max: 1_000 }), fc.constant(2 ** 32 - 1)),
    latencyNs: latencies,
    error: fc.boolean(),
  }),
  { maxLength: 300 },
);

const random = createSeededRandom(46);
const normal = () => Math.sqrt(-2 * Math.log(1 - random.unit())) * Math.cos(2 * Math.PI * random.unit());
const DISTRIBUTIONS: ReadonlyArray<readonly [string, () => number]> = [
  ['uniform from 1 ns to 10 s', () => random.integer(1, 10_000_000_000)],
  ['uniform from 0 to 500 ns', () => random.integer(0, 500)],
  ['lognormal around 1 ms', () => Math.floor(Math.exp(13.8 + 1.5 * normal()))],
  ['two peaks, 200 µs and 2 s', () => Math.floor((random.chance(0.9) ? 200_000 : 2e9) * (1 + 0.1 * random.unit()))],
  ['constant', () => 123_456_789],
  ['powers of two, 1 ns to 18 hours', () => 2 ** random.integer(0, 46)],
  ['one below powers of two', () => 2 ** random.integer(0, 52) - 1],
  ['one short of the next bucket', () => (64 + random.integer(1, 64)) * 2 ** random.integer(0, 40) - 2],
  ['the two extremes', () => (random.chance(0.5) ? 0 : MAX_LATENCY_NS)],
];
const QUANTILES = [0, 0.001, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1];

describe.each(KERNEL_TWINS)('shard aggregates of the $name kernel', ({ aggregate: kernel }) => {
  it('add up each shard by itself', () => {
    const totals = totalsOf(kernel, [
      { shard: 3, bytes: 10, latencyNs: 1_000, error: false },
      { shard: 0, bytes: 7, latencyNs: 0, error: true },
      { shard: 3, bytes: 30, latencyNs: 5, error: true },
      { shard: 3, bytes: 2, latencyNs: 1_000, error: false },
    ]);
    expect(totals).toEqual([
      {
        shard: 0,
        samples: 1,
        errors: 1,
        bytes: 7n,
        latencyMinNs: 0,
        latencyMaxNs: 0,
        latencySumNs: 0n,
        buckets: Uint32Array.of(0, 1),
      },
      {
        shard: 3,
        samples: 3,
        errors: 1,
        bytes: 42n,
        latencyMinNs: 5,
        latencyMaxNs: 1_000,
        latencySumNs: 2_005n,
        // 6 = 2^2 * (1 + 32/64); 1,001 = 2^9 * (1 + 61.1/64).
        buckets: Uint32Array.of(2 * 64 + 32, 1, 9 * 64 + 61, 2),
      },
    ]);
  });

  it('are those that plain sums over the samples give, whatever the batches', () => {
    fc.assert(
      fc.property(samples, fc.integer({ min: 1, max: 70 }), (all, capacity) => {
        const totals = totalsOf(kernel, all, capacity);
        expect(totals.map(({ shard }) => shard)).toEqual([...new Set(all.map(({ shard }) => shard))].sort());
        for (const each of totals) {
          const own = all.filter(({ shard }) => shard === each.shard);
          const values = own.map(({ latencyNs }) => latencyNs);
          expect(each.samples).toBe(own.length);
          expect(each.errors).toBe(own.filter(({ error }) => error).length);
          expect(each.bytes).toBe(own.reduce((sum, { bytes }) => sum + BigInt(bytes), 0n));
          expect(each.latencySumNs).toBe(values.reduce((sum, value) => sum + BigInt(value), 0n));
          expect(each.latencyMinNs).toBe(Math.min(...values));
          expect(each.latencyMaxNs).toBe(Math.max(...values));
          const counts = each.buckets.filter((_, i) => i % 2 === 1);
          expect(counts.reduce((sum, count) => sum + count, 0)).toBe(own.length);
        }
      }),
      { seed: 4, numRuns: 150 },
    );
  });

  it('are the same as those of the reference, bucket for bucket', () => {
    const [reference] = KERNEL_TWINS;
    fc.assert(
      fc.property(samples, (all) => {
        expect(totalsOf(kernel, all)).toEqual(totalsOf(reference!.aggregate, all));
      }),
      { seed: 5, numRuns: 150 },
    );
  });

  it.each(DISTRIBUTIONS)('give quantiles within 1 %% of the exact ones: %s', (_, draw) => {
    const values = Array.from({ length: 20_000 }, draw);
    const [totals] = totalsOf(
      kernel,
      values.map((latencyNs) => ({ shard: 2, bytes: 1, latencyNs, error: false })),
      1_000,
    );
    const sorted = Float64Array.from(values).sort();
    for (const quantile of QUANTILES) {
      const exact = sorted[Math.max(1, Math.ceil(quantile * values.length)) - 1]!;
      const estimate = latencyQuantileNs(totals!, quantile);
      expect(Math.abs(estimate - exact), `p${quantile * 100}: ${estimate}, exactly ${exact}`).toBeLessThanOrEqual(
        exact / 128,
      );
    }
  });

  it('know latencies up to 126 ns exactly', () => {
    for (let latencyNs = 0; latencyNs <= 126; latencyNs++) {
      const around = [latencyNs - 50, latencyNs, latencyNs + 50].map((value) => Math.max(0, value));
      const [totals] = totalsOf(
        kernel,
        around.map((value) => ({ shard: 0, bytes: 0, latencyNs: value, error: false })),
      );
      expect(latencyQuantileNs(totals!, 0.5)).toBe(latencyNs);
    }
  });

  it('are, merged, those of all samples in one; in any order and grouping, also after having been bytes', () => {
    fc.assert(
      fc.property(samples, samples, samples, (a, b, c) => {
        const whole = totalsOf(kernel, [...a, ...b, ...c]);
        const [ofA, ofB, ofC] = [a, b, c].map((part) => totalsOf(kernel, part)) as [
          ShardTotals[],
          ShardTotals[],
          ShardTotals[],
        ];
        expect(merged(kernel, ofA, ofB, ofC)).toEqual(whole);
        expect(merged(kernel, ofC, merged(kernel, ofB, ofA))).toEqual(whole);
        expect(merged(kernel, [...ofB, ...ofC, ...ofA])).toEqual(whole);
        expect(decodeShardTotals(encodeShardTotals(whole))).toEqual(whole);
        expect(
          encodeShardTotals(merged(kernel, ...[ofA, ofB, ofC].map(encodeShardTotals).map(decodeShardTotals))),
        ).toEqual(encodeShardTotals(whole));
      }),
      { seed: 6, numRuns: 60 },
    );
  });

  it('go on adding to what was merged in', () => {
    const aggregates = kernel.createShardAggregates(SHARDS);
    const batch = kernel.createBatch(4);
    const some = (latencyNs: number): Sample => ({ shard: 1, bytes: 9, latencyNs, error: true });
    batch.push(1, 9, 400, true);
    aggregates.add(batch);
    aggregates.merge(totalsOf(kernel, [some(70), some(90_000)]));
    batch.clear();
    batch.push(1, 9, 7, true);
    aggregates.add(batch);
    expect(aggregates.read()).toEqual(totalsOf(kernel, [some(7), some(400), some(90_000), some(70)]));
    expect(aggregates.samples).toBe(4);
    aggregates.release();
    batch.release();
  });

  it('keep sums above 2^53 to the last digit', () => {
    const all = Array.from({ length: 3_001 }, (_, i) => ({
      shard: i % 2,
      bytes: 2 ** 32 - 1 - (i % 3),
      latencyNs: MAX_LATENCY_NS - (i % 7),
      error: i % 5 === 0,
    }));
    const totals = totalsOf(kernel, all, 1_000);
    for (const shard of [0, 1]) {
      const own = all.filter((sample) => sample.shard === shard);
      expect(totals[shard]).toMatchObject({
        bytes: own.reduce((sum, { bytes }) => sum + BigInt(bytes), 0n),
        latencySumNs: own.reduce((sum, { latencyNs }) => sum + BigInt(latencyNs), 0n),
        errors: own.filter(({ error }) => error).length,
      });
      expect(totals[shard]!.latencySumNs).toBeGreaterThan(2n ** 62n);
    }
    // Bytes of a report that has added up for long; and a latency sum of more than 64 bits.
    const long = {
      shard: 4,
      samples: 2_100_000,
      errors: 3,
      bytes: 2n ** 53n + 1n,
      latencyMinNs: MAX_LATENCY_NS,
      latencyMaxNs: MAX_LATENCY_NS,
      latencySumNs: BigInt(MAX_LATENCY_NS) * 2_100_000n,
      buckets: Uint32Array.of(LATENCY_BUCKETS - 1, 2_100_000),
    };
    const longer = merged(kernel, [long], decodeShardTotals(encodeShardTotals([long])), [long]);
    expect(longer).toEqual([
      {
        ...long,
        samples: 6_300_000,
        errors: 9,
        bytes: 3n * (2n ** 53n + 1n),
        latencySumNs: BigInt(MAX_LATENCY_NS) * 6_300_000n,
        buckets: Uint32Array.of(LATENCY_BUCKETS - 1, 6_300_000),
      },
    ]);
    expect(longer[0]!.latencySumNs).toBeGreaterThan(2n ** 74n);
  });

  it('carry a latency sum over 2^64 while samples are added', () => {
    const aggregates = kernel.createShardAggregates(1);
    const batch = kernel.createBatch(3);
    aggregates.merge([
      {
        shard: 0,
        samples: 4_095,
        errors: 0,
        bytes: 0n,
        latencyMinNs: MAX_LATENCY_NS,
        latencyMaxNs: MAX_LATENCY_NS,
        latencySumNs: 4_095n * BigInt(MAX_LATENCY_NS),
        buckets: Uint32Array.of(LATENCY_BUCKETS - 1, 4_095),
      },
    ]);
    while (!batch.full) batch.push(0, 0, MAX_LATENCY_NS, false);
    aggregates.add(batch);
    expect(aggregates.read()[0]!.latencySumNs).toBe(4_098n * BigInt(MAX_LATENCY_NS));
    expect(4_098n * BigInt(MAX_LATENCY_NS)).toBeGreaterThan(2n ** 64n);
    aggregates.release();
    batch.release();
  });

  // In WASM a batch is summed in doubles: each case passes one of the bounds below which they are exact.
  it.each([
    ['latencies, batch by batch', { batches: 3, length: 1, bytes: 0, latencyNs: MAX_LATENCY_NS - 1 }],
    ['latencies, in one batch', { batches: 1, length: 3, bytes: 0, latencyNs: MAX_LATENCY_NS - 1 }],
    ['bytes, batch by batch', { batches: 2, length: 16, bytes: 2 ** 32 - 1, latencyNs: 7 }],
    ['bytes, in one batch', { batches: 1, length: 17, bytes: 2 ** 32 - 1, latencyNs: 7 }],
    ['errors, batch by batch', { batches: 5, length: 65_535, bytes: 1, latencyNs: 7 }],
  ])('keep every digit of many %s', (_, { batches, length, bytes, latencyNs }) => {
    const aggregates = kernel.createShardAggregates(1);
    const batch = kernel.createBatch(length);
    while (!batch.full) batch.push(0, bytes, latencyNs, true);
    for (let i = 0; i < batches; i++) aggregates.add(batch);
    const samples = batches * length;
    expect(aggregates.read()).toMatchObject([
      {
        samples,
        errors: samples,
        bytes: BigInt(samples) * BigInt(bytes),
        latencySumNs: BigInt(samples) * BigInt(latencyNs),
      },
    ]);
    aggregates.release();
    batch.release();
  });

  it('refuse a batch with a shard that there is none of, and add nothing of it', () => {
    const aggregates = kernel.createShardAggregates(SHARDS);
    const batch = kernel.createBatch(10);
    batch.push(0, 1, 1, false);
    aggregates.add(batch);
    const before = aggregates.read();
    for (const beyond of [SHARDS, 64, 1_023]) {
      batch.clear();
      batch.push(1, 1, 1, true);
      batch.push(beyond, 1, 1, true);
      batch.push(2, 1, 1, true);
      expect(() => aggregates.add(batch)).toThrow(`a sample of shard ${beyond}, but there are ${SHARDS} shards`);
      expect(aggregates.read()).toEqual(before);
      expect(aggregates.samples).toBe(1);
    }
    batch.clear();
    aggregates.add(batch);
    expect(aggregates.read()).toEqual(before);
    aggregates.release();
    batch.release();
  });

  it('refuse samples that no sample can be', () => {
    const batch = kernel.createBatch(2);
    for (const shard of [-1, 1_024, 65_536, 0.5, Number.NaN, 2 ** 32]) {
      expect(() => batch.push(shard, 0, 0, false), `shard ${shard}`).toThrow(RangeError);
    }
    for (const bytes of [-1, 2 ** 32, 0.5, Number.NaN]) {
      expect(() => batch.push(0, bytes, 0, false), `${bytes} bytes`).toThrow(RangeError);
    }
    for (const latencyNs of [-1, MAX_LATENCY_NS + 1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => batch.push(0, 0, latencyNs, false), `${latencyNs} ns`).toThrow(RangeError);
    }
    expect(batch.length).toBe(0);
    batch.push(0, 0, 0, false);
    batch.push(0, 0, 0, false);
    expect(() => batch.push(0, 0, 0, false)).toThrow('the batch is full: 2 samples');
    batch.release();
    expect(() => kernel.createBatch(0)).toThrow(RangeError);
    expect(() => kernel.createBatch(65_537)).toThrow(RangeError);
    expect(() => kernel.createShardAggregates(0)).toThrow(RangeError);
    expect(() => kernel.createShardAggregates(1_025)).toThrow('aggregates are of 1 to 1024 shards, not of 1025');
  });

  it('refuse more samples than a histogram counts, until they are reset', () => {
    const aggregates = kernel.createShardAggregates(1);
    const batch = kernel.createBatch(1);
    batch.push(0, 5, 8, false);
    const most: ShardTotals = {
      shard: 0,
      samples: MAX_SAMPLES,
      errors: 0,
      bytes: BigInt(MAX_SAMPLES) ** 2n,
      latencyMinNs: 8,
      latencyMaxNs: 8,
      latencySumNs: 8n * BigInt(MAX_SAMPLES),
      buckets: Uint32Array.of(3 * 64 + 8, MAX_SAMPLES),
    };
    aggregates.merge([most]);
    expect(() => aggregates.add(batch)).toThrow('reset first');
    expect(() => aggregates.merge(totalsOf(kernel, [{ shard: 0, bytes: 1, latencyNs: 1, error: false }]))).toThrow(
      'reset first',
    );
    expect(aggregates.read()).toEqual([most]);
    aggregates.reset();
    aggregates.add(batch);
    expect(aggregates.read()).toMatchObject([{ samples: 1, bytes: 5n, latencySumNs: 8n }]);
    aggregates.release();
    batch.release();
  });

  it('leave no trace after a reset', () => {
    const aggregates = kernel.createShardAggregates(SHARDS);
    const batch = kernel.createBatch(300);
    fc.assert(
      fc.property(samples, samples, (before, after) => {
        for (const all of [before, after]) {
          aggregates.reset();
          batch.clear();
          for (const { shard, bytes, latencyNs, error } of all) batch.push(shard, bytes, latencyNs, error);
          aggregates.add(batch);
        }
        expect(aggregates.read()).toEqual(totalsOf(kernel, after));
      }),
      { seed: 7, numRuns: 60 },
    );
    aggregates.reset();
    expect(aggregates.read()).toEqual([]);
    expect(aggregates.samples).toBe(0);
    aggregates.release();
    batch.release();
  });

  it('refuse totals that contradict themselves, and merge none of the list', () => {
    const aggregates = kernel.createShardAggregates(SHARDS);
    const good = totalsOf(kernel, [
      { shard: 1, bytes: 10, latencyNs: 100, error: true },
      { shard: 1, bytes: 20, latencyNs: 3_000, error: false },
    ])[0]!;
    const [low, , high] = good.buckets as unknown as [number, number, number];
    const bad: Array<Partial<ShardTotals>> = [
      { shard: SHARDS },
      { shard: -1 },
      { shard: 0.5 },
      { samples: 3 },
      { samples: 0, errors: 0, buckets: new Uint32Array() },
      { errors: 3 },
      { errors: -1 },
      { bytes: -1n },
      { bytes: 2n * 2n ** 32n },
      { latencyMinNs: -1 },
      { latencyMinNs: 101 },
      { latencyMaxNs: MAX_LATENCY_NS + 1 },
      { latencyMaxNs: 6_000 },
      { latencyMinNs: 3_000, latencyMaxNs: 100 },
      { latencySumNs: 199n },
      { latencySumNs: 6_001n },
      { buckets: Uint32Array.of(high, 1, low, 1) },
      { buckets: Uint32Array.of(low, 1, low, 1) },
      { buckets: Uint32Array.of(low, 2) },
      { buckets: Uint32Array.of(low, 1, low + 1, 0, high, 1) },
      { buckets: Uint32Array.of(low, 1, LATENCY_BUCKETS, 1) },
      { buckets: Uint32Array.of(low, 1, high, 2) },
    ];
    for (const change of bad) {
      expect(() => aggregates.merge([good, { ...good, ...change }]), JSON.stringify(change, asText)).toThrow(
        RangeError,
      );
      expect(aggregates.read()).toEqual([]);
    }
    aggregates.merge([good]);
    expect(aggregates.read()).toEqual([good]);
    aggregates.release();
  });
});

describe('shard totals as bytes', () => {
  const { aggregate: kernel } = KERNEL_TWINS[0]!;
  const whole = totalsOf(kernel, [
    { shard: 0, bytes: 1_000, latencyNs: 77, error: true },
    { shard: 4, bytes: 2 ** 32 - 1, latencyNs: MAX_LATENCY_NS, error: false },
  ]);

  it('are refused, or end at a shard, wherever they are cut off', () => {
    const bytes = encodeShardTotals(whole);
    const decoded = new Map<number, ShardTotals[]>();
    for (let length = 0; length < bytes.length; length++) {
      try {
        decoded.set(length, decodeShardTotals(bytes.subarray(0, length)));
      } catch (error) {
        expect(error).toSatisfy((cause) => cause instanceof ProtobufError || cause instanceof RangeError);
      }
    }
    expect([...decoded.values()]).toEqual([[], whole.slice(0, 1)]);
  });

  it('are never taken for other totals without being consistent', () => {
    const bytes = encodeShardTotals(whole);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= flip;
        try {
          const totals = decodeShardTotals(changed);
          for (const each of totals) {
            expect(latencyQuantileNs(each, 1)).toBe(each.latencyMaxNs);
            expect(each.errors).toBeLessThanOrEqual(each.samples);
          }
        } catch (error) {
          expect(error).toSatisfy((cause) => cause instanceof ProtobufError || cause instanceof RangeError);
        }
      }),
      { seed: 8, numRuns: 1_000 },
    );
  });
});

function asText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}` : value instanceof Uint32Array ? [...value] : value;
}
