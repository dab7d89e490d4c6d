/**
 * What a resource says of itself: the routing keys and the names of its service instance.
 *
 *   Resource   1 attributes LEN KeyValue, others
 *
 * The first attribute of a name decides. The resource at hand stands in globals
 * until beginResource, the attribute that an item is routed by until beginItem.
 */
import { KEY_SCRATCH } from './arena';
import { RESOURCE } from './frames';
import { hash8, hashBytes } from './hash';
import {
  keyAt,
  keyBytes,
  nameAt,
  nameBytes,
  readKeyValue,
  readUsual,
  takeKey,
  valueAt,
  valueBytes,
  valueKind,
} from './key-value';
import { checkKeyValue, isUsualField, STRING, USUAL, usualEnd } from './nesting';
import {
  BY_RESOURCE,
  BY_RESOURCE_ATTRIBUTE,
  BY_SERVICE_NAME,
  selector,
  selectorNameAt,
  selectorNameBytes,
} from './routing';
import { LEN, positionOf, readLength, readTag, skipValue, valueOf } from './wire';

const ATTRIBUTES: u32 = (1 << 3) | LEN;

/** request 0, ResourceX 1, Resource 2. */
const ATTRIBUTE_DEPTH: u32 = 3;

const SERVICE_SCRATCH: usize = KEY_SCRATCH;
const SELECTED_SCRATCH: usize = KEY_SCRATCH + 8;

// The resource at hand.
let serviceSeen = false;
/** Of service.name as a routing key; its kind is the tag of the AnyValue's field. 0 bytes: missing. */
export let serviceKeyKind: u32 = 0;
export let serviceKeyAt: usize = 0;
export let serviceKeyBytes: u32 = 0;
export let serviceAt: usize = 0;
export let serviceBytes: u32 = 0;
let instanceSeen = false;
export let instanceAt: usize = 0;
export let instanceBytes: u32 = 0;
let selectedSeen = false;
/** Of the attribute that selects, the resource's or the item's; as above. */
export let selectedKind: u32 = 0;
export let selectedAt: usize = 0;
export let selectedBytes: u32 = 0;
let messageAt: usize = 0;
let messageEnd: usize = 0;
let fallbackKnown = false;
let fallback: u64 = 0;

/** Begins the ResourceSpans, ResourceMetrics or ResourceLogs in [at, end). */
export function beginResource(at: usize, end: usize): void {
  serviceSeen = false;
  serviceKeyBytes = 0;
  serviceBytes = 0;
  instanceSeen = false;
  instanceBytes = 0;
  selectedSeen = false;
  selectedBytes = 0;
  messageAt = at;
  messageEnd = end;
  fallbackKnown = false;
}

/** Walks one Resource message; false when malformed. */
export function walkResourceAttributes(p: usize, end: usize): bool {
  while (p < end) {
    if (isUsualField(p, end, ATTRIBUTES)) {
      const at = p + (load<u8>(p, 1) < 0x80 ? 2 : 3);
      p = usualEnd(p);
      if (isWanted(load<u8>(at, 1))) {
        readUsual(at, p);
        noteAttribute();
      }
      continue;
    }
    const tag = readTag(p, end);
    if (tag == 0) return false;
    p = positionOf(tag);
    if (valueOf(tag) == ATTRIBUTES) {
      const length = readLength(p, end);
      if (length == 0) return false;
      p = positionOf(length);
      const attributeEnd = p + <usize>valueOf(length);
      if (!checkKeyValue(p, attributeEnd, ATTRIBUTE_DEPTH)) return false;
      readKeyValue(p, attributeEnd);
      noteAttribute();
      p = attributeEnd;
    } else {
      p = skipValue(p, end, valueOf(tag));
      if (p == 0) return false;
    }
  }
  return true;
}

/** Whether a name of so many bytes may be one that is looked for. */
function isWanted(bytes: u32): bool {
  return bytes == 12 || bytes == 19 || (selector == BY_RESOURCE_ATTRIBUTE && bytes == selectorNameBytes);
}

function isServiceName(at: usize): bool {
  // "service." "name"
  return load<u64>(at) == 0x2e65636976726573 && load<u32>(at, 8) == 0x656d616e;
}

