/**
 * The load of the accepted records: by shard, by service instance, by slot, and the metrics in which instances speak of
 * their CPU and memory. Done on the record's samples while they are in the cache.
 */
import {
  AGGREGATE_ERRORS,
  AGGREGATE_LATENCY_MAX,
  AGGREGATE_LATENCY_MIN,
  AGGREGATE_REQUEST_ERRORS,
  AGGREGATE_REQUEST_LATENCY_SUM,
  AGGREGATE_REQUESTS,
  FLAG_ERROR,
  FLAG_REQUEST,
  FLAG_WATCHED,
  HISTOGRAMS,
  INSTANCE_HASH,
  INSTANCE_INDEX,
  INSTANCE_INDEX_SLOTS,
  INSTANCE_NAME_AT,
  INSTANCE_NAME_BYTES,
  INSTANCE_SERVICE_AT,
  INSTANCE_SERVICE_BYTES,
  INSTANCES,
  MAX_INSTANCES,
  MAX_WATCHED,
  NIL,
  RESOURCE_INSTANCE,
  RESOURCE_INSTANCE_AT,
  RESOURCE_INSTANCE_BYTES,
  RESOURCE_SERVICE_AT,
  RESOURCE_SERVICE_BYTES,
  RESOURCES,
  SAMPLE_AT,
  SAMPLE_BYTES,
  SAMPLE_DETAIL,
  SAMPLE_FLAGS,
  SAMPLE_SCOPE,
  SAMPLE_SHARD,
  SAMPLE_SLOT,
  SAMPLES,
  SCOPE_RESOURCE,
  SCOPES,
  SHARD_AGGREGATES,
  SLOT_BITS,
  SLOT_BYTES,
  SLOT_PAIRS,
  WATCHED,
} from './arena';
import { hashBytes } from './hash';
import { shardCount } from './routing';

/** Words of SLOT_BITS: 2^18 slots. */
const SLOT_WORDS: u32 = 4_096;
const LAST_BUCKET: u32 = 127;
/** RESOURCE_INSTANCE of a resource that found no room in INSTANCES. */
const NO_ROOM: u32 = 0xfffffffe;

export let instances: u32 = 0;
export let watched: u32 = 0;
export let totalItems: u32 = 0;
export let totalItemBytes: u32 = 0;

export function beginAggregates(): void {
  if (instances > 0) memory.fill(INSTANCE_INDEX, 0, (<usize>INSTANCE_INDEX_SLOTS) << 2);
  instances = 0;
  watched = 0;
  totalItems = 0;
  totalItemBytes = 0;
  for (let shard: u32 = 0; shard < shardCount; shard++) clearAggregate(SHARD_AGGREGATES + ((<usize>shard) << 6));
}

/** Nothing is below the least latency of no item. */
function clearAggregate(at: usize): void {
  memory.fill(at, 0, AGGREGATE_REQUESTS);
  store<f64>(at, Infinity, AGGREGATE_LATENCY_MIN);
}

function addTo(at: usize, column: usize, value: f64): void {
  store<f64>(at + column, load<f64>(at + column) + value);
}

/** Two columns at once: items and bytes, errors and latency sum. Each sum is in input order. */
function addItem(at: usize, bytes: f64, errors: f64, latency: f64): void {
  v128.store(at, f64x2.add(v128.load(at), f64x2(1, bytes)));
  v128.store(at, f64x2.add(v128.load(at, AGGREGATE_ERRORS), f64x2(errors, latency)), AGGREGATE_ERRORS);
  store<f64>(at, min<f64>(load<f64>(at, AGGREGATE_LATENCY_MIN), latency), AGGREGATE_LATENCY_MIN);
  store<f64>(at, max<f64>(load<f64>(at, AGGREGATE_LATENCY_MAX), latency), AGGREGATE_LATENCY_MAX);
}

/** bucketOf in src/kernels/split/kernel.ts: four buckets an octave from 2^10 ns on. */
function latencyBucket(latencyNs: u64): u32 {
  if (latencyNs < 1024) return 0;
  const octave = 63 - <u32>clz<u64>(latencyNs);
  const quarter = <u32>(latencyNs >> (<u64>octave - 2)) & 3;
  return min<u32>(1 + (octave - 10) * 4 + quarter, LAST_BUCKET);
}

/** Eight bytes at a time: memory.compare takes them one by one. */
function isSame(a: usize, b: usize, bytes: u32): bool {
  let left = bytes;
  for (; left >= 8; left -= 8) {
    if (load<u64>(a) != load<u64>(b)) return false;
    a += 8;
    b += 8;
  }
  // Of the next eight only what is left counts; the input region has slack behind it.
  return left == 0 || (load<u64>(a) ^ load<u64>(b)) << (64 - ((<u64>left) << 3)) == 0;
}

