/**
 * The load of the accepted records: by shard, by service instance, by slot, sampled by key, and the metrics in which instances speak of
 * their CPU and memory. Done on the record's samples while they are in the cache.
 */
import {
  ACTIVE,
  ACTIVE_SUMS,
  AGGREGATE_ERRORS,
  AGGREGATE_LATENCY_MAX,
  AGGREGATE_LATENCY_MIN,
  AGGREGATE_REQUEST_LATENCY_SUM,
  AGGREGATE_REQUESTS,
  FLAG_ERROR,
  FLAG_REQUEST,
  FLAG_WATCHED,
  INSTANCE_CALL,
  INSTANCE_HASH,
  INSTANCE_INDEX,
  INSTANCE_INDEX_SLOTS,
  INSTANCE_NAME_AT,
  INSTANCE_NAME_BYTES,
  INSTANCE_NAMES,
  INSTANCE_NAMES_BYTES,
  INSTANCE_PLACE,
  INSTANCE_SERVICE_AT,
  INSTANCE_SERVICE_BYTES,
  INSTANCES,
  MAX_INSTANCES,
  MAX_WATCHED,
  NIL,
  NO_ROOM,
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
  SERVED,
  SHARD_AGGREGATES,
  SLOT_BITS,
  SLOT_BYTES,
  SLOT_PAIRS,
  SPARE_INSTANCE,
  WATCHED,
} from './arena';
import { hashBytes } from './hash';
import { beginKeySamples, nextKeySample, sampleKey } from './key-samples';
import { shardCount, slotCount } from './routing';

const LAST_BUCKET: u32 = 127;

/** Instances of the call. */
export let instances: u32 = 0;
/** Rows of INSTANCES: those of earlier calls, too, so that the host need not read their names again. */
export let known: u32 = 0;
/** Changes when the known instances are forgotten. */
export let knownEpoch: u32 = 0;
export let served: u32 = 0;
export let watched: u32 = 0;
export let totalItems: u32 = 0;
export let totalItemBytes: u32 = 0;

let call: u32 = 0;
let namesBytes: usize = 0;
/** Names of a known instance lie in the input of the call. */
let borrowed = false;

export function beginAggregates(): void {
  if (known > MAX_INSTANCES || namesBytes > INSTANCE_NAMES_BYTES / 2 || borrowed) {
    memory.fill(INSTANCE_INDEX, 0, (<usize>INSTANCE_INDEX_SLOTS) << 2);
    known = 0;
    namesBytes = 0;
    borrowed = false;
    knownEpoch++;
  }
  call++;
  instances = 0;
  served = 0;
  watched = 0;
  beginKeySamples();
  totalItems = 0;
  totalItemBytes = 0;
  for (let shard: u32 = 0; shard < shardCount; shard++) clearAggregate(SHARD_AGGREGATES + ((<usize>shard) << 6));
}

/** Nothing is below the least latency of no item. Not by memory.fill, a call of which takes longer than so few bytes. */
function clearAggregate(at: usize): void {
  for (let column: usize = 0; column < INSTANCE_HASH; column += 8) store<u64>(at + column, 0);
  store<f64>(at, Infinity, AGGREGATE_LATENCY_MIN);
}

/** Two columns at once: items and bytes, errors and latency sum. Each sum is in input order. Extremes are rarely new: hence the branches. */
function addItem(at: usize, sizes: v128, faults: v128, latency: f64): void {
  v128.store(at, f64x2.add(v128.load(at), sizes));
  v128.store(at, f64x2.add(v128.load(at, AGGREGATE_ERRORS), faults), AGGREGATE_ERRORS);
  if (latency < load<f64>(at, AGGREGATE_LATENCY_MIN)) store<f64>(at, latency, AGGREGATE_LATENCY_MIN);
  if (latency > load<f64>(at, AGGREGATE_LATENCY_MAX)) store<f64>(at, latency, AGGREGATE_LATENCY_MAX);
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
  // Of the next eight only what is left counts; the regions have slack behind them.
  return left == 0 || (load<u64>(a) ^ load<u64>(b)) << (64 - ((<u64>left) << 3)) == 0;
}

