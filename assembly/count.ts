/** Counts what a request holds, by its frames. Nothing is checked: only for a request that `validate` has found valid. */
import { ITEM, RESOURCE_X, SCOPE_X } from './frames';
import { positionOf, readLength, readTag, skipValue, valueOf } from './wire';

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
