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
export function readAggregates(host: KernelHost, shardCount: number): SplitAggregates {
  const { exports } = host;
  return {
    items: exports.itemCount(),
    bytes: exports.itemByteCount(),
    shards: readShards(host, shardCount),
    services: readServices(host),
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

function readServices(host: KernelHost): ServiceAggregate[] {
  const { exports, u32, f64 } = host;
  const services: ServiceAggregate[] = [];
  for (let i = 0; i < exports.instanceCount(); i++) {
    const row = exports.INSTANCES.value + i * INSTANCE_BYTES;
    const text = row / 4 + 20;
    const histogram = exports.HISTOGRAMS.value / 4 + i * LATENCY_BUCKETS;
    services.push({
      service: host.text(u32[text]!, u32[text + 1]!),
      instance: host.text(u32[text + 2]!, u32[text + 3]!),
      ...readAggregate(f64, row),
      requests: f64[row / 8 + 6]!,
      requestErrors: f64[row / 8 + 7]!,
      requestLatencySumNs: f64[row / 8 + 8]!,
      requestLatency: u32.slice(histogram, histogram + LATENCY_BUCKETS),
    });
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