/** The index of a resource's instance; NO_ROOM when the call has too many. */
function instanceOf(resource: usize): u32 {
  const serviceAt = <usize>load<u32>(resource, RESOURCE_SERVICE_AT);
  const serviceBytes = load<u32>(resource, RESOURCE_SERVICE_BYTES);
  const nameAt = <usize>load<u32>(resource, RESOURCE_INSTANCE_AT);
  const nameBytes = load<u32>(resource, RESOURCE_INSTANCE_BYTES);
  const hash = hashBytes(serviceAt, serviceBytes) + rotl<u64>(hashBytes(nameAt, nameBytes), 1);
  let i = <u32>(hash >> 32) & (INSTANCE_INDEX_SLOTS - 1);
  let row: usize = 0;
  while (true) {
    const entry = load<u32>(INSTANCE_INDEX + ((<usize>i) << 2));
    if (entry == 0) {
      if (instances == MAX_INSTANCES) return NO_ROOM;
      row = INSTANCES + ((<usize>known) << 7);
      store<u64>(row, hash, INSTANCE_HASH);
      store<u32>(row, call - 1, INSTANCE_CALL);
      keepNames(row, serviceAt, serviceBytes, nameAt, nameBytes);
      known++;
      store<u32>(INSTANCE_INDEX + ((<usize>i) << 2), known);
      break;
    }
    row = INSTANCES + ((<usize>(entry - 1)) << 7);
    if (
      load<u64>(row, INSTANCE_HASH) == hash &&
      load<u32>(row, INSTANCE_SERVICE_BYTES) == serviceBytes &&
      load<u32>(row, INSTANCE_NAME_BYTES) == nameBytes &&
      isSame(<usize>load<u32>(row, INSTANCE_SERVICE_AT), serviceAt, serviceBytes) &&
      isSame(<usize>load<u32>(row, INSTANCE_NAME_AT), nameAt, nameBytes)
    ) {
      break;
    }
    i = (i + 1) & (INSTANCE_INDEX_SLOTS - 1);
  }
  const index = <u32>((row - INSTANCES) >> 7);
  if (load<u32>(row, INSTANCE_CALL) == call) return index;
  if (instances == MAX_INSTANCES) return NO_ROOM;
  store<u32>(row, call, INSTANCE_CALL);
  store<u32>(row, instances, INSTANCE_PLACE);
  clearAggregate(row);
  store<u32>(ACTIVE + ((<usize>instances) << 2), index);
  instances++;
  return index;
}

/** Copies the names of an instance where they stay. Those that find no room stay in the input, and are known for this call only. */
function keepNames(row: usize, serviceAt: usize, serviceBytes: u32, nameAt: usize, nameBytes: u32): void {
  const bytes = <u64>serviceBytes + <u64>nameBytes;
  if (bytes <= <u64>(INSTANCE_NAMES_BYTES - namesBytes)) {
    const at = INSTANCE_NAMES + namesBytes;
    memory.copy(at, serviceAt, serviceBytes);
    memory.copy(at + <usize>serviceBytes, nameAt, nameBytes);
    serviceAt = at;
    nameAt = at + <usize>serviceBytes;
    namesBytes += <usize>bytes;
  } else borrowed = true;
  store<u32>(row, <u32>serviceAt, INSTANCE_SERVICE_AT);
  store<u32>(row, serviceBytes, INSTANCE_SERVICE_BYTES);
  store<u32>(row, <u32>nameAt, INSTANCE_NAME_AT);
  store<u32>(row, nameBytes, INSTANCE_NAME_BYTES);
}

/**
 * Adds the samples of an accepted record. `timed`: their detail is a latency. The sums of the instance at hand stay in locals
 * from one scope to the next. Whether a sample is a request is added as 0 or 1: a branch would be guessed wrong every other time.
 */
