/**
 * Walks the records of a call: frames (frames.ts), routing keys, shard lists, aggregates. ARCHITECTURE.md says what a record
 * must be; what lies inside scopes and items is checked in nesting.ts.
 *
 * A record is judged when it has been walked whole, and enters lists and aggregates only then. So a refused one leaves
 * nothing behind but counters, which are set back.
 */

import { aggregateSamples, beginAggregates, totalItems } from './aggregate';
import {
  MAX_ITEMS,
  MAX_RESOURCES,
  MAX_SCOPES,
  NIL,
  RECORDS,
  RESOURCE_FIELD_BYTES,
  RESOURCE_INSTANCE,
  RESOURCE_INSTANCE_AT,
  RESOURCE_INSTANCE_BYTES,
  RESOURCE_RUN_FROM,
  RESOURCE_RUN_TO,
  RESOURCE_SERVICE_AT,
  RESOURCE_SERVICE_BYTES,
  RESOURCES,
  SAMPLE_AT,
  SAMPLE_BYTES,
  SAMPLE_SCOPE,
  SAMPLES,
  SCOPE_FIELD_BYTES,
  SCOPE_RESOURCE,
  SCOPE_RUN_FROM,
  SCOPE_RUN_TO,
  SCOPES,
} from './arena';
import { FRAME_BYTES, ITEM, RESOURCE, RESOURCE_X, SCOPE_FIELD, SCOPE_X } from './frames';
import { keepField, keepRequestFields, requests, runs, setBackKeptFields } from './kept-fields';
import { beginLists, linkSamples } from './lists';
import { walkLogRecord } from './log-record';
import { walkMetric } from './metric';
import { checkMessage, SCOPE } from './nesting';
import {
  beginResource,
  instanceAt,
  instanceBytes,
  resourceHash,
  serviceAt,
  serviceBytes,
  walkResourceAttributes,
} from './resource';
import { routeSamples } from './route-samples';
import { signal, useRouting } from './routing';
import { walkSpan } from './span';
import { positionOf, readLength, readTag, skipValue, valueOf } from './wire';

/** request 0, ResourceX 1, ScopeX 2, InstrumentationScope 3. */
const SCOPE_DEPTH: u32 = 3;

// SIGNALS in src/signals.ts; 2 is logs.
const TRACES: u32 = 0;
const METRICS: u32 = 1;

// RECORD_STATUS in src/kernels/split/kernel.ts.
const OK: u32 = 0;
const MALFORMED: u32 = 1;
const NULL_VALUE: u32 = 2;
const ITEM_TOO_LARGE: u32 = 3;
const OUTPUT_TOO_LARGE: u32 = 4;
const TOO_MANY_ITEMS: u32 = 5;

let maxRecordBytes: u64 = 0;

// Accepted records and the one at hand.
let resources: u32 = 0;
let scopes: u32 = 0;

// The record at hand.
let samples: u32 = 0;
/** Samples it may have. */
let room: u32 = 0;
/** A table is full: the walk goes on, as malformed comes before too many, but stores nothing more. */
let overfull = false;
let itemTooLarge = false;
/** Bytes of all fields of the request but the resources. */
let requestFieldBytes: u32 = 0;
/** The most that an item costs in an output of its own, what the request adds not counted; 0 without items. */
let largestAlone: u64 = 0;

/**
 * Scans the first `records` of RECORDS, writes their statuses and gives the number taken: the next one would cross a bound.
 * The lists are then ready for emit, the aggregates for reading.
 */
export function scan(ofSignal: u32, records: u32, recordLimit: u32, outputLimit: u32): u32 {
  maxRecordBytes = recordLimit;
  resources = 0;
  scopes = 0;
  setBackKeptFields(0, 0);
  useRouting(ofSignal);
  beginLists();
  beginAggregates();
  for (let i: u32 = 0; i < records; i++) {
    const record = RECORDS + ((<usize>i) << 4);
    const status = takeRecord(record, outputLimit);
    // A bound of the call: the call ends before this record, unless the record alone crosses it.
    if (i > 0 && (status == OUTPUT_TOO_LARGE || status == TOO_MANY_ITEMS)) return i;
    store<u32>(record, status, 12);
  }
  return records;
}

