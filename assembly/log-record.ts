/**
 * LogRecord  1 time_unix_nano FIXED64, 2 severity_number VARINT, 3 severity_text LEN, 5 body LEN, 6 attributes LEN,
 *            8 flags FIXED32, 9 trace_id LEN 16, 10 span_id LEN, 11 observed_time_unix_nano FIXED64
 */
import { FLAG_ERROR, SAMPLE_DETAIL, SAMPLE_FLAGS } from './arena';
import { hash16 } from './hash';
import { ANY_VALUE, checkKeyValue, checkMessage, MALFORMED } from './nesting';
import { beginItem, fallbackHash, itemAttributeHash, noteItemAttribute } from './resource';
import { BY_ITEM_ATTRIBUTE, BY_METRIC_NAME, BY_TRACE_ID, routeSample, selector } from './routing';
import { LEN, positionOf, readLength, readTag, skipValue, valueOf, varintLow32 } from './wire';

const SEVERITY_NUMBER: u32 = 0x10;
const BODY: u32 = 0x2a;
const ATTRIBUTES: u32 = 0x32;
const TRACE_ID: u32 = 0x4a;
/** request 0, ResourceLogs 1, ScopeLogs 2, LogRecord 3: of what is in a log record. */
const INSIDE_DEPTH: u32 = 4;
/** SEVERITY_NUMBER_ERROR; FATAL is above. */
const SEVERITY_ERROR: i32 = 17;

/** Walks the fields of a LogRecord, routes it and fills its sample; false when malformed. */
export function walkLogRecord(p: usize, end: usize, sample: usize, byResource: u64): bool {
  let low: u64 = 0;
  let high: u64 = 0;
  let severity: u32 = 0;
  const byAttribute = selector == BY_ITEM_ATTRIBUTE;
  if (byAttribute) beginItem();
  while (p < end) {
    const tag = readTag(p, end);
    if (tag == 0) return false;
    p = positionOf(tag);
    const field = valueOf(tag);
    if (field == TRACE_ID) {
      const length = readLength(p, end);
      if (length == 0) return false;
      p = positionOf(length);
      const whole = valueOf(length) == 16;
      low = whole ? load<u64>(p) : 0;
      high = whole ? load<u64>(p, 8) : 0;
      p += valueOf(length);
    } else if (field == SEVERITY_NUMBER) {
      const read = varintLow32(p, end);
      if (read == 0) return false;
      severity = valueOf(read);
      p = positionOf(read);
    } else if ((field & 7) == LEN) {
      const length = readLength(p, end);
      if (length == 0) return false;
      const at = positionOf(length);
      p = at + <usize>valueOf(length);
      if (field == ATTRIBUTES) {
        const form = checkKeyValue(at, p, INSIDE_DEPTH);
        if (form == MALFORMED) return false;
        if (byAttribute) noteItemAttribute(at, p, form);
      } else if (field == BODY && !checkMessage(at, p, ANY_VALUE, INSIDE_DEPTH)) return false;
    } else {
      p = skipValue(p, end, field);
      if (p == 0) return false;
    }
  }

  store<u32>(sample, <i32>severity >= SEVERITY_ERROR ? FLAG_ERROR : 0, SAMPLE_FLAGS);
  store<u64>(sample, 0, SAMPLE_DETAIL);

  let hash = byResource;
  if (selector == BY_TRACE_ID && (low | high) != 0) hash = hash16(low, high);
  else if (byAttribute) hash = itemAttributeHash();
  else if (selector == BY_TRACE_ID || selector == BY_METRIC_NAME) hash = fallbackHash();
  routeSample(sample, hash);
  return true;
}
