/** What an item's key says, for the few samples of which people shall be told. The walk keeps of a key just its hash: see walk-again.ts. */
import {
  NAME_TEXT_BYTES,
  RESOURCE_INSTANCE_AT,
  RESOURCE_INSTANCE_BYTES,
  RESOURCE_SERVICE_AT,
  RESOURCE_SERVICE_BYTES,
} from './arena';
import { STRING } from './nesting';
import { selectedAt, selectedBytes, selectedKind, serviceKeyAt, serviceKeyBytes, serviceKeyKind } from './resource';
import {
  BY_ITEM_ATTRIBUTE,
  BY_METRIC_NAME,
  BY_RESOURCE,
  BY_RESOURCE_ATTRIBUTE,
  BY_TRACE_ID,
  selector,
} from './routing';
import {
  findItemAttribute,
  findMetricName,
  findTraceId,
  foundAt,
  foundBytes,
  resourceOf,
  walkResourceAgain,
} from './walk-again';

// KEY_SOURCES and KEY_KINDS in src/kernels/split/key-name.ts. A value's kind is the tag of its AnyValue field.
const SELECTED: u32 = 0;
const SERVICE_NAME: u32 = 1;
const RESOURCE: u32 = 2;
const BYTES: u32 = 0x3a;

/** Fills a row of KEY_NAMES. */
export function nameKey(row: usize, sample: usize): void {
  const resource = resourceOf(sample);
  if (selector != BY_RESOURCE) {
    if (selector == BY_TRACE_ID && findTraceId(sample)) return name(row, SELECTED, BYTES, foundAt, foundBytes);
    if (selector == BY_METRIC_NAME && findMetricName(sample)) {
      return name(row, SELECTED, STRING, foundAt, foundBytes);
    }
    // The item's own attribute stands in the same place as the resource's.
    if (selector == BY_ITEM_ATTRIBUTE && findItemAttribute(sample)) {
      return name(row, SELECTED, selectedKind, selectedAt, selectedBytes);
    }
    walkResourceAgain(resource);
    if (selector == BY_RESOURCE_ATTRIBUTE && selectedBytes > 0) {
      return name(row, SELECTED, selectedKind, selectedAt, selectedBytes);
    }
    if (serviceKeyBytes > 0) return name(row, SERVICE_NAME, serviceKeyKind, serviceKeyAt, serviceKeyBytes);
  }
  name(
    row,
    RESOURCE,
    STRING,
    <usize>load<u32>(resource, RESOURCE_SERVICE_AT),
    load<u32>(resource, RESOURCE_SERVICE_BYTES),
  );
  const bytes = load<u32>(resource, RESOURCE_INSTANCE_BYTES);
  store<u32>(row, bytes, 12);
  memory.copy(
    row + 16 + <usize>NAME_TEXT_BYTES,
    <usize>load<u32>(resource, RESOURCE_INSTANCE_AT),
    min(bytes, NAME_TEXT_BYTES),
  );
}

function name(row: usize, source: u32, kind: u32, at: usize, bytes: u32): void {
  store<u32>(row, source);
  store<u32>(row, kind, 4);
  store<u32>(row, bytes, 8);
  store<u32>(row, 0, 12);
  memory.copy(row + 16, at, min(bytes, NAME_TEXT_BYTES));
}
