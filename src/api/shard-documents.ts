/** Shards as `/api/v1/shards` and `weir inspect shards` show them. */
import type { Config } from '../config.ts';
import { fairShares } from '../control/distribution.ts';
import type { RingEpoch, SignalRing } from '../coordination/ring-epoch.ts';
import type { LoadWindow } from '../runtime/load-window.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import type { ShardDocument } from './documents.ts';

type HotPolicy = Pick<Config['control']['rebalance'], 'hotRatio' | 'minBytesPerSecond'>;

export function shardDocuments(
  ring: RingEpoch | null,
  window: LoadWindow,
  policy: HotPolicy,
  nowUnixMs: number,
): ShardDocument[] {
  if (!ring) return [];
  return SIGNALS.flatMap((signal) => shardsOf(signal, ring.signals[signal], window, policy, nowUnixMs));
}

function shardsOf(
  signal: Signal,
  ring: SignalRing,
  window: LoadWindow,
  policy: HotPolicy,
  nowUnixMs: number,
): ShardDocument[] {
  const reported = window.coveredSeconds(nowUnixMs) > 0;
  const rates = window.shards(signal, nowUnixMs);
  const total = [...rates.values()].reduce((sum, rate) => sum + rate.bytesPerSecond, 0);
  const fair = fairShares(ring.shards, total);
  // As the controller sees it: of a trickle nothing is hot.
  const hotFrom = total < policy.minBytesPerSecond ? Number.POSITIVE_INFINITY : policy.hotRatio;
  const owned = ownershipOf(ring);
  return ring.shards.map(({ id, name, topic, weight }, i) => {
    const { slots = 0, runs = [] } = owned.get(id) ?? {};
    const { itemsPerSecond = 0, bytesPerSecond = 0 } = rates.get(id) ?? {};
    const relative = total === 0 ? 0 : bytesPerSecond / fair[i]!;
    const health = !reported ? 'unknown' : itemsPerSecond === 0 ? 'idle' : relative > hotFrom ? 'hot' : 'healthy';
    return {
      id,
      name,
      signal,
      topic,
      slots,
      share: slots / ring.slots.length,
      range: { start_key: runs[0]?.[0] ?? null, end_key: runs.at(-1)?.[1] ?? null, hash_range: runs },
      capacity: weight,
      current_load: { items_per_second: itemsPerSecond, bytes_per_second: bytesPerSecond, relative },
      health_status: health,
    };
  });
}

interface Ownership {
  slots: number;
  /** Of key hashes, both ends included. */
  runs: [first: string, last: string][];
}

/** A ring never changes, and going through a table takes a millisecond: once a ring. */
const ownerships = new WeakMap<SignalRing, ReadonlyMap<number, Ownership>>();

function ownershipOf(ring: SignalRing): ReadonlyMap<number, Ownership> {
  const known = ownerships.get(ring);
  if (known) return known;
  const owned = new Map<number, Ownership>();
  const shift = BigInt(64 - ring.slotBits);
  for (let first = 0; first < ring.slots.length; ) {
    const shard = ring.slots[first]!;
    let end = first + 1;
    while (end < ring.slots.length && ring.slots[end] === shard) end++;
    const ownership = owned.get(shard) ?? { slots: 0, runs: [] };
    ownership.slots += end - first;
    ownership.runs.push([hashText(BigInt(first) << shift), hashText((BigInt(end) << shift) - 1n)]);
    owned.set(shard, ownership);
    first = end;
  }
  ownerships.set(ring, owned);
  return owned;
}

/** A 64-bit hash as 16 hex digits. */
export const hashText = (hash: bigint): string => hash.toString(16).padStart(16, '0');
