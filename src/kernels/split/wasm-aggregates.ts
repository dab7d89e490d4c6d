/** Reads what assembly/aggregate.ts has added up, as owned copies. Columns: AGGREGATE_ and INSTANCE_ in assembly/arena.ts. */
import type { KernelHost } from '../host.ts';
import {
  type Aggregate,
  LATENCY_BUCKETS,
  type ServiceAggregate,
  type ShardAggregate,
  type SplitAggregates,
  type WatchedMetric,
} from './kernel.ts';

const SHARD_AGGREGATE_BYTES = 64;
const INSTANCE_BYTES = 128;
const RESOURCE_BYTES = 32;
const WATCHED_BYTES = 12;

/** The touched lists are sorted by shard. */
export function readAggregates(host: KernelHost, shardCount: number, names: InstanceNames): SplitAggregates {
  const { exports } = host;
  return {
    items: exports.itemCount(),
    bytes: exports.itemByteCount(),
    shards: readShards(host, shardCount),
    services: readServices(host, names),
    slotBytes: readSlots(host),
    watched: readWatched(host),
  };
}

function readAggregate(f64: Float64Array, at: number): Aggregate {
  const column = at / 8;
  return {
    items: f64[column]!,
    bytes: f64[column + 1]!,
    errors: f64[column + 2]!,
    latencySumNs: f64[column + 3]!,
    latencyMinNs: f64[column + 4]!,
    latencyMaxNs: f64[column + 5]!,
  };
}

function readShards({ exports, u32, f64 }: KernelHost, shardCount: number): ShardAggregate[] {
  const shards: ShardAggregate[] = [];
  const touched = exports.TOUCHED.value / 4;
  let last = -1;
  for (let i = 0; i < exports.touchedLists(); i++) {
    const shard = u32[touched + i]! % shardCount;
    if (shard === last) continue;
    last = shard;
    shards.push({ shard, ...readAggregate(f64, exports.SHARD_AGGREGATES.value + shard * SHARD_AGGREGATE_BYTES) });
  }
  return shards;
}

/**
 * The names of instances, which come again with every poll and whose bytes are compared in less time than it takes to make
 * texts of them. Kept by the instance's hash; with too many of them all are forgotten.
 */
export class InstanceNames {
  readonly #known = new Map<
    number,
    { readonly bytes: Uint8Array; readonly service: string; readonly instance: string }
  >();

  of(host: KernelHost, row: number): { readonly service: string; readonly instance: string } {
    const { u32, u8 } = host;
    const word = row / 4;
    const serviceAt = u32[word + 20]!;
    const serviceBytes = u32[word + 21]!;
    const instanceAt = u32[word + 22]!;
    const instanceBytes = u32[word + 23]!;
    const hash = u32[word + 18]!;
    const known = this.#known.get(hash);
    if (
      known?.service.length === serviceBytes &&
      known.bytes.length === serviceBytes + instanceBytes &&
      isSame(u8, serviceAt, known.bytes, 0, serviceBytes) &&
      isSame(u8, instanceAt, known.bytes, serviceBytes, instanceBytes)
    ) {
      return known;
    }
    const names = {
      bytes: Buffer.concat([
        u8.subarray(serviceAt, serviceAt + serviceBytes),
        u8.subarray(instanceAt, instanceAt + instanceBytes),
      ]),
      service: host.text(serviceAt, serviceBytes),
      instance: host.text(instanceAt, instanceBytes),
    };
    if (this.#known.size >= MOST_NAMES) this.#known.clear();
    this.#known.set(hash, names);
    return names;
  }
}

const MOST_NAMES = 8_192;

function isSame(memory: Uint8Array, at: number, bytes: Uint8Array, from: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (memory[at + i] !== bytes[from + i]) return false;
  return true;
}

function readServices(host: KernelHost, names: InstanceNames): ServiceAggregate[] {
  const { exports, u32, f64 } = host;
  const count = exports.instanceCount();
  const services = new Array<ServiceAggregate>(count);
  const histograms = exports.HISTOGRAMS.value / 4;
  // One copy for all: polls of single spans have hundreds of instances.
  const latencies = u32.slice(histograms, histograms + count * LATENCY_BUCKETS);
  for (let i = 0; i < count; i++) {
    const row = exports.INSTANCES.value + i * INSTANCE_BYTES;
    const { service, instance } = names.of(host, row);
    const column = row / 8;
    services[i] = {
      service,
      instance,
      // Below 2^31, and so no object each.
      items: f64[column]! | 0,
      bytes: f64[column + 1]! | 0,
      errors: f64[column + 2]! | 0,
      latencySumNs: f64[column + 3]!,
      latencyMinNs: f64[column + 4]!,
      latencyMaxNs: f64[column + 5]!,
      requests: f64[column + 6]! | 0,
      requestErrors: f64[column + 7]! | 0,
      requestLatencySumNs: f64[column + 8]!,
      requestLatency: latencies.subarray(i * LATENCY_BUCKETS, (i + 1) * LATENCY_BUCKETS),
    };
  }
  return services;
}

function readSlots({ exports, u32 }: KernelHost): Uint32Array {
  const pairs = exports.collectSlots();
  const at = exports.SLOT_PAIRS.value / 4;
  return u32.slice(at, at + 2 * pairs);
}

function readWatched(host: KernelHost): WatchedMetric[] {
  const { exports, u32, u8 } = host;
  const watched: WatchedMetric[] = [];
  for (let i = 0; i < exports.watchedCount(); i++) {
    const entry = (exports.WATCHED.value + i * WATCHED_BYTES) / 4;
    const resource = (exports.RESOURCES.value + u32[entry]! * RESOURCE_BYTES) / 4;
    const at = u32[entry + 1]!;
    watched.push({
      service: host.text(u32[resource + 3]!, u32[resource + 4]!),
      instance: host.text(u32[resource + 5]!, u32[resource + 6]!),
      metric: new Uint8Array(u8.buffer.slice(at, at + u32[entry + 2]!)),
    });
  }
  return watched;
}