function takeRecord(record: usize, outputLimit: u32): u32 {
  const at = <usize>load<u32>(record);
  const bytes = load<u32>(record, 4);
  if (bytes == NIL) return NULL_VALUE;
  const resourcesBefore = resources;
  const scopesBefore = scopes;
  const runsBefore = runs;
  const requestsBefore = requests;
  samples = 0;
  room = MAX_ITEMS - totalItems;
  overfull = false;
  itemTooLarge = false;

  let status = OK;
  if (!walkRequest(at, at + <usize>bytes)) status = MALFORMED;
  else if (overfull) status = TOO_MANY_ITEMS;
  else if (itemTooLarge) status = ITEM_TOO_LARGE;
  else {
    routeSamples(samples);
    const group = load<u32>(record, 8);
    if (!linkSamples(samples, group, scopesBefore, requestFieldBytes, maxRecordBytes, outputLimit)) {
      status = OUTPUT_TOO_LARGE;
    }
  }

  if (status == OK) aggregateSamples(samples, signal == TRACES);
  else {
    resources = resourcesBefore;
    scopes = scopesBefore;
    setBackKeptFields(runsBefore, requestsBefore);
  }
  return status;
}

function walkRequest(at: usize, end: usize): bool {
  requestFieldBytes = 0;
  largestAlone = 0;
  const firstResource = resources;
  let p = at;
  while (p < end) {
    const field = p;
    const tag = readTag(p, end);
    if (tag == 0) return false;
    p = positionOf(tag);
    if (valueOf(tag) == RESOURCE_X) {
      const length = readLength(p, end);
      if (length == 0) return false;
      p = positionOf(length);
      const messageEnd = p + <usize>valueOf(length);
      if (!walkResourceX(p, messageEnd)) return false;
      p = messageEnd;
    } else {
      p = skipValue(p, end, valueOf(tag));
      if (p == 0) return false;
      requestFieldBytes += <u32>(p - field);
    }
  }
  if (requestFieldBytes > 0 && !overfull) keepRequestFields(at, end, firstResource, resources);
  // Only now is known what the request adds to an item.
  if (largestAlone > 0 && largestAlone + <u64>requestFieldBytes > maxRecordBytes) itemTooLarge = true;
  return true;
}

function walkResourceX(at: usize, end: usize): bool {
  if (resources == MAX_RESOURCES) overfull = true;
  const firstRun = runs;
  let fieldBytes: u32 = 0;
  beginResource(at, end);

  // The resource may come after its scopes, and its items need it: all but the scopes first.
  let p = at;
  let scopeXs: u32 = 0;
  let onlyScopeAt: usize = 0;
  let onlyScopeEnd: usize = 0;
  while (p < end) {
    const field = p;
    const tag = readTag(p, end);
    if (tag == 0) return false;
    p = positionOf(tag);
    if (valueOf(tag) == RESOURCE) {
      const length = readLength(p, end);
      if (length == 0) return false;
      p = positionOf(length);
      const resourceEnd = p + <usize>valueOf(length);
      if (!walkResourceAttributes(p, resourceEnd)) return false;
      p = resourceEnd;
    } else if (valueOf(tag) == SCOPE_X) {
      const length = readLength(p, end);
      if (length == 0) return false;
      onlyScopeAt = positionOf(length);
      onlyScopeEnd = onlyScopeAt + <usize>valueOf(length);
      scopeXs++;
      p = onlyScopeEnd;
      continue;
    } else {
      p = skipValue(p, end, valueOf(tag));
      if (p == 0) return false;
    }
    fieldBytes += <u32>(p - field);
    if (!overfull) keepField(field, p, firstRun);
  }

  const resource = resources;
  if (!overfull) addResource(fieldBytes, firstRun);
  const byResource = resourceHash();
  if (scopeXs == 1) return walkScopeX(onlyScopeAt, onlyScopeEnd, resource, fieldBytes, byResource);
  return walkScopeXs(at, end, resource, fieldBytes, byResource);
}

