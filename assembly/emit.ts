/**
 * Writes the shard lists as requests, each from its end backwards: what a length counts is written before the length, so
 * that none is computed twice and nothing is moved. Byte layout: kept fields of the request, resource
 * { kept fields, scopes { kept fields, items } }, tags of one byte, shortest lengths.
 */
import {
  DIRECTORY,
  FIRST,
  LIST_LAST,
  LISTS,
  NIL,
  REQUEST_RESOURCE_FROM,
  REQUEST_RESOURCE_TO,
  REQUEST_RUN_FROM,
  REQUEST_RUN_TO,
  REQUESTS,
  RESOURCE_RUN_FROM,
  RESOURCE_RUN_TO,
  RESOURCES,
  ROW_AT,
  ROW_BEFORE,
  ROW_BYTES,
  ROW_SCOPE,
  ROWS,
  RUNS,
  SCOPE_RESOURCE,
  SCOPE_RUN_FROM,
  SCOPE_RUN_TO,
  SCOPES,
  SLACK,
  TOUCHED,
} from './arena';
import { RESOURCE_X, SCOPE_X } from './frames';
import { requests } from './kept-fields';
import { endLists, touched } from './lists';
import { varintBytes, writeVarint } from './wire';

/** Up to here the inlined loop is faster than a call of memory.copy; most rows are one span. */
const INLINE_COPY_BYTES: u32 = 1_024;

/** Bytes of a row of ROWS. */
const ROW: usize = 16;

/** No output goes below this. */
let floor: usize = 0;

/** Copies `bytes` from `from` to end at `end`; gives where they begin. Touches up to 63 bytes below, which are still to be written, or slack. */
function copyBack(end: usize, from: usize, bytes: u32): usize {
  // The extent is as large as the sum of costs that scan counted: less room is a fault of this module.
  if (<isize>(end - floor) < <isize>bytes) unreachable();
  const to = end - <usize>bytes;
  if (bytes > INLINE_COPY_BYTES) {
    memory.copy(to, from, bytes);
    return to;
  }
  let left = <isize>bytes;
  while (left > 0) {
    left -= 64;
    const a = v128.load(from + left);
    const b = v128.load(from + left, 16);
    const c = v128.load(from + left, 32);
    const d = v128.load(from + left, 48);
    v128.store(to + left, a);
    v128.store(to + left, b, 16);
    v128.store(to + left, c, 32);
    v128.store(to + left, d, 48);
  }
  return to;
}

function copyRunsBack(end: usize, from: u32, to: u32): usize {
  while (to > from) {
    to--;
    const run = RUNS + ((<usize>to) << 3);
    end = copyBack(end, load<u32>(run), load<u32>(run, 4));
  }
  return end;
}

/** Puts tag and length before the message in [at, end). */
function frameBack(at: usize, end: usize, tag: u32): usize {
  const bytes = <u32>(end - at);
  const lengthBytes = varintBytes(bytes);
  if (<isize>(at - floor) < <isize>(lengthBytes + 1)) unreachable();
  at -= lengthBytes;
  writeVarint(at, bytes);
  store<u8>(--at, tag);
  return at;
}

/** Puts what the resource's request holds beside its resources before it, if it is the first of that request in the output. */
function copyRequestBack(end: usize, resource: u32, resourceBefore: u32): usize {
  let low: u32 = 0;
  let high = requests;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<u32>(REQUESTS + ((<usize>middle) << 4), REQUEST_RESOURCE_TO) <= resource) low = middle + 1;
    else high = middle;
  }
  const row = REQUESTS + ((<usize>low) << 4);
  if (low == requests) return end;
  const from = load<u32>(row, REQUEST_RESOURCE_FROM);
  if (resource < from || (resourceBefore != NIL && resourceBefore >= from)) return end;
  return copyRunsBack(end, load<u32>(row, REQUEST_RUN_FROM), load<u32>(row, REQUEST_RUN_TO));
}

/**
 * Emits the lists in [low, high), the last of TOUCHED first, each from its last record back: read from its end, DIRECTORY
 * is in order. Gives the count of its entries; the lowest byte written is in emittedFrom.
 */
export function emit(low: usize, high: usize): u32 {
  floor = low + SLACK;
  let entry = DIRECTORY;
  let at = high;
  for (let i = touched; i-- > 0; ) {
    const list = load<u32>(TOUCHED + ((<usize>i) << 2));
    let row = load<u32>(LISTS + ((<usize>list) << 4), LIST_LAST);
    while (row != 0) {
      const recordEnd = at;
      let resourceEnd = at;
      let scopeEnd = at;
      let rowAt = ROWS + ((<usize>(row - 1)) << 4);
      let scopeRow = SCOPES + ((<usize>(load<u32>(rowAt, ROW_SCOPE) & ~FIRST)) << 4);
      let itemsAt = load<u32>(rowAt, ROW_AT);
      let itemBytes = load<u32>(rowAt, ROW_BYTES);
      let scope = load<u32>(rowAt, ROW_SCOPE);
      while (true) {
        // The row before is read before this one is copied, so that nothing waits for it: it lies in no near cache. Before the
        // first row of a list it is what lies before the table, and is not looked at.
        const copyAt = itemsAt;
        const copyBytes = itemBytes;
        const first = (scope & FIRST) != 0;
        row = load<u32>(rowAt, ROW_BEFORE);
        rowAt = ROWS + ((<usize>row) << 4) - ROW;
        itemsAt = load<u32>(rowAt, ROW_AT);
        itemBytes = load<u32>(rowAt, ROW_BYTES);
        scope = load<u32>(rowAt, ROW_SCOPE);
        at = copyBack(at, copyAt, copyBytes);
        let nextScopeRow = scopeRow;
        if (!first) {
          nextScopeRow = SCOPES + ((<usize>(scope & ~FIRST)) << 4);
          if (nextScopeRow == scopeRow) continue;
        }
        at = copyRunsBack(at, load<u32>(scopeRow, SCOPE_RUN_FROM), load<u32>(scopeRow, SCOPE_RUN_TO));
        at = frameBack(at, scopeEnd, SCOPE_X);
        scopeEnd = at;
        const resource = load<u32>(scopeRow, SCOPE_RESOURCE);
        if (first || load<u32>(nextScopeRow, SCOPE_RESOURCE) != resource) {
          const resourceRow = RESOURCES + ((<usize>resource) << 5);
          at = copyRunsBack(at, load<u32>(resourceRow, RESOURCE_RUN_FROM), load<u32>(resourceRow, RESOURCE_RUN_TO));
          at = frameBack(at, resourceEnd, RESOURCE_X);
          if (requests != 0) at = copyRequestBack(at, resource, first ? NIL : load<u32>(nextScopeRow, SCOPE_RESOURCE));
          resourceEnd = at;
          scopeEnd = at;
        }
        if (first) break;
        scopeRow = nextScopeRow;
      }
      store<u32>(entry, list);
      store<u32>(entry, <u32>at, 4);
      store<u32>(entry, <u32>(recordEnd - at), 8);
      entry += 16;
    }
  }
  emittedFrom = at;
  endLists();
  return <u32>((entry - DIRECTORY) >> 4);
}

/** Lowest address that the last emit wrote output to. */
export let emittedFrom: usize = 0;
