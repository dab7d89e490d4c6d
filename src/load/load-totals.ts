/** Sums of what committed polls measured: of one signal, and of one service instance. */
import { LATENCY_BUCKETS, type ServiceAggregate, type ShardAggregate } from '../kernels/split/kernel.ts';
import { type InstanceLoad, MAX_REPORTED_SLOTS, type ShardLoad, type SlotLoad } from './load-report.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What was measured since the last drain. */
export class SignalTotals {
  readonly shards = new Map<number, Mutable<ShardLoad>>();
  readonly instances = new Map<string, InstanceTotals>();
  /** Slots with bytes, in order of first appearance. */
  touched: number[] = [];
  #slotBytes = new Float64Array(65_536);

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
    };
    for (const slot of byLoad) bytes[slot] = 0;
    this.touched = [];
    return load;
  }
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