/** Adds the resource at hand to RESOURCES. */
function addResource(fieldBytes: u32, firstRun: u32): void {
  const row = RESOURCES + ((<usize>resources) << 5);
  store<u32>(row, fieldBytes, RESOURCE_FIELD_BYTES);
  store<u32>(row, firstRun, RESOURCE_RUN_FROM);
  store<u32>(row, runs, RESOURCE_RUN_TO);
  store<u32>(row, <u32>serviceAt, RESOURCE_SERVICE_AT);
  store<u32>(row, serviceBytes, RESOURCE_SERVICE_BYTES);
  store<u32>(row, <u32>instanceAt, RESOURCE_INSTANCE_AT);
  store<u32>(row, instanceBytes, RESOURCE_INSTANCE_BYTES);
  store<u32>(row, NIL, RESOURCE_INSTANCE);
  resources++;
}

/** The second walk over a ResourceX, whose frames are known to be well formed. */
function walkScopeXs(p: usize, end: usize, resource: u32, fieldBytes: u32, byResource: u64): bool {
  while (p < end) {
    const tag = readTag(p, end);
    p = positionOf(tag);
    if (valueOf(tag) != SCOPE_X) {
      p = skipValue(p, end, valueOf(tag));
      continue;
    }
    const length = readLength(p, end);
    p = positionOf(length);
    const scopeEnd = p + <usize>valueOf(length);
    if (!walkScopeX(p, scopeEnd, resource, fieldBytes, byResource)) return false;
    p = scopeEnd;
  }
  return true;
}

function walkScopeX(p: usize, end: usize, resource: u32, resourceFieldBytes: u32, byResource: u64): bool {
  if (scopes == MAX_SCOPES) overfull = true;
  const scope = scopes;
  const firstRun = runs;
  let fieldBytes: u32 = 0;
  let largestItem: u32 = 0;
  while (p < end) {
    const field = p;
    let tag = ITEM;
    // Nearly all are items: those need no general reading.
    if (load<u8>(p) == ITEM) p++;
    else {
      const read = readTag(p, end);
      if (read == 0) return false;
      p = positionOf(read);
      tag = valueOf(read);
    }
    if (tag == ITEM) {
      const length = readLength(p, end);
      if (length == 0) return false;
      p = positionOf(length);
      const itemEnd = p + <usize>valueOf(length);
      if (samples == room) overfull = true;
      const sample = SAMPLES + (overfull ? 0 : (<usize>samples) << 5);
      if (signal == TRACES) {
        if (!walkSpan(p, itemEnd, sample, byResource)) return false;
      } else if (signal == METRICS) {
        if (!walkMetric(p, itemEnd, sample, byResource)) return false;
      } else if (!walkLogRecord(p, itemEnd, sample, byResource)) return false;
      p = itemEnd;
      const bytes = <u32>(p - field);
      largestItem = max<u32>(largestItem, bytes);
      store<u32>(sample, <u32>field, SAMPLE_AT);
      store<u32>(sample, bytes, SAMPLE_BYTES);
      store<u32>(sample, scope, SAMPLE_SCOPE);
      samples += <u32>!overfull;
    } else {
      const value = p;
      p = skipValue(p, end, tag);
      if (p == 0) return false;
      if (tag == SCOPE_FIELD && !checkMessage(positionOf(readLength(value, end)), p, SCOPE, SCOPE_DEPTH)) {
        return false;
      }
      fieldBytes += <u32>(p - field);
      if (!overfull) keepField(field, p, firstRun);
    }
  }
  // Only now is known what its scope and resource add to an item.
  if (largestItem > 0) {
    const alone = <u64>largestItem + <u64>fieldBytes + <u64>resourceFieldBytes + 2 * FRAME_BYTES;
    largestAlone = max<u64>(largestAlone, alone);
  }
  if (!overfull) {
    const row = SCOPES + ((<usize>scope) << 4);
    store<u32>(row, resource, SCOPE_RESOURCE);
    store<u32>(row, fieldBytes, SCOPE_FIELD_BYTES);
    store<u32>(row, firstRun, SCOPE_RUN_FROM);
    store<u32>(row, runs, SCOPE_RUN_TO);
    scopes++;
  }
  return true;
}
