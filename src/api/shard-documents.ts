/** Shards, and how the load lies on them, as `/api/v1/shards` and `weir inspect shards` show it. */

import type { Config } from '../config.ts';
import type { Distribution } from '../control/distribution.ts';
import { isEnoughToJudge, loadDistribution, relativeLoad, shardLoads } from '../control/shard-loads.ts';
import type { RingEpoch, ShardState, SignalRing } from '../coordination/ring-epoch.ts';
import { hashText } from '../kernels/hash/kernel.ts';
import type { Usage } from '../load/load-report.ts';
import type { LoadWindow, ShardRates } from '../runtime/load-window.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import type { ShardDocument, ShardsDocument, SignalLoadDocument } from './documents.ts';

type LoadPolicy = {
  readonly rebalance: Pick<Config['control']['rebalance'], 'hotRatio' | 'minBytesPerSecond'>;
  readonly capacity: Pick<Config['control']['capacity'], 'bytesPerSecond'>;
};

export function shardsDocument(
  ring: RingEpoch | null,
  window: LoadWindow,
  policy: LoadPolicy,
  nowUnixMs: number,
): ShardsDocument {
  const signals = ring ? SIGNALS.map((signal) => analyse(signal, ring.signals[signal], window, policy, nowUnixMs)) : [];
  const windowSeconds = window.coveredSeconds(nowUnixMs);
  return {
    ringEpoch: ring?.epoch ?? null,
    windowSeconds,
    shards: signals.flatMap((of) => shardDocuments(of, windowSeconds > 0)),
    signals: signals.map(signalDocument),
  };
}

interface ShardAnalysis {
  readonly shard: ShardState;
  readonly rates: ShardRates;
  /** Of a signal without load 0. */
  readonly relative: number;
  readonly fill: number;
  readonly hot: boolean;
}

interface SignalAnalysis {
  readonly signal: Signal;
  readonly ring: SignalRing;
  readonly usage: ReadonlyMap<number, Usage>;
  readonly shards: readonly ShardAnalysis[];
  /** Bytes/s, of all shards; what they can carry. */
  readonly total: number;
  readonly capacity: number;
  readonly distribution: Distribution;
}

function analyse(
  signal: Signal,
  ring: SignalRing,
  window: LoadWindow,
  policy: LoadPolicy,
  nowUnixMs: number,
): SignalAnalysis {
  const rates = window.shards(signal, nowUnixMs);
  const shardBytesPerSecond = new Map([...rates].map(([id, { bytesPerSecond }]) => [id, bytesPerSecond]));
  // As the controller sees it: a shard that a key fills is as it should be, and with next to no load nothing is hot.
  const loads = shardLoads(ring, { keys: window.keys(signal), shardBytesPerSecond });
  const { total } = loads;
  const hotFrom = isEnoughToJudge(total, policy.rebalance) ? policy.rebalance.hotRatio : Number.POSITIVE_INFINITY;
  const unitCapacity = policy.capacity.bytesPerSecond;
  const shards = loads.shards.map((measured): ShardAnalysis => {
    const { shard, load } = measured;
    const relative = total === 0 ? 0 : relativeLoad(measured);
    const ofShard = rates.get(shard.id) ?? { itemsPerSecond: 0, bytesPerSecond: 0 };
    return { shard, rates: ofShard, relative, fill: load / (shard.weight * unitCapacity), hot: relative > hotFrom };
  });
  return {
    ...{ signal, ring, usage: window.shardUsage(signal, nowUnixMs), shards, total },
    capacity: ring.shards.reduce((sum, { weight }) => sum + weight * unitCapacity, 0),
    distribution: loadDistribution(loads),
  };
}

function signalDocument({ signal, shards, total, capacity, distribution }: SignalAnalysis): SignalLoadDocument {
  const hot = shards.filter((of) => of.hot).sort((a, b) => b.relative - a.relative || a.shard.id - b.shard.id);
  return {
    signal,
    shards: shards.length,
    bytesPerSecond: total,
    fill: total / capacity,
    ...distribution,
    hotShards: hot.map(({ shard }) => shard.id),
  };
}

function shardDocuments({ signal, ring, usage, shards }: SignalAnalysis, reported: boolean): ShardDocument[] {
  const owned = ownershipOf(ring);
  return shards.map(({ shard: { id, name, topic, weight }, rates, relative, fill, hot }) => {
    const { slots = 0, runs = [] } = owned.get(id) ?? {};
    const { cpuCores = null, rssBytes = null } = usage.get(id) ?? {};
    return {
      ...{ id, name, signal, topic, slots },
      share: slots / ring.slots.length,
      range: { start_key: runs[0]?.[0] ?? null, end_key: runs.at(-1)?.[1] ?? null, hash_range: runs },
      capacity: weight,
      current_load: {
        items_per_second: rates.itemsPerSecond,
        bytes_per_second: rates.bytesPerSecond,
        ...{ relative, fill, cpu_cores: cpuCores, memory_bytes: rssBytes },
      },
      health_status: !reported ? 'unknown' : rates.itemsPerSecond === 0 ? 'idle' : healthOf(fill, hot),
    };
  });
}

function healthOf(fill: number, hot: boolean): ShardDocument['health_status'] {
  if (fill > 1) return 'overloaded';
  return hot ? 'hot' : 'healthy';
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
