/**
 * Counts what a request holds: frames are passed over, nothing is judged, so only after `validate` has said yes.
 *
 *   Export*ServiceRequest 1 ResourceX · ResourceX 2 ScopeX · ScopeX 2 item · Metric 5, 7, 9, 10, 11 kinds · each of them 1 data point
 */
import { LEN, positionOf, readLength, readTag, skipValue, valueOf } from './wire';

const RESOURCE_X: u32 = (1 << 3) | LEN;
const SCOPE_X: u32 = (2 << 3) | LEN;
const ITEM: u32 = (2 << 3) | LEN;
const POINT: u32 = (1 << 3) | LEN;
/** One bit a field number of Metric: gauge, sum, histogram, exponential histogram, summary. */
const KINDS: u32 = (1 << 5) | (1 << 7) | (1 << 9) | (1 << 10) | (1 << 11);

// SIGNALS in src/signals.ts.
const METRICS: u32 = 1;

let resources: u32 = 0;
let scopes: u32 = 0;
let items: u32 = 0;
let points: u32 = 0;

export function countedResources(): u32 {
  return resources;
}

export function countedScopes(): u32 {
  return scopes;
}

export function countedItems(): u32 {
  return items;
}

/** Of metrics; else as many as items. */
export function countedPoints(): u32 {
  return points;
}

export function count(signal: u32, at: usize, bytes: u32): void {
  resources = 0;
  scopes = 0;
  items = 0;
  points = 0;
  const end = at + <usize>bytes;
  for (let p = at; p < end; ) {
    const tag = readTag(p, end);
    p = skipValue(positionOf(tag), end, valueOf(tag));
    if (valueOf(tag) != RESOURCE_X) continue;
    resources++;
    countInResource(signal, contentOf(tag, end), p);
  }
  if (signal != METRICS) points = items;
}

/** Where the content of a LEN field begins. */
function contentOf(tag: u64, end: usize): usize {
  return positionOf(readLength(positionOf(tag), end));
}

function countInResource(signal: u32, p: usize, end: usize): void {
  while (p < end) {
    const tag = readTag(p, end);
    p = skipValue(positionOf(tag), end, valueOf(tag));
    if (valueOf(tag) != SCOPE_X) continue;
    scopes++;
    countInScope(signal, contentOf(tag, end), p);
  }
}

function countInScope(signal: u32, p: usize, end: usize): void {
  while (p < end) {
    const tag = readTag(p, end);
    p = skipValue(positionOf(tag), end, valueOf(tag));
    if (valueOf(tag) != ITEM) continue;
    items++;
    if (signal == METRICS) countInMetric(contentOf(tag, end), p);
  }
}

function countInMetric(p: usize, end: usize): void {
  while (p < end) {
    const tag = readTag(p, end);
    p = skipValue(positionOf(tag), end, valueOf(tag));
    const number = valueOf(tag) >> 3;
    if ((valueOf(tag) & 7) != LEN || number > 11 || ((KINDS >> number) & 1) == 0) continue;
    let at = contentOf(tag, end);
    while (at < p) {
      const inner = readTag(at, p);
      at = skipValue(positionOf(inner), p, valueOf(inner));
      if (valueOf(inner) == POINT) points++;
    }
  }
}
