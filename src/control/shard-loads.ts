/**
 * The measured load of every shard of a signal, beside the load that it should carry.
 *
 * A shard's fair share is its part of the signal's load by weight. A shard that an override gives to one key is different: when that key alone brings more
 * than the fair share, the shard is as it should be with just that key, and the other shards share out the rest.
 */
import type { ShardState, SignalRing } from '../coordination/ring-epoch.ts';
import { hashText } from '../kernels/hash/kernel.ts';
import { BY_TRACE_ID } from '../kernels/split/kernel.ts';
import { type Distribution, distributionOf, fairShares } from './distribution.ts';
import { type SignalView, UNHEARD_KEY } from './load-view.ts';
import type { RebalancePolicy } from './policy.ts';

export interface ShardLoad {
  readonly shard: ShardState;
  /** Measured, in bytes/s; so are the shares. */
  readonly load: number;
  /** Its fair share, as described above. */
  readonly share: number;
  /** Its part of the signal's load by weight alone. */
  readonly shareByWeight: number;
  /** A key that has an override fills the shard: `share` is what that key brings. */
  readonly filledByKey: boolean;
}

export interface ShardLoads {
  /** In the order of the ring. */
  readonly shards: readonly ShardLoad[];
  /** Bytes/s of all shards together. */
  readonly total: number;
}

export function shardLoads(ring: SignalRing, view: Pick<SignalView, 'keys' | 'shardBytesPerSecond'>): ShardLoads {
  const loads = ring.shards.map(({ id }) => view.shardBytesPerSecond.get(id) ?? 0);
  const total = loads.reduce((sum, load) => sum + load, 0);
  const byWeight = fairShares(ring.shards, total);
  const keyLoads = loadsOfKeys(ring, view.keys);
  const filled = ring.shards.map(({ id }, i) => {
    // The key's load is the most that it may be, but no more than the shard has.
    const keyLoad = Math.min(keyLoads.get(id) ?? 0, loads[i]!);
    return keyLoad > byWeight[i]! ? keyLoad : null;
  });
  const left = total - filled.reduce<number>((sum, keyLoad) => sum + (keyLoad ?? 0), 0);
  const others = fairShares(
    ring.shards.filter((_, i) => filled[i] === null),
    left > 0 ? left : total,
  );
  const shards = ring.shards.map((shard, i) => ({
    shard,
    load: loads[i]!,
    share: filled[i] ?? others.shift()!,
    shareByWeight: byWeight[i]!,
    filledByKey: filled[i] !== null,
  }));
  return { shards, total };
}

/** By shard: bytes/s, at the most, of the keys that overrides send to it. A key that is spread is part of its slots' load instead. */
function loadsOfKeys({ overrides }: SignalRing, keys: SignalView['keys']): ReadonlyMap<number, number> {
  const loads = new Map<number, number>();
  for (const [hash, shard] of overrides) {
    if (shard === BY_TRACE_ID) continue;
    const { bytesPerSecond, errorBytesPerSecond } = keys.get(hashText(hash)) ?? UNHEARD_KEY;
    loads.set(shard, (loads.get(shard) ?? 0) + bytesPerSecond + errorBytesPerSecond);
  }
  return loads;
}

/** 1: the shard carries just its fair share. */
export const relativeLoad = ({ load, share }: Pick<ShardLoad, 'load' | 'share'>): number => load / share;

export function loadDistribution({ shards }: ShardLoads): Distribution {
  return distributionOf(shards.map(relativeLoad));
}

/** With less load than that, what makes a shard hot is chance. */
export function isEnoughToJudge(total: number, policy: Pick<RebalancePolicy, 'minBytesPerSecond'>): boolean {
  return total > 0 && total >= policy.minBytesPerSecond;
}