/** The row of a resource's instance; NO_ROOM when there are too many. */
function internInstance(resource: usize): u32 {
  const serviceAt = <usize>load<u32>(resource, RESOURCE_SERVICE_AT);
  const serviceBytes = load<u32>(resource, RESOURCE_SERVICE_BYTES);
  const nameAt = <usize>load<u32>(resource, RESOURCE_INSTANCE_AT);
  const nameBytes = load<u32>(resource, RESOURCE_INSTANCE_BYTES);
  const hash = hashBytes(serviceAt, serviceBytes) + rotl<u64>(hashBytes(nameAt, nameBytes), 1);
  let i = <u32>(hash >> 32) & (INSTANCE_INDEX_SLOTS - 1);
  while (true) {
    const entry = load<u32>(INSTANCE_INDEX + ((<usize>i) << 2));
    if (entry == 0) break;
    const row = INSTANCES + ((<usize>(entry - 1)) << 7);
    if (
      load<u64>(row, INSTANCE_HASH) == hash &&
      load<u32>(row, INSTANCE_SERVICE_BYTES) == serviceBytes &&
      load<u32>(row, INSTANCE_NAME_BYTES) == nameBytes &&
      isSame(<usize>load<u32>(row, INSTANCE_SERVICE_AT), serviceAt, serviceBytes) &&
      isSame(<usize>load<u32>(row, INSTANCE_NAME_AT), nameAt, nameBytes)
    ) {
      return entry - 1;
    }
    i = (i + 1) & (INSTANCE_INDEX_SLOTS - 1);
  }
  if (instances == MAX_INSTANCES) return NO_ROOM;
  const row = INSTANCES + ((<usize>instances) << 7);
  memory.fill(row, 0, 128);
  clearAggregate(row);
  memory.fill(HISTOGRAMS + ((<usize>instances) << 9), 0, 512);
  store<u64>(row, hash, INSTANCE_HASH);
  store<u32>(row, <u32>serviceAt, INSTANCE_SERVICE_AT);
  store<u32>(row, serviceBytes, INSTANCE_SERVICE_BYTES);
  store<u32>(row, <u32>nameAt, INSTANCE_NAME_AT);
  store<u32>(row, nameBytes, INSTANCE_NAME_BYTES);
  instances++;
  store<u32>(INSTANCE_INDEX + ((<usize>i) << 2), instances);
  return instances - 1;
}

/** Adds the samples of an accepted record. `timed`: their detail is a latency. */
export function aggregateSamples(samples: u32, timed: bool): void {
  let lastScope = NIL;
  let resource: u32 = 0;
  let instance = NO_ROOM;
  let itemBytes: u32 = 0;
  for (let sample = SAMPLES, end = SAMPLES + ((<usize>samples) << 5); sample < end; sample += 32) {
    const scope = load<u32>(sample, SAMPLE_SCOPE);
    if (scope != lastScope) {
      lastScope = scope;
      resource = load<u32>(SCOPES + ((<usize>scope) << 4), SCOPE_RESOURCE);
      const resourceRow = RESOURCES + ((<usize>resource) << 5);
      instance = load<u32>(resourceRow, RESOURCE_INSTANCE);
      if (instance == NIL) {
        instance = internInstance(resourceRow);
        store<u32>(resourceRow, instance, RESOURCE_INSTANCE);
      }
    }
    const bytes = load<u32>(sample, SAMPLE_BYTES);
    const flags = load<u32>(sample, SAMPLE_FLAGS);
    const detail = load<u64>(sample, SAMPLE_DETAIL);
    const latency: f64 = timed ? <f64>detail : 0;
    const errors: f64 = <f64>(flags & FLAG_ERROR);
    itemBytes += bytes;
    addItem(SHARD_AGGREGATES + ((<usize>load<u32>(sample, SAMPLE_SHARD)) << 6), bytes, errors, latency);
    if (instance != NO_ROOM) {
      const row = INSTANCES + ((<usize>instance) << 7);
      addItem(row, bytes, errors, latency);
      if (flags & FLAG_REQUEST) {
        addTo(row, AGGREGATE_REQUESTS, 1);
        addTo(row, AGGREGATE_REQUEST_ERRORS, errors);
        addTo(row, AGGREGATE_REQUEST_LATENCY_SUM, latency);
        const bucket = HISTOGRAMS + ((<usize>instance) << 9) + ((<usize>latencyBucket(detail)) << 2);
        store<u32>(bucket, load<u32>(bucket) + 1);
      }
    }
    const slot = load<u32>(sample, SAMPLE_SLOT);
    if (slot != NIL) {
      const slotAt = SLOT_BYTES + ((<usize>slot) << 2);
      store<u32>(slotAt, load<u32>(slotAt) + bytes);
      const bitsAt = SLOT_BITS + <usize>(slot >> 3);
      store<u8>(bitsAt, load<u8>(bitsAt) | (1 << (<u8>(slot & 7))));
    }
    if (flags & FLAG_WATCHED && watched < MAX_WATCHED) {
      const entry = WATCHED + <usize>(watched * 12);
      store<u32>(entry, resource);
      store<u32>(entry, load<u32>(sample, SAMPLE_AT) + bytes - <u32>detail, 4);
      store<u32>(entry, <u32>detail, 8);
      watched++;
    }
  }
  totalItems += samples;
  totalItemBytes += itemBytes;
}

/** Writes the pairs (slot, item bytes) of the slots that got items, ascending, gives their count, and forgets them. */
export function collectSlots(): u32 {
  let pair = SLOT_PAIRS;
  for (let word: u32 = 0; word < SLOT_WORDS; word++) {
    const wordAt = SLOT_BITS + ((<usize>word) << 3);
    let bits = load<u64>(wordAt);
    if (bits == 0) continue;
    store<u64>(wordAt, 0);
    for (; bits != 0; bits &= bits - 1) {
      const slot = (word << 6) + <u32>ctz<u64>(bits);
      const slotAt = SLOT_BYTES + ((<usize>slot) << 2);
      store<u32>(pair, slot);
      store<u32>(pair, load<u32>(slotAt), 4);
      store<u32>(slotAt, 0);
      pair += 8;
    }
  }
  return <u32>((pair - SLOT_PAIRS) >> 3);
}
