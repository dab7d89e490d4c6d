/**
 * Counts what a request holds: frames are passed over, nothing is judged, so only after `validate` has said yes.
 *
 *   Export*ServiceRequest 1 ResourceX · ResourceX 2 ScopeX · ScopeX 2 item
 */
import { LEN, positionOf, readLength, readTag, skipValue, valueOf } from './wire';

const RESOURCE_X: u32 = (1 << 3) | LEN;
const SCOPE_X: u32 = (2 << 3) | LEN;
const ITEM: u32 = (2 << 3) | LEN;

let resources: u32 = 0;
let scopes: u32 = 0;
let items: u32 = 0;

export function countedResources(): u32 {
  return resources;
}

export function countedScopes(): u32 {
  return scopes;
}

export function countedItems(): u32 {
  return items;
}

export function count(at: usize, bytes: u32): void {
  resources = 0;
  scopes = 0;
  items = 0;
  const end = at + <usize>bytes;
  for (let p = at; p < end; ) {
    const tag = readTag(p, end);
    p = skipValue(positionOf(tag), end, valueOf(tag));
    if (valueOf(tag) != RESOURCE_X) continue;
    resources++;
    countInResource(contentOf(tag, end), p);
  }
}

/** Where the content of a LEN field begins. */
function contentOf(tag: u64, end: usize): usize {
  return positionOf(readLength(positionOf(tag), end));
}

function countInResource(p: usize, end: usize): void {
  while (p < end) {
    const tag = readTag(p, end);
    p = skipValue(positionOf(tag), end, valueOf(tag));
    if (valueOf(tag) != SCOPE_X) continue;
    scopes++;
    countInScope(contentOf(tag, end), p);
  }
}

function countInScope(p: usize, end: usize): void {
  while (p < end) {
    const tag = readTag(p, end);
    p = skipValue(positionOf(tag), end, valueOf(tag));
    items += <u32>(valueOf(tag) == ITEM);
  }
}
