/** Reads what assembly/aggregate.ts has added up, as owned copies. Columns: AGGREGATE_ and INSTANCE_ in assembly/arena.ts. */
import type { KernelHost } from '../host.ts';
import {
  type Aggregate,
  type KeySamples,
  type KeySelector,
  LATENCY_BUCKETS,
  NAMED_EVERY,
  type Routing,
  type ServiceAggregate,
  type ShardAggregate,
  type SplitAggregates,
  type WatchedMetric,
} from './kernel.ts';
import { KEY_KINDS, KEY_SOURCES, type KeyKind, type KeyText, keyName, NAMED_BYTES, resourceName } from './key-name.ts';

const SHARD_AGGREGATE_BYTES = 64;
const INSTANCE_BYTES = 128;
/** Columns of ACTIVE_SUMS, f64: the aggregate, the requests, and the instance's index. */
const SUM_COLUMNS = 10;
const RESOURCE_BYTES = 32;
const WATCHED_BYTES = 12;
const KEY_NAME_BYTES = 144;

/**
 * The touched lists are sorted by shard. Of instances and watched metrics there are hundreds a poll: what they are made of is copied
 * now, objects are made when somebody asks for them.
 */
export function readAggregates(
  host: KernelHost,
  { shardCount, selector }: Pick<Routing, 'shardCount' | 'selector'>,
  instanceNames: InstanceNames,
): SplitAggregates {
  const { exports } = host;
  const names = instanceNames.of(host);
  const services = once(readServices(host, names));
  const watched = once(readWatched(host, names));
  return {
    items: exports.itemCount(),
    bytes: exports.itemByteCount(),
    shards: readShards(host, shardCount),
    get services() {
      return services();
    },
    slotBytes: readSlots(host),
    keySamples: readKeySamples(host, selector),
    get watched() {
      return watched();
    },
  };
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function readAggregate(f64: Float64Array, column: number): Aggregate {
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
    shards.push({ shard, ...readAggregate(f64, (exports.SHARD_AGGREGATES.value + shard * SHARD_AGGREGATE_BYTES) / 8) });
  }
  return shards;
}

interface Names {
  readonly service: string;
  readonly instance: string;
}

/** The names of the instances that the kernel knows, by their index: of each poll only those are read that came new. */
export class InstanceNames {
  #known: Names[] = [];
  #epoch = 0;

  /** Stays as it is for what the call at hand refers to, also when later calls add to it. */
  of(host: KernelHost): readonly Names[] {
    const { exports } = host;
    if (exports.instanceEpoch() !== this.#epoch) {
      this.#epoch = exports.instanceEpoch();
      this.#known = [];
    }
    for (let index = this.#known.length; index < exports.knownCount(); index++) {
      this.#known.push(namesAt(host, exports.INSTANCES.value / 4 + (index * INSTANCE_BYTES) / 4 + 20));
    }
    return this.#known;
  }
}

/** Address and bytes of a service and of an instance stand in four words. */
function namesAt(host: KernelHost, word: number): Names {
  const { u32 } = host;
  return {
    service: host.text(u32[word]!, u32[word + 1]!),
    instance: host.text(u32[word + 2]!, u32[word + 3]!),
  };
}

function readServices({ exports, u32, f64 }: KernelHost, names: readonly Names[]): () => ServiceAggregate[] {
  const count = exports.collectInstances();
  const sumsAt = exports.ACTIVE_SUMS.value / 8;
  const sums = f64.slice(sumsAt, sumsAt + count * SUM_COLUMNS);
  const servedAt = exports.SERVED.value / 4;
  const served = u32.slice(servedAt, servedAt + exports.servedCount());
  return () => {
    const latencies = new Uint32Array(count * LATENCY_BUCKETS);
    // Place of the instance << 7 | bucket is the place of the bucket.
    for (const bucket of served) latencies[bucket]!++;
    return Array.from({ length: count }, (_, place) => {
      const column = place * SUM_COLUMNS;
      return {
        ...names[sums[column + 9]!]!,
        ...readAggregate(sums, column),
        requests: sums[column + 6]!,
        requestErrors: sums[column + 7]!,
        requestLatencySumNs: sums[column + 8]!,
        requestLatency: latencies.subarray(place * LATENCY_BUCKETS, (place + 1) * LATENCY_BUCKETS),
      };
    });
  };
}

