/** What Weir (`weir.ts`) is compared with: who decides, second by second, which shard a key belongs to. */
import type { Kernels } from '../../src/kernels/index.ts';
import type { RingShard } from '../../src/kernels/ring/kernel.ts';

export interface Strategy {
  readonly name: string;
  /** Shard of each key, as it is now; of one that is spread, that of its slot. */
  readonly shardOf: Uint16Array;
  /** Ids of those that there are now. */
  readonly shards: readonly number[];
  /** Items that each shard gets of these, by its id. */
  loadsOf(items: Uint32Array): Float64Array;
  /** Tells it what came in the second that ends at `now` (ms), and lets it move keys. */
  tick(now: number, items: Uint32Array): void;
  /** Slots that it has moved so far; of one that knows no slots, keys. */
  readonly moved: number;
}

export interface Installation {
  readonly shards: number;
  /** What keys are. */
  readonly key: 'trace_id' | 'service.name';
  /** Hash of each key. */
  readonly hashes: BigUint64Array;
  readonly kernels: Kernels;
}

export const VNODES = 160;

export function slotOf(hash: bigint): number {
  return Number(hash >> 48n);
}

export function ringShards(shards: number): RingShard[] {
  return Array.from({ length: shards }, (_, shard) => ({ shard, weight: 1 }));
}

/** All items of a key go to one shard. */
function byKey(items: Uint32Array, shardOf: Uint16Array, shards: number): Float64Array {
  const loads = new Float64Array(shards);
  items.forEach((count, key) => {
    loads[shardOf[key]!]! += count;
  });
  return loads;
}

/** A consistent-hash ring that never changes. */
export function staticRing({ shards, hashes, kernels }: Installation): Strategy {
  const slots = kernels.ring.assign(ringShards(shards), VNODES, 16);
  const shardOf = Uint16Array.from(hashes, (hash) => slots[slotOf(hash)]!);
  return {
    ...{ name: 'static ring', shardOf, shards: [...Array(shards).keys()], moved: 0 },
    loadsOf: (items) => byKey(items, shardOf, shards),
    tick() {},
  };
}

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016), with whole keys, as a trace has to stay in one place: after each
 * window the keys are placed anew by what each brought in it, in the order of arrival, at the first shard along the ring that has room for
 * it below `factor` times the mean. It has to count every key.
 */
export function boundedLoads({ shards, hashes, kernels }: Installation, factor: number, windowMs: number): Strategy {
  const { slots } = kernels.ring.build(ringShards(shards), VNODES, 16);
  const shardOf = Uint16Array.from(hashes, (hash) => slots[slotOf(hash)]!);
  const counted = new Float64Array(hashes.length);
  let moved = 0;
  let windowEnd = windowMs;
  return {
    name: `bounded loads, c = ${factor}`,
    shardOf,
    shards: [...Array(shards).keys()],
    loadsOf: (items) => byKey(items, shardOf, shards),
    get moved() {
      return moved;
    },
    tick(now, items) {
      items.forEach((count, key) => {
        counted[key]! += count;
      });
      if (now < windowEnd) return;
      windowEnd = now + windowMs;
      const limit = (factor * counted.reduce((sum, count) => sum + count, 0)) / shards;
      const loads = new Float64Array(shards);
      counted.forEach((load, key) => {
        if (load === 0) return;
        const home = slotOf(hashes[key]!);
        let shard = slots[home]!;
        for (let step = 1; loads[shard]! + load > limit && step < slots.length; step++) {
          shard = slots[(home + step) % slots.length]!;
        }
        loads[shard]! += load;
        if (shardOf[key] !== shard) moved++;
        shardOf[key] = shard;
      });
      counted.fill(0);
    },
  };
}
