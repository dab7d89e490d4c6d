/** Metric  1 name LEN, 2 description LEN, 3 unit LEN, 5 gauge LEN, 7 sum LEN, 9 histogram LEN, others */
import { FLAG_WATCHED, SAMPLE_DETAIL, SAMPLE_FLAGS, SAMPLE_HASH } from './arena';
import { hashBytes } from './hash';
import { checkNested, ITEMS, nestedIn } from './nesting';
import { fallbackHash } from './resource';
import { BY_ITEM_ATTRIBUTE, BY_METRIC_NAME, BY_TRACE_ID, selector } from './routing';
import { LEN, positionOf, readLength, readTag, skipValue, valueOf } from './wire';

const NAME: u32 = 0x0a;
const METRIC: u32 = ITEMS + 1;
/** request 0, ResourceMetrics 1, ScopeMetrics 2, Metric 3: of what is in a metric. */
const INSIDE_DEPTH: u32 = 4;

/** Names of what an instance says of its CPU and memory begin with process. container. k8s. or system. */
function isWatched(at: usize, bytes: u32): bool {
  if (bytes < 4) return false;
  if (load<u32>(at) == 0x2e73386b) return true; // "k8s."
  if (bytes < 7) return false;
  // "syst" "tem."
  if (load<u32>(at) == 0x74737973 && load<u32>(at, 3) == 0x2e6d6574) return true;
  if (bytes < 8) return false;
  if (load<u64>(at) == 0x2e737365636f7270) return true; // "process."
  // "containe" "ner."
  return bytes >= 10 && load<u64>(at) == 0x656e6961746e6f63 && load<u16>(at, 8) == 0x2e72;
}

/** Walks the fields of a Metric, routes it and fills its sample; false when malformed. */
export function walkMetric(p: usize, end: usize, sample: usize, byResource: u64): bool {
  const bytes = <u32>(end - p);
  let nameAt: usize = 0;
  let nameBytes: u32 = 0;
  while (p < end) {
    const tag = readTag(p, end);
    if (tag == 0) return false;
    p = positionOf(tag);
    const field = valueOf(tag);
    if ((field & 7) == LEN) {
      const length = readLength(p, end);
      if (length == 0) return false;
      const at = positionOf(length);
      p = at + <usize>valueOf(length);
      if (field == NAME) {
        nameAt = at;
        nameBytes = valueOf(length);
      } else {
        const nested = nestedIn(METRIC, field >> 3);
        if (nested != 0 && !checkNested(at, p, nested, INSIDE_DEPTH)) return false;
      }
    } else {
      p = skipValue(p, end, field);
      if (p == 0) return false;
    }
  }

  store<u32>(sample, isWatched(nameAt, nameBytes) ? FLAG_WATCHED : 0, SAMPLE_FLAGS);
  store<u64>(sample, bytes, SAMPLE_DETAIL);

  let hash = byResource;
  if (selector == BY_METRIC_NAME && nameBytes > 0) hash = hashBytes(nameAt, nameBytes);
  else if (selector == BY_METRIC_NAME || selector == BY_TRACE_ID || selector == BY_ITEM_ATTRIBUTE) {
    hash = fallbackHash();
  }
  store<u64>(sample, hash, SAMPLE_HASH);
  return true;
}
