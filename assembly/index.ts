/** What src/kernels/host.ts loads: the kernels' entry points and the addresses of the regions that it reads and writes. */

import { instances, totalItemBytes, totalItems, watched } from './aggregate';
import { MAX_SHARDS, MAX_SLOTS, SHARD_AGGREGATES, SLOT_BITS, SLOT_BYTES } from './arena';
import { emittedFrom } from './emit';
import { endLists, outputBytes, touched } from './lists';

export { collectSlots } from './aggregate';
export {
  AGGREGATION,
  AGGREGATION_BYTES,
  BATCH,
  BATCH_BYTES,
  CRC_TABLES,
  DIRECTORY,
  GUARD,
  HISTOGRAMS,
  INSTANCE_INDEX,
  INSTANCES,
  KEY_SCRATCH,
  LISTS,
  MAX_ITEMS,
  MAX_RECORDS,
  MAX_RESOURCES,
  MAX_SCOPES,
  MAX_SELECTOR_BYTES,
  MAX_SHARDS,
  OVERRIDE_TABLES,
  RECORDS,
  RESOURCES,
  ROWS,
  RUNS,
  SAMPLES,
  SAMPLES_BYTES,
  SCOPES,
  SCORE,
  SCORE_BYTES,
  SELECTOR_NAMES,
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
export { emit } from './emit';
export { hashBegin, hashEnd, hashStripes } from './hash';
export { ringAdd, ringBegin, ringOwners } from './ring';
export { addOverride, setRouting } from './routing';
export { scan } from './scan';

/** Sum of the costs of the scanned records: what their outputs take at most, SLACK not included. */
export function scannedOutputBytes(): f64 {
  return <f64>outputBytes;
}

export function touchedLists(): u32 {
  return touched;
}

export function instanceCount(): u32 {
  return instances;
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
