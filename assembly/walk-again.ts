/**
 * Reads an item and its resource once more, for what the walk has not kept: needed for the few items of which more is asked
 * than the hash of their key. Both are known to be well formed.
 */
import {
  RESOURCE_RUN_FROM,
  RESOURCE_RUN_TO,
  RESOURCES,
  RUNS,
  SAMPLE_AT,
  SAMPLE_BYTES,
  SAMPLE_SCOPE,
  SCOPE_RESOURCE,
  SCOPES,
} from './arena';
import { RESOURCE } from './frames';
import { hash8 } from './hash';
import { WELL_FORMED } from './nesting';
import {
  attributeHashes,
  beginItem,
  beginResource,
  noteItemAttribute,
  selectedBytes,
  walkResourceAttributes,
} from './resource';
import { signal } from './routing';
import { positionOf, readLength, readTag, skipValue, valueOf } from './wire';

// By signal, SIGNALS in src/signals.ts: traces, metrics, logs; 0: there is no such field.
const TRACE_ID_TAGS = memory.data<u32>([0x0a, 0, 0x4a]);
const ATTRIBUTE_TAGS = memory.data<u32>([0x4a, 0, 0x32]);
const METRIC_NAME_TAGS = memory.data<u32>([0, 0x0a, 0]);

/** What was found last. */
export let foundAt: usize = 0;
export let foundBytes: u32 = 0;

/** The row of RESOURCES of an item. */
export function resourceOf(sample: usize): usize {
  const scope = SCOPES + ((<usize>load<u32>(sample, SAMPLE_SCOPE)) << 4);
  return RESOURCES + ((<usize>load<u32>(scope, SCOPE_RESOURCE)) << 5);
}

/** Leads to the trace id of an item: 16 bytes, not all 0; the last one counts. */
export function findTraceId(sample: usize): bool {
  return findLast(sample, TRACE_ID_TAGS) && foundBytes == 16 && (load<u64>(foundAt) | load<u64>(foundAt, 8)) != 0;
}

/** Leads to the content of an item's last field of its signal's tag in `tags`. */
function findLast(sample: usize, tags: usize): bool {
  const wanted = load<u32>(tags + ((<usize>signal) << 2));
  let found = false;
  const end = itemEnd(sample);
  for (let p = itemAt(sample); p < end; ) {
    const tag = readTag(p, end);
    const value = positionOf(tag);
    p = skipValue(value, end, valueOf(tag));
    if (valueOf(tag) != wanted) continue;
    foundBytes = valueOf(readLength(value, end));
    foundAt = p - <usize>foundBytes;
    found = true;
  }
  return found;
}

/** Leads to the name of a metric, which is not empty. */
export function findMetricName(sample: usize): bool {
  return findLast(sample, METRIC_NAME_TAGS) && foundBytes > 0;
}

/** Reads the attribute that selects where it is an item's: see resource.ts. */
export function findItemAttribute(sample: usize): bool {
  const wanted = load<u32>(ATTRIBUTE_TAGS + ((<usize>signal) << 2));
  beginItem();
  const end = itemEnd(sample);
  for (let p = itemAt(sample); p < end; ) {
    const tag = readTag(p, end);
    const value = positionOf(tag);
    p = skipValue(value, end, valueOf(tag));
    if (valueOf(tag) == wanted) noteItemAttribute(positionOf(readLength(value, end)), p, WELL_FORMED);
  }
  return selectedBytes > 0;
}

/** The resource at hand is this one again. All that a resource holds beside its scopes is in its runs. */
export function walkResourceAgain(resource: usize): void {
  beginResource(0, 0);
  const last = load<u32>(resource, RESOURCE_RUN_TO);
  for (let run = load<u32>(resource, RESOURCE_RUN_FROM); run < last; run++) {
    const row = RUNS + ((<usize>run) << 3);
    const end = <usize>load<u32>(row) + <usize>load<u32>(row, 4);
    for (let p = <usize>load<u32>(row); p < end; ) {
      const tag = readTag(p, end);
      const value = positionOf(tag);
      p = skipValue(value, end, valueOf(tag));
      if (valueOf(tag) == RESOURCE) walkResourceAttributes(positionOf(readLength(value, end)), p);
    }
  }
}

/** Identity of a resource. */
export function identityAgain(resource: usize): u64 {
  let sum: u64 = 0;
  const last = load<u32>(resource, RESOURCE_RUN_TO);
  for (let run = load<u32>(resource, RESOURCE_RUN_FROM); run < last; run++) {
    const row = RUNS + ((<usize>run) << 3);
    sum += attributeHashes(<usize>load<u32>(row), <usize>load<u32>(row) + <usize>load<u32>(row, 4));
  }
  return hash8(sum);
}

/** Where the content of an item begins, behind tag and length. */
function itemAt(sample: usize): usize {
  const end = itemEnd(sample);
  return positionOf(readLength(positionOf(readTag(<usize>load<u32>(sample, SAMPLE_AT), end)), end));
}

function itemEnd(sample: usize): usize {
  return <usize>load<u32>(sample, SAMPLE_AT) + <usize>load<u32>(sample, SAMPLE_BYTES);
}
