/** Sums of what committed polls measured: of one signal, and of one service instance. */

import type { HeavyHitter, HeavyHitters } from '../kernels/aggregate/kernel.ts';
import { hashText } from '../kernels/hash/kernel.ts';
import {
  KEY_STRIDE_BYTES,
  type KeySamples,
  LATENCY_BUCKETS,
  type ServiceAggregate,
  type ShardAggregate,
} from '../kernels/split/kernel.ts';
import {
  type InstanceLoad,
  type KeyLoad,
  MAX_REPORTED_KEYS,
  MAX_REPORTED_SLOTS,
  type ShardLoad,
  type SlotLoad,
} from './load-report.ts';

/** Of a signal between two drains: a key of one percent is named within the first hundreds. */
const MAX_KEY_NAMES = 4_096;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What was measured since the last drain. */
export class SignalTotals {
  readonly shards = new Map<number, Mutable<ShardLoad>>();
  readonly instances = new Map<string, InstanceTotals>();
  /** Slots with bytes, in order of first appearance. */
  touched: number[] = [];
  readonly #keys: HeavyHitters;
  /** By hash: those that samples have named. */
  readonly #keyNames = new Map<bigint, string>();
  #slotBytes = new Float64Array(65_536);

  constructor(keys: HeavyHitters) {
    this.#keys = keys;
  }

  addShard(shard: ShardAggregate): void {
    const known = this.shards.get(shard.shard);
    if (!known) {
      const { shard: id, items, bytes, errors, latencySumNs, latencyMinNs, latencyMaxNs } = shard;
      this.shards.set(id, { shard: id, items, bytes, errors, latencySumNs, latencyMinNs, latencyMaxNs });
      return;
    }
    known.latencyMinNs = known.items === 0 ? shard.latencyMinNs : Math.min(known.latencyMinNs, shard.latencyMinNs);
    known.latencyMaxNs = Math.max(known.latencyMaxNs, shard.latencyMaxNs);
    known.latencySumNs += shard.latencySumNs;
    known.items += shard.items;
    known.bytes += shard.bytes;
    known.errors += shard.errors;
  }

  addSlots(slotBytes: Uint32Array): void {
    for (let i = 0; i < slotBytes.length; i += 2) {
      const slot = slotBytes[i]!;
      if (slot >= this.#slotBytes.length) {
        // 2^18 slots above 128 shards.
        const larger = new Float64Array(262_144);
        larger.set(this.#slotBytes);
        this.#slotBytes = larger;
      }
      if (this.#slotBytes[slot] === 0) this.touched.push(slot);
      this.#slotBytes[slot]! += slotBytes[i + 1]!;
    }
  }

  addKeys({ hashes, bytes, names }: KeySamples): void {
    this.#keys.add(hashes, bytes);
    for (const { hash, text } of names) if (this.#keyNames.size < MAX_KEY_NAMES) this.#keyNames.set(hash, text);
  }

  takeSlots(fromUnixMs: number, toUnixMs: number): SlotLoad {
    const bytes = this.#slotBytes;
    const byLoad = this.touched.sort((a, b) => bytes[b]! - bytes[a]! || a - b);
    const listed = byLoad.slice(0, MAX_REPORTED_SLOTS).sort((a, b) => a - b);
    const rest = byLoad.slice(MAX_REPORTED_SLOTS);
    const load: SlotLoad = {
      fromUnixMs,
      toUnixMs,
      slotBytes: listed.flatMap((slot) => [slot, bytes[slot]!]),
      restSlots: rest.length,
      restBytes: rest.reduce((sum, slot) => sum + bytes[slot]!, 0),
      keys: this.#takeKeys(),
    };
    for (const slot of byLoad) bytes[slot] = 0;
    this.touched = [];
    return load;
  }

  #takeKeys(): KeyLoad[] {
    const hitters = this.#keys.read().hitters.slice(0, MAX_REPORTED_KEYS);
    this.#keys.reset();
    const loads = hitters.map((hitter) => keyLoad(hitter, this.#keyNames.get(hitter.key) ?? ''));
    const names = new Map(this.#keyNames);
    // Those that stay heavy stay named.
    this.#keyNames.clear();
    for (const { key } of hitters) if (names.has(key)) this.#keyNames.set(key, names.get(key)!);
    return loads;
  }

  /** Gives the counters' memory back; nothing is added afterwards. */
  release(): void {
    this.#keys.release();
  }
}

function keyLoad({ key, weight, error }: HeavyHitter, name: string): KeyLoad {
  const bytes = Number(weight);
  const deviation = Math.sqrt(bytes * KEY_STRIDE_BYTES);
  return {
    keyHash: hashText(key),
    bytes,
    errorBytes: Math.round(Number(error) + 2 * deviation),
    name,
  };
}

export class InstanceTotals {
  readonly #service: string;
  readonly #instance: string;
  readonly #sums = { items: 0, bytes: 0, requests: 0, requestErrors: 0, requestLatencySumNs: 0 };
  #latency: Float64Array | null = null;

  constructor(service: string, instance: string) {
    this.#service = service;
    this.#instance = instance;
  }

  add(aggregate: ServiceAggregate): void {
    this.#sums.items += aggregate.items;
    this.#sums.bytes += aggregate.bytes;
    this.#sums.requests += aggregate.requests;
    this.#sums.requestErrors += aggregate.requestErrors;
    this.#sums.requestLatencySumNs += aggregate.requestLatencySumNs;
    if (aggregate.requests === 0) return;
    this.#latency ??= new Float64Array(LATENCY_BUCKETS);
    for (let i = 0; i < LATENCY_BUCKETS; i++) this.#latency[i]! += aggregate.requestLatency[i] ?? 0;
  }

  load(utilisation: { cpu: number | null; memory: number | null } | undefined): InstanceLoad {
    const sparse: number[] = [];
    this.#latency?.forEach((count, bucket) => {
      if (count > 0) sparse.push(bucket, count);
    });
    return {
      service: this.#service,
      instance: this.#instance,
      ...this.#sums,
      requestLatency: sparse,
      cpuUtilisation: utilisation?.cpu ?? null,
      memoryUtilisation: utilisation?.memory ?? null,
    };
  }
}