export function aggregateSamples(samples: u32, timed: bool): void {
  let lastScope = NIL;
  let resource: u32 = 0;
  let row: usize = 0;
  let place: u32 = 0;
  let room: u32 = 0;
  let sizeSums = f64x2.splat(0);
  let faultSums = f64x2.splat(0);
  let least: f64 = 0;
  let most: f64 = 0;
  let requestSums = f64x2.splat(0);
  let requestLatencySum: f64 = 0;
  let itemBytes: u32 = 0;
  for (let sample = SAMPLES, end = SAMPLES + ((<usize>samples) << 5); sample < end; sample += 32) {
    const scope = load<u32>(sample, SAMPLE_SCOPE);
    if (scope != lastScope) {
      if (lastScope != NIL) storeSums(row, sizeSums, faultSums, least, most, requestSums, requestLatencySum);
      lastScope = scope;
      resource = load<u32>(SCOPES + ((<usize>scope) << 4), SCOPE_RESOURCE);
      const resourceRow = RESOURCES + ((<usize>resource) << 5);
      let instance = load<u32>(resourceRow, RESOURCE_INSTANCE);
      if (instance == NIL) {
        instance = instanceOf(resourceRow);
        store<u32>(resourceRow, instance, RESOURCE_INSTANCE);
      }
      room = <u32>(instance != NO_ROOM);
      row = INSTANCES + ((<usize>(room ? instance : SPARE_INSTANCE)) << 7);
      place = load<u32>(row, INSTANCE_PLACE) << 7;
      sizeSums = v128.load(row);
      faultSums = v128.load(row, AGGREGATE_ERRORS);
      least = load<f64>(row, AGGREGATE_LATENCY_MIN);
      most = load<f64>(row, AGGREGATE_LATENCY_MAX);
      requestSums = v128.load(row, AGGREGATE_REQUESTS);
      requestLatencySum = load<f64>(row, AGGREGATE_REQUEST_LATENCY_SUM);
    }
    const bytes = load<u32>(sample, SAMPLE_BYTES);
    const flags = load<u32>(sample, SAMPLE_FLAGS);
    const detail = load<u64>(sample, SAMPLE_DETAIL);
    const latency: f64 = timed ? <f64>detail : 0;
    const errors: f64 = <f64>(flags & FLAG_ERROR);
    const sizes = f64x2.replace_lane(f64x2.splat(1), 1, bytes);
    const faults = f64x2.replace_lane(f64x2.splat(errors), 1, latency);
    itemBytes += bytes;
    if (nextKeySample < totalItemBytes + itemBytes) sampleKey(sample, totalItemBytes + itemBytes);
    addItem(SHARD_AGGREGATES + ((<usize>load<u32>(sample, SAMPLE_SHARD)) << 6), sizes, faults, latency);
    sizeSums = f64x2.add(sizeSums, sizes);
    faultSums = f64x2.add(faultSums, faults);
    if (latency < least) least = latency;
    if (latency > most) most = latency;
    if (timed) {
      const request = (flags / FLAG_REQUEST) & 1;
      const factor: f64 = request;
      requestSums = f64x2.add(requestSums, f64x2.replace_lane(f64x2.splat(factor), 1, factor * errors));
      requestLatencySum += factor * latency;
      // A histogram for each instance would be half a kilobyte to clear and to read, for a few requests.
      store<u32>(SERVED + ((<usize>served) << 2), place | latencyBucket(detail));
      served += request & room;
    }
    if (flags & FLAG_WATCHED && watched < MAX_WATCHED) {
      const entry = WATCHED + <usize>(watched * 12);
      store<u32>(entry, resource);
      store<u32>(entry, load<u32>(sample, SAMPLE_AT) + bytes - <u32>detail, 4);
      store<u32>(entry, <u32>detail, 8);
      watched++;
    }
  }
  if (lastScope != NIL) storeSums(row, sizeSums, faultSums, least, most, requestSums, requestLatencySum);
  addSlotBytes(samples);
  totalItems += samples;
  totalItemBytes += itemBytes;
}

/** In a loop of its own: the counters are in no near cache, and a short loop waits for many of them at once. */
function addSlotBytes(samples: u32): void {
  for (let sample = SAMPLES, end = SAMPLES + ((<usize>samples) << 5); sample < end; sample += 32) {
    const slot = load<u32>(sample, SAMPLE_SLOT);
    if (slot == NIL) continue;
    const slotAt = SLOT_BYTES + ((<usize>slot) << 2);
    store<u32>(slotAt, load<u32>(slotAt) + load<u32>(sample, SAMPLE_BYTES));
    const bitsAt = SLOT_BITS + <usize>(slot >> 3);
    store<u8>(bitsAt, load<u8>(bitsAt) | (1 << (<u8>(slot & 7))));
  }
}

function storeSums(
  row: usize,
  sizes: v128,
  faults: v128,
  least: f64,
  most: f64,
  requests: v128,
  requestLatencySum: f64,
): void {
  v128.store(row, sizes);
  v128.store(row, faults, AGGREGATE_ERRORS);
  store<f64>(row, least, AGGREGATE_LATENCY_MIN);
  store<f64>(row, most, AGGREGATE_LATENCY_MAX);
  v128.store(row, requests, AGGREGATE_REQUESTS);
  store<f64>(row, requestLatencySum, AGGREGATE_REQUEST_LATENCY_SUM);
}

/** Writes what the host reads of the call's instances to ACTIVE_SUMS, and gives their count. */
export function collectInstances(): u32 {
  let to = ACTIVE_SUMS;
  for (let place: u32 = 0; place < instances; place++, to += 80) {
    const index = load<u32>(ACTIVE + ((<usize>place) << 2));
    const row = INSTANCES + ((<usize>index) << 7);
    for (let column: usize = 0; column < 80; column += 16) v128.store(to + column, v128.load(row + column));
    store<f64>(to, index, INSTANCE_HASH);
  }
  return instances;
}

/** Writes the pairs (slot, item bytes) of the slots that got items, ascending, gives their count, and forgets them. */
export function collectSlots(): u32 {
  let pair = SLOT_PAIRS;
  const words = slotCount() >> 6;
  for (let word: u32 = 0; word < words; word++) {
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