function readSlots({ exports, u32 }: KernelHost): Uint32Array {
  const pairs = exports.collectSlots();
  const at = exports.SLOT_PAIRS.value / 4;
  return u32.slice(at, at + 2 * pairs);
}

function readKeySamples({ exports, u8, u32 }: KernelHost, selector: KeySelector): KeySamples {
  const count = exports.keySampleCount();
  const at = exports.KEY_SAMPLE_BYTES.value / 4;
  const hashes = new BigUint64Array(u8.buffer, exports.KEY_SAMPLES.value, count).slice();
  const rowsAt = exports.KEY_NAMES.value;
  const rows = Buffer.from(u8.subarray(rowsAt, rowsAt + Math.ceil(count / NAMED_EVERY) * KEY_NAME_BYTES));
  const names = once(() =>
    Array.from({ length: rows.length / KEY_NAME_BYTES }, (_, name) => ({
      hash: hashes[name * NAMED_EVERY]!,
      text: nameIn(rows.subarray(name * KEY_NAME_BYTES, (name + 1) * KEY_NAME_BYTES), selector),
    })),
  );
  return {
    hashes,
    bytes: u32.slice(at, at + count),
    get names() {
      return names();
    },
  };
}

/** Of a row of KEY_NAMES: source u32, kind u32, bytes of two texts u32 u32, then the beginnings of both. */
function nameIn(row: Buffer, selector: KeySelector): string {
  const textAt = (bytes: number, at: number): KeyText => ({
    head: row.subarray(at, at + Math.min(bytes, NAMED_BYTES)),
    bytes,
  });
  const source = KEY_SOURCES[row.readUInt32LE(0)]!;
  const first = textAt(row.readUInt32LE(8), 16);
  if (source === 'resource') return resourceName(first, textAt(row.readUInt32LE(12), 16 + NAMED_BYTES));
  return keyName(selector, source, KIND_OF_TAG.get(row.readUInt32LE(4))!, first);
}

const KIND_OF_TAG = new Map<number, KeyKind>(Object.entries(KEY_KINDS).map(([kind, tag]) => [tag, kind as KeyKind]));

function readWatched(host: KernelHost, names: readonly Names[]): () => WatchedMetric[] {
  const { exports, u32, u8 } = host;
  const count = exports.watchedCount();
  if (count === 0) return () => [];
  const rows = exports.WATCHED.value / 4;
  const resourceWords = exports.RESOURCES.value / 4;
  const owners: Names[] = [];
  const ends = new Uint32Array(count);
  let end = 0;
  for (let i = 0; i < count; i++) {
    const row = rows + (i * WATCHED_BYTES) / 4;
    const resource = resourceWords + (u32[row]! * RESOURCE_BYTES) / 4;
    // An instance that found no room has no index.
    owners.push(names[u32[resource + 7]!] ?? namesAt(host, resource + 3));
    end += u32[row + 2]!;
    ends[i] = end;
  }
  const metrics = Buffer.allocUnsafeSlow(end);
  for (let i = 0; i < count; i++) {
    const row = rows + (i * WATCHED_BYTES) / 4;
    u8.copy(metrics, ends[i]! - u32[row + 2]!, u32[row + 1]!, u32[row + 1]! + u32[row + 2]!);
  }
  return () =>
    owners.map(({ service, instance }, i) => ({
      service,
      instance,
      metric: new Uint8Array(metrics.buffer, ends[i - 1] ?? 0, ends[i]! - (ends[i - 1] ?? 0)),
    }));
}
