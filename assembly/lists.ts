/**
 * The shard lists: one a (group, shard), of rows in input order, linked from the last one back. An output record is filled
 * greedily; the row that begins the next one is marked FIRST, so that emission needs no second look at bytes.
 */
import {
  FIRST,
  LIST_FILL,
  LIST_LAST,
  LIST_SCOPE,
  LISTS,
  RESOURCE_FIELD_BYTES,
  RESOURCES,
  ROW_AT,
  ROW_BEFORE,
  ROW_BYTES,
  ROW_SCOPE,
  ROWS,
  SAMPLE_AT,
  SAMPLE_BYTES,
  SAMPLE_SCOPE,
  SAMPLE_SHARD,
  SAMPLES,
  SCOPE_FIELD_BYTES,
  SCOPE_RESOURCE,
  SCOPES,
  TOUCHED,
} from './arena';
import { FRAME_BYTES } from './frames';
import { shardCount } from './routing';

let rows: u32 = 0;
/** Lists that hold rows, the first of TOUCHED. */
export let touched: u32 = 0;
/** What the accepted records' outputs take at most: the sum of all costs. */
export let outputBytes: u64 = 0;

export function beginLists(): void {
  rows = 0;
  touched = 0;
  outputBytes = 0;
}

/** Called when the lists have been emitted, or given up. */
export function endLists(): void {
  for (let i: u32 = 0; i < touched; i++) clearList(load<u32>(TOUCHED + ((<usize>i) << 2)));
  touched = 0;
}

function clearList(list: u32): void {
  const state = LISTS + ((<usize>list) << 4);
  store<u64>(state, 0);
  store<u64>(state, 0, LIST_FILL);
}

/**
 * Puts the record's samples into their lists. False, and no trace of them, when the outputs would take more than
 * `maxOutputBytes`. No item alone is above `maxRecordBytes`: scan has refused such a record. Its scopes are those from
 * `firstScope` on; `requestBytes` are what each output that gets items of it holds beside its resources.
 */
export function linkSamples(
  samples: u32,
  group: u32,
  firstScope: u32,
  requestBytes: u64,
  maxRecordBytes: u64,
  maxOutputBytes: u64,
): bool {
  const firstRow = rows;
  const touchedBefore = touched;
  const groupLists = LISTS + ((<usize>group * <usize>shardCount) << 4);
  let row = rows;
  let total = outputBytes;
  for (let sample = SAMPLES, end = SAMPLES + ((<usize>samples) << 5); sample < end; sample += 32) {
    const at = load<u32>(sample, SAMPLE_AT);
    const bytes = load<u32>(sample, SAMPLE_BYTES);
    const scope = load<u32>(sample, SAMPLE_SCOPE);
    const list = groupLists + ((<usize>load<u32>(sample, SAMPLE_SHARD)) << 4);
    const last = load<u32>(list, LIST_LAST);
    const lastScope = load<u32>(list, LIST_SCOPE);
    let fill = load<u64>(list, LIST_FILL);
    let cost: u64 = bytes;
    let first: u32 = 0;

    if (lastScope != scope + 1) {
      const scopeRow = SCOPES + ((<usize>scope) << 4);
      const resource = load<u32>(scopeRow, SCOPE_RESOURCE);
      cost += <u64>load<u32>(scopeRow, SCOPE_FIELD_BYTES) + FRAME_BYTES;
      if (lastScope == 0 || load<u32>(SCOPES + ((<usize>(lastScope - 1)) << 4), SCOPE_RESOURCE) != resource) {
        cost += <u64>load<u32>(RESOURCES + ((<usize>resource) << 5), RESOURCE_FIELD_BYTES) + FRAME_BYTES;
        if (lastScope <= firstScope) cost += requestBytes;
      }
    }
    if (last == 0) {
      first = FIRST;
      store<u32>(TOUCHED + ((<usize>touched) << 2), <u32>((list - LISTS) >> 4));
      touched++;
    } else if (fill + cost > maxRecordBytes) {
      first = FIRST;
      fill = 0;
      const scopeRow = SCOPES + ((<usize>scope) << 4);
      const resourceRow = RESOURCES + ((<usize>load<u32>(scopeRow, SCOPE_RESOURCE)) << 5);
      cost =
        <u64>bytes +
        <u64>load<u32>(scopeRow, SCOPE_FIELD_BYTES) +
        <u64>load<u32>(resourceRow, RESOURCE_FIELD_BYTES) +
        requestBytes +
        2 * FRAME_BYTES;
    }
    store<u64>(list, fill + cost, LIST_FILL);
    total += cost;

    if (first == 0 && lastScope == scope + 1) {
      const lastRow = ROWS + ((<usize>(last - 1)) << 4);
      const lastBytes = load<u32>(lastRow, ROW_BYTES);
      if (load<u32>(lastRow, ROW_AT) + lastBytes == at) {
        store<u32>(lastRow, lastBytes + bytes, ROW_BYTES);
        continue;
      }
    }
    const rowAt = ROWS + ((<usize>row) << 4);
    row++;
    store<u32>(rowAt, at, ROW_AT);
    store<u32>(rowAt, bytes, ROW_BYTES);
    store<u32>(rowAt, scope | first, ROW_SCOPE);
    store<u32>(rowAt, last, ROW_BEFORE);
    store<u32>(list, row, LIST_LAST);
    store<u32>(list, scope + 1, LIST_SCOPE);
  }
  if (total > maxOutputBytes) {
    unlink(firstRow, touchedBefore);
    return false;
  }
  rows = row;
  outputBytes = total;
  return true;
}

/**
 * Takes the rows from `firstRow` on out of their lists. A refused record is the call's first, with nothing before it, or
 * the call ends here: so the fill of the lists that stay, which no longer fits, is not looked at again.
 */
function unlink(firstRow: u32, touchedBefore: u32): void {
  for (let i: u32 = 0; i < touched; i++) {
    const index = load<u32>(TOUCHED + ((<usize>i) << 2));
    if (i >= touchedBefore) {
      clearList(index);
      continue;
    }
    const list = LISTS + ((<usize>index) << 4);
    let last = load<u32>(list, LIST_LAST);
    while (last > firstRow) last = load<u32>(ROWS + ((<usize>(last - 1)) << 4), ROW_BEFORE);
    store<u32>(list, last, LIST_LAST);
  }
  touched = touchedBefore;
}
