/**
 * What must hold inside a message, all the way down: every field that the schema says is a message is one, and packed
 * numbers fill their field. Strings, bytes and unknown fields are passed over; their contents are not looked at.
 *
 * A message is told by its row of NESTED: what the LEN fields 1 to 15 hold. Fields beyond 15 hold no message in OTLP.
 */
import { FIXED32, FIXED64, LEN, positionOf, readLength, readTag, skipValue, skipVarint, VARINT, valueOf } from './wire';

/** Messages below the request: one deeper is refused. As in protobuf's own libraries. */
const MAX_DEPTH: u32 = 100;

// What a LEN field holds.
const KEY_VALUE: u32 = 1;
export const ANY_VALUE: u32 = 2;
const ARRAY: u32 = 3;
const KEY_VALUES: u32 = 4;
export const EVENT: u32 = 5;
export const LINK: u32 = 6;
/** Status, ValueAtQuantile: no messages inside. */
const LEAF: u32 = 7;
const NUMBERS: u32 = 8;
const HISTOGRAM: u32 = 9;
const EXPONENTIAL: u32 = 10;
const SUMMARY: u32 = 11;
const NUMBER_POINT: u32 = 12;
const HISTOGRAM_POINT: u32 = 13;
const EXPONENTIAL_POINT: u32 = 14;
const SUMMARY_POINT: u32 = 15;
const BUCKETS: u32 = 16;
const EXEMPLAR: u32 = 17;
export const SCOPE: u32 = 18;
/** From here on by signal: traces, metrics, logs. */
export const ITEMS: u32 = 20;
const SCOPE_XS: u32 = 23;
const RESOURCE_XS: u32 = 26;
const REQUESTS: u32 = 29;
// No messages, but more than bytes.
const FIXED64S: u32 = 32;
const VARINTS: u32 = 33;

// biome-ignore format: a table
const NESTED = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* KEY_VALUE: 2 value */ 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* ANY_VALUE: 5 array, 6 kvlist */ 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* ARRAY: 1 values */ 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* KEY_VALUES: 1 values */ 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* EVENT: 3 attributes */ 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* LINK: 4 attributes */ 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* LEAF */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* NUMBERS (Gauge, Sum): 1 points */ 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* HISTOGRAM: 1 points */ 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* EXPONENTIAL: 1 points */ 0, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* SUMMARY: 1 points */ 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* NUMBER_POINT: 5 exemplars, 7 attributes */ 0, 0, 0, 0, 0, 17, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
  /* HISTOGRAM_POINT: 6 counts, 7 bounds, 8 exemplars, 9 attributes */ 0, 0, 0, 0, 0, 0, 32, 32, 17, 1, 0, 0, 0, 0, 0, 0,
  /* EXPONENTIAL_POINT: 1 attributes, 8 and 9 buckets, 11 exemplars */ 0, 1, 0, 0, 0, 0, 0, 0, 16, 16, 0, 17, 0, 0, 0, 0,
  /* SUMMARY_POINT: 6 quantiles, 7 attributes */ 0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0,
  /* BUCKETS: 2 counts */ 0, 0, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* EXEMPLAR: 7 attributes */ 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
  /* SCOPE: 3 attributes */ 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* RESOURCE: 1 attributes */ 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* Span: 9 attributes, 11 events, 13 links, 15 status */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 5, 0, 6, 0, 7,
  /* Metric: 5 gauge, 7 sum, 9 and 10 histograms, 11 summary, 12 metadata */ 0, 0, 0, 0, 0, 8, 0, 8, 0, 9, 10, 11, 1, 0, 0, 0,
  /* LogRecord: 5 body, 6 attributes */ 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* ScopeSpans, ScopeMetrics, ScopeLogs: 1 scope, 2 items */
  0, 18, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 18, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 18, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* ResourceSpans, ResourceMetrics, ResourceLogs: 1 resource, 2 scopes */
  0, 19, 23, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 19, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 19, 25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  /* the requests: 1 resources */
  0, 26, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 27, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);

// Tags of an AnyValue's fields.
export const STRING: u32 = 0x0a;
export const BOOL: u32 = 0x10;
export const INT: u32 = 0x18;
export const DOUBLE: u32 = 0x21;

