/**
 * The aggregate kernel: what many small samples come to. Three kinds of accumulators, each over any number of batches:
 *
 * - `ShardAggregates`: count, bytes, errors, latency extremes, sum and histogram by shard;
 * - `SlotCounters`: bytes by slot;
 * - `HeavyHitters`: the keys with the most weight, with a guaranteed bound.
 *
 * Twins: `wasm.ts` (assembly/samples.ts, slot-counters.ts, heavy-hitters.ts) and `reference.ts`. They give the same answers, ties
 * included.
 *
 * In WASM the accumulators share a region of 14 MiB, so each has to be released: 13,440 B a shard, 2^slotBits * 8 B (512 KiB or
 * 2 MiB) a set of slot counters, about 64 B a heavy hitter, 18 B a sample of a batch's capacity. All three signals with 256 shards, 2^16
 * slots and 4,096 heavy hitters each take 12 MiB. MAX_AGGREGATED_SHARDS is below the 4,096 shards that the split kernel may
 * route to: 1,024 histograms are what the region holds.
 *
 * Nothing is lost silently. Where a sum can pass 2^53 it is a bigint. Whatever would overflow, or is out of range, is refused
 * with a RangeError before anything is added.
 */
import type { SampleBatch } from './sample-batch.ts';

/** Shards of one ShardAggregates. */
export const MAX_AGGREGATED_SHARDS = 1_024;
/** Samples of one ShardAggregates between resets: its histograms count in u32. */
export const MAX_SAMPLES = 2 ** 32 - 1;
/** Samples, or pairs, of one batch. */
export const MAX_BATCH = 65_536;
/** Counters of one HeavyHitters. */
export const MAX_HITTERS = 65_536;
/** A HeavyHitters whose total has come to it is full. */
export const MAX_HITTER_TOTAL = 2n ** 63n;

/** What the samples of one shard come to. Plain values, no views. */
export interface ShardTotals {
  readonly shard: number;
  /** 1 to MAX_SAMPLES. */
  readonly samples: number;
  readonly errors: number;
  readonly bytes: bigint;
  readonly latencyMinNs: number;
  readonly latencyMaxNs: number;
  readonly latencySumNs: bigint;
  /** Pairs: bucket (see histogram.ts) and its samples, ascending, without empty ones. */
  readonly buckets: Uint32Array;
}

/** Aggregates of shards 0 to shardCount - 1. */
export interface ShardAggregates {
  readonly shardCount: number;
  /** Samples since the last reset, those that were merged in included. */
  readonly samples: number;
  /** Adds a batch of this kernel. Throws a RangeError, and adds none of it, when it names a shard from shardCount on or passes MAX_SAMPLES. */
  add(batch: SampleBatch): void;
  /** The shards that have samples, ascending. */
  read(): ShardTotals[];
  /** Adds what another has read, of whichever process: the result is that of all samples in one. Throws as `add`, and for totals that contradict themselves. */
  merge(totals: readonly ShardTotals[]): void;
  reset(): void;
  release(): void;
}

/** Slots above 0, ascending, and their bytes. */
export interface SlotTotals {
  readonly slots: Uint32Array;
  readonly bytes: BigUint64Array;
}

export interface SlotCounters {
  readonly slotBits: 16 | 18;
  /** Adds bytes[i] to slots[i], MAX_BATCH at most. Throws a RangeError, and adds nothing, when a slot is from 2^slotBits on, or all slots together would have 2^64 bytes. */
  add(slots: Uint32Array, bytes: Uint32Array): void;
  /** Adds what another has taken. Throws as `add`. */
  merge(totals: SlotTotals): void;
  /** Reads and resets. */
  take(): SlotTotals;
  release(): void;
}

export interface HeavyHitter {
  readonly key: bigint;
  /** true weight <= weight, and weight - error <= true weight. */
  readonly weight: bigint;
  readonly error: bigint;
}

/**
 * With N the total and k the capacity: weight - true weight <= N / k for every entry, and every key whose true weight is above N / k is
 * there. Merging keeps both, for the merged total: see hitter-totals.ts.
 */
export interface HitterTotals {
  readonly capacity: number;
  readonly total: bigint;
  /** By weight, the largest first; of equal weights the larger key first. */
  readonly hitters: readonly HeavyHitter[];
}

export interface HeavyHitters {
  readonly capacity: number;
  /** Adds weights[i] to the key hash keys[i], MAX_BATCH at most. A weight of 0 changes nothing. The key that gives way is the one with the least weight, of those the least key. */
  add(keys: BigUint64Array, weights: Uint32Array): void;
  read(): HitterTotals;
  /** Takes in what another of at least this capacity has read. Throws a RangeError, and changes nothing, for smaller ones and for totals that contradict themselves. */
  merge(totals: HitterTotals): void;
  reset(): void;
  release(): void;
}

export interface AggregateKernel {
  readonly name: 'wasm' | 'reference';
  /** A batch to fill again and again; only for aggregates of this kernel. Throws a RangeError, as the others, when the region has no room left. */
  createBatch(capacity: number): SampleBatch;
  createShardAggregates(shardCount: number): ShardAggregates;
  createSlotCounters(slotBits: 16 | 18): SlotCounters;
  createHeavyHitters(capacity: number): HeavyHitters;
}