function isServiceInstanceId(at: usize): bool {
  // "service." "instance" "e.id"
  return (
    load<u64>(at) == 0x2e65636976726573 && load<u64>(at, 8) == 0x65636e6174736e69 && load<u32>(at, 15) == 0x64692e65
  );
}

function noteAttribute(): void {
  if (nameBytes == 12 && !serviceSeen && isServiceName(nameAt)) {
    serviceSeen = true;
    takeKey(SERVICE_SCRATCH);
    serviceKeyKind = valueKind;
    serviceKeyAt = keyAt;
    serviceKeyBytes = keyBytes;
    if (valueKind == STRING) {
      serviceAt = valueAt;
      serviceBytes = valueBytes;
    }
  } else if (nameBytes == 19 && !instanceSeen && isServiceInstanceId(nameAt)) {
    instanceSeen = true;
    if (valueKind == STRING) {
      instanceAt = valueAt;
      instanceBytes = valueBytes;
    }
  }
  if (selector == BY_RESOURCE_ATTRIBUTE) noteSelected();
}

function noteSelected(): void {
  if (selectedSeen || nameBytes != selectorNameBytes) return;
  if (memory.compare(nameAt, selectorNameAt, <usize>nameBytes) != 0) return;
  selectedSeen = true;
  takeKey(SELECTED_SCRATCH);
  selectedKind = valueKind;
  selectedAt = keyAt;
  selectedBytes = keyBytes;
}

/** Begins an item that may have the attribute that selects. */
export function beginItem(): void {
  selectedSeen = false;
  selectedBytes = 0;
}

/** Takes an attribute of the item at hand, a KeyValue of which the check said `form`. */
export function noteItemAttribute(at: usize, end: usize, form: u32): void {
  if (selectedSeen || (form == USUAL && <u32>load<u8>(at, 1) != selectorNameBytes)) return;
  if (form == USUAL) readUsual(at, end);
  else readKeyValue(at, end);
  noteSelected();
}

/** Hash that the item at hand is routed by where an attribute of its selects. */
export function itemAttributeHash(): u64 {
  return selectedBytes > 0 ? hashBytes(selectedAt, selectedBytes) : fallbackHash();
}

function resourceIdentity(): u64 {
  return hash8(attributeHashes(messageAt, messageEnd));
}

/** Sum of the hashes of all attributes of the resource in the ResourceX [p, end), which is well formed. A sum does not depend on their order, and needs no sort. */
export function attributeHashes(p: usize, end: usize): u64 {
  let sum: u64 = 0;
  while (p < end) {
    const tag = readTag(p, end);
    p = positionOf(tag);
    if (valueOf(tag) != RESOURCE) {
      p = skipValue(p, end, valueOf(tag));
      continue;
    }
    const length = readLength(p, end);
    p = positionOf(length);
    const resourceEnd = p + <usize>valueOf(length);
    while (p < resourceEnd) {
      const field = readTag(p, resourceEnd);
      p = positionOf(field);
      if (valueOf(field) == ATTRIBUTES) {
        const attribute = readLength(p, resourceEnd);
        p = positionOf(attribute);
        sum += hashBytes(p, valueOf(attribute));
        p += <usize>valueOf(attribute);
      } else p = skipValue(p, resourceEnd, valueOf(field));
    }
  }
  return sum;
}

/** Hash that an item without a key of its own is routed by: that of service.name, else the identity. Once a resource. */
export function fallbackHash(): u64 {
  if (!fallbackKnown) {
    fallback = serviceKeyBytes > 0 ? hashBytes(serviceKeyAt, serviceKeyBytes) : resourceIdentity();
    fallbackKnown = true;
  }
  return fallback;
}

/** Hash that all items of the resource are routed by; meaningless where each item has its own key. */
export function resourceHash(): u64 {
  if (selector == BY_RESOURCE) return resourceIdentity();
  if (selector == BY_RESOURCE_ATTRIBUTE && selectedBytes > 0) return hashBytes(selectedAt, selectedBytes);
  return selector == BY_SERVICE_NAME || selector == BY_RESOURCE_ATTRIBUTE ? fallbackHash() : 0;
}
