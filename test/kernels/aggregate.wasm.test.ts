/** What only the WASM twin has: a region that accumulators share, and a memory that grows. */
import { describe, expect, it } from 'vitest';
import { createWasmAggregate } from '../../src/kernels/aggregate/wasm.ts';
import { KernelHost } from '../../src/kernels/host.ts';

const MiB = 1024 * 1024;
const small = { inputBytes: 65_536, outputBytes: 65_536 };

async function fresh() {
  const host = await KernelHost.load(small);
  const at = host.exports.AGGREGATION.value;
  const bytes = host.exports.AGGREGATION_BYTES.value;
  const guard = host.exports.GUARD.value;
  return { host, kernel: createWasmAggregate(host), region: { at, end: at + bytes }, guard };
}

describe('the aggregation region', () => {
  it('holds three signals of 256 shards, 2^16 slots and 4,096 heavy hitters each', async () => {
    const { kernel } = await fresh();
    for (let signal = 0; signal < 3; signal++) {
      kernel.createShardAggregates(256);
      kernel.createSlotCounters(16);
      kernel.createHeavyHitters(4_096);
      kernel.createBatch(8_192);
    }
  });

  it('holds the largest aggregates, and says so when there is no room for a second', async () => {
    const { kernel } = await fresh();
    const largest = kernel.createShardAggregates(1_024);
    expect(() => kernel.createShardAggregates(1_024)).toThrow(/no room for aggregates of 1024 shards/);
    largest.release();
    largest.release();
    kernel.createShardAggregates(1_024).release();
    kernel.createHeavyHitters(65_536);
  });

  it('is not written outside of the leases, whatever is added, merged and taken', async () => {
    const { host, kernel, region, guard } = await fresh();
    host.u8.fill(0xa5, region.at - guard, region.end + guard);
    // 64 B a row more than the kernel leases, as batches lie between: each is filled to the brim.
    const before = kernel.createBatch(1);
    const aggregates = kernel.createShardAggregates(3);
    const between = kernel.createBatch(32);
    const slots = kernel.createSlotCounters(16);
    const hitters = kernel.createHeavyHitters(5);
    const after = kernel.createBatch(1);
    const canary = (batch: typeof before) => [...batch.samples()];
    for (const batch of [before, after]) batch.push(2, 2 ** 32 - 1, 2 ** 52 - 1, true);
    const canaries = [before, after].map(canary);
    for (let i = 0; i < 32; i++) between.push(i % 3, i, i % 2 ? 0 : 2 ** 52 - 1, true);
    const kept = canary(between);
    for (let i = 0; i < 3; i++) {
      aggregates.add(between);
      aggregates.merge(aggregates.read());
      slots.add(Uint32Array.of(0, 65_535), Uint32Array.of(1, 1));
      slots.take();
      hitters.add(
        BigUint64Array.from({ length: 50 }, (_, key) => BigInt(key)),
        new Uint32Array(50).fill(9),
      );
      hitters.merge(hitters.read());
    }
    aggregates.reset();
    hitters.reset();
    expect([before, after].map(canary)).toEqual(canaries);
    expect(canary(between)).toEqual(kept);
    const guards = [host.u8.subarray(region.at - guard, region.at), host.u8.subarray(region.end, region.end + guard)];
    for (const each of guards) expect(each.every((byte) => byte === 0xa5)).toBe(true);
    // Nothing is leased from here on.
    expect(host.u8.subarray(region.at + MiB, region.end).every((byte) => byte === 0xa5)).toBe(true);
  });

  it('is clean for the next owner, whatever the last one left there', async () => {
    const { host, kernel, region } = await fresh();
    host.u8.fill(0xa5, region.at, region.end);
    const aggregates = kernel.createShardAggregates(7);
    const slots = kernel.createSlotCounters(16);
    const hitters = kernel.createHeavyHitters(50);
    expect(aggregates.read()).toEqual([]);
    expect(slots.take().slots.length).toBe(0);
    expect(hitters.read()).toEqual({ capacity: 50, total: 0n, hitters: [] });
    hitters.add(BigUint64Array.of(77n), Uint32Array.of(1));
    expect(hitters.read().hitters).toEqual([{ key: 77n, weight: 1n, error: 0n }]);
  });

  it('has every byte of an aggregate as at its beginning after a reset', async () => {
    const { host, kernel, region } = await fresh();
    const aggregates = kernel.createShardAggregates(3);
    const end = region.at + 3 * (64 + host.exports.HISTOGRAM_BYTES.value);
    const beginning = Buffer.from(host.u8.subarray(region.at, end));
    const batch = kernel.createBatch(100);
    for (let i = 0; i < 100; i++) batch.push(i % 2, i, 3 ** (i % 30), i % 3 === 0);
    aggregates.add(batch);
    aggregates.merge(aggregates.read());
    aggregates.add(batch);
    aggregates.reset();
    expect(Buffer.compare(host.u8.subarray(region.at, end), beginning)).toBe(0);
  });

  it('refuses the use of what was released', async () => {
    const { kernel } = await fresh();
    const batch = kernel.createBatch(2);
    const aggregates = kernel.createShardAggregates(1);
    const slots = kernel.createSlotCounters(16);
    const hitters = kernel.createHeavyHitters(1);
    for (const each of [aggregates, slots, hitters]) each.release();
    expect(() => aggregates.add(batch)).toThrow('used after its release');
    expect(() => aggregates.read()).toThrow('used after its release');
    expect(() => slots.add(new Uint32Array(1), new Uint32Array(1))).toThrow('used after its release');
    expect(() => hitters.add(new BigUint64Array(1), new Uint32Array(1))).toThrow('used after its release');
    batch.release();
    expect(() => batch.push(0, 0, 0, false)).toThrow('the batch is full');
  });

  it("refuses another kernel's batch", async () => {
    const [one, other] = [await fresh(), await fresh()];
    const batch = one.kernel.createBatch(1);
    expect(() => other.kernel.createShardAggregates(1).add(batch)).toThrow('a batch of another kernel');
  });
});

describe('a batch', () => {
  it('loses no sample when the memory grows while it is being filled', async () => {
    const { host, kernel } = await fresh();
    const aggregates = kernel.createShardAggregates(2);
    const batch = kernel.createBatch(10);
    batch.push(0, 1, 10, false);
    batch.push(1, 2, 20, false);
    const { buffer } = host.u8;
    host.layOut(65_536, 4 * MiB);
    expect(buffer.byteLength).toBe(0);
    batch.push(0, 4, 30, true);
    aggregates.add(batch);
    expect(aggregates.read()).toMatchObject([
      { shard: 0, samples: 2, bytes: 5n, errors: 1, latencySumNs: 40n },
      { shard: 1, samples: 1, bytes: 2n, latencySumNs: 20n },
    ]);
  });
});
