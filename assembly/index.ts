/** What src/kernels/host.ts loads: the kernels' entry points and the addresses of the regions that it reads and writes. */

import { served, totalItemBytes, totalItems, watched } from './aggregate';
import { MAX_SHARDS, MAX_SLOTS, SHARD_AGGREGATES, SLOT_BITS, SLOT_BYTES } from './arena';
import { emittedFrom } from './emit';
import { known, knownEpoch } from './instances';
import { keySamples } from './key-samples';
import { endLists, outputBytes, touched } from './lists';
import { faultAt, faultReason } from './nesting';

export { collectSlots } from './aggregate';
export {
  ACTIVE,
  ACTIVE_SUMS,
  AGGREGATION,
  AGGREGATION_BYTES,
  BATCH,
  BATCH_BYTES,
  CRC_TABLES,
  DIRECTORY,
  GUARD,
  INSTANCE_INDEX,
  INSTANCE_NAMES,
  INSTANCES,
  KEY_NAMES,
  KEY_SAMPLE_BYTES,
  KEY_SAMPLES,
  KEY_SCRATCH,
  LISTS,
  LOOKUP_SLOTS,
  MAX_ITEMS,
  MAX_RECORDS,
  MAX_RESOURCES,
  MAX_SCOPES,
  MAX_SELECTOR_BYTES,
  MAX_SHARDS,
  OVERRIDE_TABLES,
  RECORDS,
  REQUESTS,
  RESOURCES,
  RING_SLOTS,
  ROWS,
  RUNS,
  SAMPLES,
  SAMPLES_BYTES,
  SCOPES,
  SCORE,
  SCORE_BYTES,
  SELECTOR_NAMES,
  SERVED,
  SHARD_AGGREGATES,
  SLACK,
  SLOT_BITS,
  SLOT_BYTES,
  SLOT_PAIRS,
  SLOT_TABLE_STRIDE,
  SLOT_TABLES,
  TABLES_END,
  TOUCHED,
  WATCHED,
} from './arena';
export { count, countedItems, countedResources, countedScopes } from './count';
export { CRC_SCRATCH_BYTES, crcUpdate } from './crc32c';
export { emit } from './emit';
export { fnv1a64 } from './fnv';
export { hashBegin, hashEnd, hashSeeded, hashStripes } from './hash';
export { hashKeys, hashKeys16, ownersOf16 } from './hash-batch';
export { addHitters, beginHitters, restoreHitters } from './heavy-hitters';
export { collectInstances } from './instances';
export { murmurEnd, murmurWords } from './murmur';
export { validate } from './nesting';
export { ringAdd, ringBegin, ringHashes, ringLookUp, ringOwners, ringSetSlots } from './ring';
export { addOverride, setRouting } from './routing';
export {
  addHugeSamples,
  addSamples,
  beginAggregate,
  clearAggregate,
  HISTOGRAM_BYTES,
  settleAggregate,
} from './samples';
export { scan } from './scan';
export {
  scoreBegin,
  scoreLocate,
  scoreOf,
  scorePick,
  scorePickBatch,
  scorePickNear,
  scorePickTwo,
  scoreSeed,
  scoreUpdate,
} from './score';
export { addSlots, addToSlot, beginSlots, takeSlots } from './slot-counters';

/** Sum of the costs of the scanned records: what their outputs take at most, SLACK not included. */
export function scannedOutputBytes(): f64 {
  return <f64>outputBytes;
}

export function touchedLists(): u32 {
  return touched;
}

/** Instances that the kernel knows, the first rows of INSTANCES; all others were forgotten when the epoch changed. */
export function knownCount(): u32 {
  return known;
}

export function instanceEpoch(): u32 {
  return knownEpoch;
}

export function keySampleCount(): u32 {
  return keySamples;
}

export function servedCount(): u32 {
  return served;
}

export function watchedCount(): u32 {
  return watched;
}

export function itemCount(): u32 {
  return totalItems;
}

export function itemByteCount(): u32 {
  return totalItemBytes;
}

/** Of the last validate that said no. */
export function faultAddress(): usize {
  return faultAt;
}

export function faultReasonCode(): u32 {
  return faultReason;
}

export function lowestEmitted(): usize {
  return emittedFrom;
}

/** End of the static bytes that asc has placed, from its `memoryBase` on. */
export function compilerBytesEnd(): usize {
  return __heap_base;
}

/** Forgets a call that was given up half way. */
export function reset(): void {
  endLists();
  memory.fill(SHARD_AGGREGATES, 0, (<usize>MAX_SHARDS) << 6);
  memory.fill(SLOT_BYTES, 0, (<usize>MAX_SLOTS) << 2);
  memory.fill(SLOT_BITS, 0, <usize>MAX_SLOTS >> 3);
}
