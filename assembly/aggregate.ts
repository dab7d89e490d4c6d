/**
 * The load of the accepted records: by shard, by service instance, by slot, sampled by key, and the metrics in which instances speak of
 * their CPU and memory. Done on the record's samples while they are in the cache.
 */
import {
  AGGREGATE_ERRORS,
  AGGREGATE_LATENCY_MAX,
  AGGREGATE_LATENCY_MIN,
  AGGREGATE_REQUEST_LATENCY_SUM,
  AGGREGATE_REQUESTS,
  FLAG_ERROR,
  FLAG_REQUEST,
  FLAG_WATCHED,
  INSTANCE_PLACE,
  INSTANCES,
  MAX_WATCHED,
  NIL,
  NO_ROOM,
  RESOURCE_INSTANCE,
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
import { beginInstances, instanceOf } from './instances';
import { beginKeySamples, nextKeySample, sampleKey } from './key-samples';
import { shardCount, slotCount } from './routing';
import { clearSums } from './sums';

const LAST_BUCKET: u32 = 127;

export let served: u32 = 0;
export let watched: u32 = 0;
export let totalItems: u32 = 0;
export let totalItemBytes: u32 = 0;

export function beginAggregates(): void {
  beginInstances();
  served = 0;
  watched = 0;
  beginKeySamples();
  totalItems = 0;
  totalItemBytes = 0;
  for (let shard: u32 = 0; shard < shardCount; shard++) clearSums(SHARD_AGGREGATES + ((<usize>shard) << 6));
}

/** Adds two columns at once: items and bytes, errors and latency sum. Each sum is in input order. Extremes are rarely new: hence the branches. */
function addToSums(at: usize, sizes: v128, faults: v128, latency: f64): void {
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
    addToSums(SHARD_AGGREGATES + ((<usize>load<u32>(sample, SAMPLE_SHARD)) << 6), sizes, faults, latency);
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
