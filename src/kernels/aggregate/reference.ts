/** Maps, bigints and a linear search for the least counter. */
import { bucketOf } from './histogram.ts';
import { byWeight, mergeHitterTotals } from './hitter-totals.ts';
import {
  type AggregateKernel,
  type HeavyHitters,
  type HitterTotals,
  MAX_SAMPLES,
  type ShardAggregates,
  type ShardTotals,
  type SlotCounters,
} from './kernel.ts';
import { checkBatchPairs, checkHitterCapacity, checkHitterTotal, checkShardCount, checkSlotTotals } from './limits.ts';
import { checkCapacity, SampleBatch } from './sample-batch.ts';
import { checkShardTotals } from './shard-totals.ts';

export function createReferenceAggregate(): AggregateKernel {
  return {
    name: 'reference',
    createBatch(capacity) {
      checkCapacity(capacity);
      const columns = { shards: new Uint16Array(capacity), rows: new Float64Array(2 * capacity) };
      return new SampleBatch(capacity, () => columns);
    },
    createShardAggregates,
    createSlotCounters,
    createHeavyHitters,
  };
}

interface ShardSums {
  samples: number;
  errors: number;
  bytes: bigint;
  latencyMinNs: number;
  latencyMaxNs: number;
  latencySumNs: bigint;
  readonly buckets: Map<number, number>;
}

function createShardAggregates(shardCount: number): ShardAggregates {
  checkShardCount(shardCount);
  const shards = new Map<number, ShardSums>();
  let samples = 0;

  /** Counts are left as they are: a sample and totals differ in them. */
  function sumsOf(shard: number, latencyMinNs: number, latencyMaxNs: number): ShardSums {
    const sums = shards.get(shard) ?? {
      samples: 0,
      errors: 0,
      bytes: 0n,
      latencyMinNs,
      latencyMaxNs,
      latencySumNs: 0n,
      buckets: new Map<number, number>(),
    };
    shards.set(shard, sums);
    sums.latencyMinNs = Math.min(sums.latencyMinNs, latencyMinNs);
    sums.latencyMaxNs = Math.max(sums.latencyMaxNs, latencyMaxNs);
    return sums;
  }

  return {
    shardCount,
    get samples() {
      return samples;
    },
    add(batch) {
      if (batch.largestShard >= shardCount) {
        throw new RangeError(`a sample of shard ${batch.largestShard}, but there are ${shardCount} shards`);
      }
      if (samples + batch.length > MAX_SAMPLES) throw new RangeError(`more than ${MAX_SAMPLES} samples: reset first`);
      samples += batch.length;
      for (const { shard, bytes, latencyNs, error } of batch.samples()) {
        const sums = sumsOf(shard, latencyNs, latencyNs);
        const bucket = bucketOf(latencyNs);
        sums.samples++;
        sums.errors += error ? 1 : 0;
        sums.bytes += BigInt(bytes);
        sums.latencySumNs += BigInt(latencyNs);
        sums.buckets.set(bucket, (sums.buckets.get(bucket) ?? 0) + 1);
      }
    },
    read() {
      return [...shards]
        .map(([shard, { buckets, ...sums }]): ShardTotals => {
          const pairs = [...buckets].sort(([a], [b]) => a - b);
          return { shard, ...sums, buckets: Uint32Array.from(pairs.flat()) };
        })
        .sort((a, b) => a.shard - b.shard);
    },
    merge(totals) {
      checkShardTotals(totals, shardCount);
      const more = totals.reduce((sum, each) => sum + each.samples, samples);
      if (more > MAX_SAMPLES) throw new RangeError(`more than ${MAX_SAMPLES} samples: reset first`);
      samples = more;
      for (const each of totals) {
        const sums = sumsOf(each.shard, each.latencyMinNs, each.latencyMaxNs);
        sums.samples += each.samples;
        sums.errors += each.errors;
        sums.bytes += each.bytes;
        sums.latencySumNs += each.latencySumNs;
        for (let i = 0; i < each.buckets.length; i += 2) {
          const bucket = each.buckets[i]!;
          sums.buckets.set(bucket, (sums.buckets.get(bucket) ?? 0) + each.buckets[i + 1]!);
        }
      }
    },
    reset() {
      shards.clear();
      samples = 0;
    },
    release() {},
  };
}

function createSlotCounters(slotBits: 16 | 18): SlotCounters {
  const counters = new Map<number, bigint>();
  const addTo = (slot: number, bytes: bigint) => counters.set(slot, (counters.get(slot) ?? 0n) + bytes);
  const total = () => [...counters.values()].reduce((sum, bytes) => sum + bytes, 0n);
  return {
    slotBits,
    add(slots, bytes) {
      checkBatchPairs(slots.length, bytes.length);
      checkSlotTotals(slotBits, total(), { slots, bytes: BigUint64Array.from(bytes, BigInt) });
      for (const [i, slot] of slots.entries()) addTo(slot, BigInt(bytes[i]!));
    },
    merge(totals) {
      checkSlotTotals(slotBits, total(), totals);
      for (const [i, slot] of totals.slots.entries()) addTo(slot, totals.bytes[i]!);
    },
    take() {
      const taken = [...counters].filter(([, bytes]) => bytes > 0n).sort(([a], [b]) => a - b);
      counters.clear();
      return {
        slots: Uint32Array.from(taken, ([slot]) => slot),
        bytes: BigUint64Array.from(taken, ([, bytes]) => bytes),
      };
    },
    release() {},
  };
}

function createHeavyHitters(capacity: number): HeavyHitters {
  checkHitterCapacity(capacity);
  let counters = new Map<bigint, { key: bigint; weight: bigint; error: bigint }>();
  let total = 0n;

  function count(key: bigint, weight: bigint): void {
    const counter = counters.get(key);
    if (counter) counter.weight += weight;
    else if (counters.size < capacity) counters.set(key, { key, weight, error: 0n });
    else {
      const least = [...counters.values()].reduce((a, b) => (byWeight(a, b) < 0 ? b : a));
      counters.delete(least.key);
      counters.set(key, { key, weight: least.weight + weight, error: least.weight });
    }
  }

  function read(): HitterTotals {
    const hitters = [...counters.values()].map((counter) => ({ ...counter })).sort(byWeight);
    return { capacity, total, hitters };
  }

  return {
    capacity,
    add(keys, weights) {
      checkBatchPairs(keys.length, weights.length);
      checkHitterTotal(total);
      for (const [i, key] of keys.entries()) {
        const weight = BigInt(weights[i]!);
        total += weight;
        if (weight > 0n) count(key, weight);
      }
    },
    read,
    merge(totals) {
      const merged = mergeHitterTotals(read(), totals);
      counters = new Map(merged.hitters.map((hitter) => [hitter.key, { ...hitter }]));
      total = merged.total;
    },
    reset() {
      counters.clear();
      total = 0n;
    },
    release() {},
  };
}