// FAULT_REASONS in src/kernels/split/kernel.ts.
const BAD_TAG: u32 = 0;
const BAD_VALUE: u32 = 1;
const BAD_LENGTH: u32 = 2;
const TOO_DEEP: u32 = 3;
const BAD_NUMBERS: u32 = 4;

/** Where the last check failed, and why: the first byte of the field, or of the message that is too deep. */
export let faultAt: usize = 0;
export let faultReason: u32 = 0;

function fault(at: usize, reason: u32): bool {
  faultAt = at;
  faultReason = reason;
  return false;
}

/** What the LEN field `number` of a message holds; 0: bytes that are not looked at. */
export function nestedIn(message: u32, number: u32): u32 {
  return number < 16 ? <u32>load<u8>(NESTED + ((<usize>message) << 4) + <usize>number) : 0;
}

/** Whether the content of a LEN field is well formed; `depth` is that of its message, the request's being 0. */
export function checkNested(p: usize, end: usize, nested: u32, depth: u32): bool {
  if (nested == KEY_VALUE) return checkKeyValue(p, end, depth) != MALFORMED;
  if (nested < FIXED64S) return checkMessage(p, end, nested, depth);
  if (nested == FIXED64S) return ((end - p) & 7) == 0 ? true : fault(p, BAD_NUMBERS);
  while (p < end) {
    const number = p;
    p = skipVarint(p, end);
    if (p == 0) return fault(number, BAD_NUMBERS);
  }
  return true;
}

export function checkMessage(p: usize, end: usize, message: u32, depth: u32): bool {
  if (depth > MAX_DEPTH) return fault(p, TOO_DEEP);
  const row = NESTED + ((<usize>message) << 4);
  while (p < end) {
    // Nearly every tag and length is one byte. What is not met here, or does not fit, the general case judges.
    const tag: u32 = load<u8>(p);
    const left = <usize>(end - p);
    const kind = tag & 7;
    if (kind == LEN) {
      const bytes: usize = load<u8>(p, 1);
      if (tag - 8 < 0x78 && bytes < 0x80 && bytes + 2 <= left) {
        const nested: u32 = load<u8>(row + <usize>(tag >> 3));
        if (nested == KEY_VALUE) {
          const next = passUsual(p, end, tag, depth + 1);
          if (next != p) {
            p = next;
            continue;
          }
        }
        const at = p + 2;
        p = at + bytes;
        if (nested != 0 && !checkNested(at, p, nested, depth + 1)) return false;
        continue;
      }
    } else if (tag - 8 < 0x78) {
      if (kind == FIXED64) {
        if (left >= 9) {
          p += 9;
          continue;
        }
      } else if (kind == VARINT && left >= 2 && load<u8>(p, 1) < 0x80) {
        p += 2;
        continue;
      }
    }
    p = checkField(p, end, row, depth);
    if (p == 0) return false;
  }
  return true;
}

/** The position behind any field of a message; 0 when it is malformed. */
function checkField(field: usize, end: usize, row: usize, depth: u32): usize {
  const tag = readTag(field, end);
  if (tag == 0) return <usize>fault(field, BAD_TAG);
  const p = positionOf(tag);
  const kind = valueOf(tag) & 7;
  if (kind != LEN) {
    const next = skipValue(p, end, valueOf(tag));
    return next != 0 ? next : <usize>fault(field, kind > LEN && kind != FIXED32 ? BAD_TAG : BAD_VALUE);
  }
  const length = readLength(p, end);
  if (length == 0) return <usize>fault(field, BAD_LENGTH);
  const at = positionOf(length);
  const next = at + <usize>valueOf(length);
  const number = valueOf(tag) >> 3;
  const nested: u32 = number < 16 ? load<u8>(row + <usize>number) : 0;
  return nested == 0 || checkNested(at, next, nested, depth + 1) ? next : 0;
}

/** What a check of a KeyValue says: malformed, well formed, or so in the usual form: a key of less than 128 bytes, one value, no more. */
export const MALFORMED: u32 = 0;
export const WELL_FORMED: u32 = 1;
export const USUAL: u32 = 2;

/** The high bits of eight bytes. */
const MORE: u64 = 0x8080808080808080;
/** The first four bytes of a KeyValue's string, 0x12, length, 0x0a, length - 2: for a length of 0, and what each byte adds. */
const STRING_HEAD: u32 = 0x000a0012 - 0x02000000;
const STRING_HEAD_STEP: u32 = 0x01000100;

