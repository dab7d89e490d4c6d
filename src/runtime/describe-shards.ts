/** A shard as `weir inspect shards` and `/api/v1/shards` show it. Pure. */
import type { RingEpoch } from '../coordination/ring-epoch.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import type { ShardRates } from './load-window.ts';

export interface ShardDescription {
  readonly id: number;
  readonly name: string;
  readonly signal: Signal;
  readonly topic: string;
  readonly range: {
    /** First and last hash that the shard owns, as 0x and 16 hex digits; null when it owns no slot. */
    readonly start_key: string | null;
    readonly end_key: string | null;
    /** Hashes that it owns, both ends included, ascending; neighbouring slots are one entry. */
    readonly hash_range: readonly (readonly [from: string, to: string])[];
  };
  readonly slots: number;
  /** Its share of the ring against a usual shard's: 1 is usual. */
  readonly capacity: number;
  readonly current_load: {
    readonly items_per_second: number;
    readonly bytes_per_second: number;
    readonly errors_per_second: number;
    readonly mean_latency_ms: number | null;
    /** Bytes against the mean of the signal's shards; 0 when none has any. */
    readonly to_mean: number;
  };
  /** hot: above `hotRatio` times the mean; idle: no load in the window; unowned: no slot leads to it. */
  readonly health_status: 'healthy' | 'hot' | 'idle' | 'unowned';
}

export type ShardLoads = Readonly<Record<Signal, ReadonlyMap<number, ShardRates>>>;

export interface DescribeOptions {
  /** control.rebalance.hotRatio */
  readonly hotRatio: number;
  /** control.rebalance.minBytesPerSecond: a signal below it has no hot shard. */
  readonly minBytesPerSecond: number;
}

export function describeShards(ring: RingEpoch, loads: ShardLoads, options: DescribeOptions): ShardDescription[] {
  return SIGNALS.flatMap((signal) => {
    const { shards, slots, slotBits } = ring.signals[signal];
    const total = shards.reduce((sum, { id }) => sum + (loads[signal].get(id)?.bytesPerSecond ?? 0), 0);
    const mean = total / shards.length;
    const runs = slotRuns(slots);
    return shards.map(({ id, name, topic, weight }): ShardDescription => {
      const rates = loads[signal].get(id);
      const bytesPerSecond = rates?.bytesPerSecond ?? 0;
      const owned = runs.get(id) ?? [];
      const ranges = owned.map(([from, to]): [string, string] => [
        hashText(BigInt(from) << BigInt(64 - slotBits)),
        hashText((BigInt(to + 1) << BigInt(64 - slotBits)) - 1n),
      ]);
      const toMean = mean === 0 ? 0 : bytesPerSecond / mean;
      const hot = total >= options.minBytesPerSecond && toMean > options.hotRatio;
      return {
        id,
        name,
        signal,
        topic,
        range: { start_key: ranges[0]?.[0] ?? null, end_key: ranges.at(-1)?.[1] ?? null, hash_range: ranges },
        slots: owned.reduce((sum, [from, to]) => sum + to - from + 1, 0),
        capacity: weight,
        current_load: {
          items_per_second: rates?.itemsPerSecond ?? 0,
          bytes_per_second: bytesPerSecond,
          errors_per_second: rates?.errorsPerSecond ?? 0,
          mean_latency_ms: rates?.meanLatencyMs ?? null,
          to_mean: toMean,
        },
        health_status: hot ? 'hot' : bytesPerSecond > 0 ? 'healthy' : owned.length > 0 ? 'idle' : 'unowned',
      };
    });
  });
}

/** Runs of neighbouring slots by owner. */
function slotRuns(slots: Uint16Array): Map<number, [from: number, to: number][]> {
  const runs = new Map<number, [number, number][]>();
  let from = 0;
  for (let slot = 1; slot <= slots.length; slot++) {
    const owner = slots[from]!;
    if (slot < slots.length && slots[slot] === owner) continue;
    const owned = runs.get(owner) ?? [];
    runs.set(owner, owned);
    owned.push([from, slot - 1]);
    from = slot;
  }
  return runs;
}

function hashText(hash: bigint): string {
  return `0x${hash.toString(16).padStart(16, '0')}`;
}