/**
 * Passes over neighbouring fields `tag` of which each is a KeyValue of the usual form, and gives the position behind them: the
 * general case takes it from there. `depth` is that of the KeyValues.
 */
export function passUsual(p: usize, end: usize, tag: u32, depth: u32): usize {
  if (depth >= MAX_DEPTH) return p;
  while (p < end && isUsualField(p, end, tag)) p = usualEnd(p);
  return p;
}

/**
 * Whether the field at `p` is `tag` and a KeyValue of the usual form. Where a value begins follows from the length of its key, and
 * what its own lengths must be from that of the KeyValue: so few comparisons tell all. They look at up to 270 bytes, but what is
 * called usual lies before `end`.
 */
@inline
export function isUsualField(p: usize, end: usize, tag: u32): bool {
  const head = load<u32>(p);
  // Tag, length below 128, 0x0a, length below 128.
  if ((head & 0x80ff80ff) == (tag | 0x000a0000)) {
    const bytes = (head >> 8) & 0x7f;
    const keyBytes = head >> 24;
    return bytes + 2 <= <u32>(end - p) && isUsualValue(p + 4 + <usize>keyBytes, bytes - 4 - keyBytes);
  }
  // Its length has two bytes.
  if ((head & 0xff8080ff) != (tag | 0x0a008000)) return false;
  const bytes = ((head >> 8) & 0x7f) | ((head >> 9) & 0x3f80);
  return bytes + 3 <= <u32>(end - p) && isUsual(p + 3, bytes);
}

/**
 * The position behind a field that isUsualField has found so. Not its answer: what it would be chosen by, instead of being branched on,
 * the next round would have to wait for, and not just for one byte.
 */
@inline
export function usualEnd(p: usize): usize {
  const bytes: usize = load<u8>(p, 1);
  if (bytes < 0x80) return p + bytes + 2;
  return p + (bytes & 0x7f) + ((<usize>load<u8>(p, 2)) << 7) + 3;
}

/** Whether a KeyValue is of the usual form. */
function isUsual(p: usize, bytes: u32): bool {
  const key: u32 = load<u16>(p);
  const valueAt = p + 2 + <usize>(key >> 8);
  const value = bytes - 4 - (key >> 8);
  if ((key & 0x80ff) != 0x0a) return false;
  return <i32>value < 0x80 ? isUsualValue(valueAt, value) : isLongString(valueAt, value - 1);
}

/** Whether `value` bytes (none, if negative), with tag and length before them, are a string of less than 126 bytes or a number. */
@inline
function isUsualValue(at: usize, value: u32): bool {
  if (<i32>value < 2) return false;
  const head = load<u32>(at);
  if (head == STRING_HEAD + value * STRING_HEAD_STEP) return true;
  if ((head & 0xffff) != (0x12 | (value << 8))) return false;
  const kind = (head >> 16) & 0xff;
  if (kind == INT || kind == BOOL) {
    if (value > 9) return false;
    // One varint up to the end: all its bytes but the last say that more follow.
    const unused = 72 - ((<u64>value) << 3);
    return ((load<u64>(at, 3) << unused) & MORE) == ((MORE << unused) & (MORE >> 8));
  }
  return kind == DOUBLE && value == 9;
}

/** Whether `value` bytes, with tag and two bytes of length before them, are a string of 128 bytes or more. */
function isLongString(at: usize, value: u32): bool {
  if (value - 131 >= 0x4000 - 131) return false;
  const text = value - 3;
  const first: u64 = 0x12 | (((value & 0x7f) | 0x80) << 8) | ((value >> 7) << 16) | 0x0a000000;
  const second: u64 = (text & 0x7f) | 0x80 | ((text >> 7) << 8);
  return (load<u64>(at) & 0xffffffffffff) == (first | (second << 32));
}

/** Checks a KeyValue. */
export function checkKeyValue(p: usize, end: usize, depth: u32): u32 {
  if (depth < MAX_DEPTH && isUsual(p, <u32>(end - p))) return USUAL;
  return checkMessage(p, end, KEY_VALUE, depth) ? WELL_FORMED : MALFORMED;
}

/** Checks a request whole. False: faultAt and faultReason tell where and why. */
export function validate(signal: u32, at: usize, bytes: u32): bool {
  return checkMessage(at, at + <usize>bytes, REQUESTS + signal, 0);
}
