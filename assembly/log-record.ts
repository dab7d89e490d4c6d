/**
 * LogRecord  1 time_unix_nano FIXED64, 2 severity_number VARINT, 3 severity_text LEN, 5 body LEN, 6 attributes LEN,
 *            8 flags FIXED32, 9 trace_id LEN 16, 10 span_id LEN, 11 observed_time_unix_nano FIXED64
 */
import { FLAG_ERROR, SAMPLE_DETAIL, SAMPLE_FLAGS, SAMPLE_HASH } from './arena';
import { hash16 } from './hash';
import { ANY_VALUE, checkKeyValue, checkMessage, MALFORMED, passUsual, STRING } from './nesting';
import { beginItem, fallbackHash, itemAttributeHash, noteItemAttribute } from './resource';
import { BY_ITEM_ATTRIBUTE, BY_METRIC_NAME, BY_TRACE_ID, selector } from './routing';
import { LEN, positionOf, readLength, readTag, skipValue, valueOf, varintLow32 } from './wire';

const SEVERITY_NUMBER: u32 = 0x10;
const BODY: u32 = 0x2a;
const ATTRIBUTES: u32 = 0x32;
const TRACE_ID: u32 = 0x4a;
const TIME: u32 = 0x09;
const SEVERITY_TEXT: u32 = 0x1a;
const FLAGS: u32 = 0x45;
// Tag and length, as a little endian u16.
const TRACE_ID_16: u16 = 0x104a;
const SPAN_ID_8: u16 = 0x0852;

/** Bytes that the guess of the usual order may pass before its next bound check. */
const HEAD_BYTES: usize = 11;
const FLAGS_BYTES: usize = 5;
const IDS_BYTES: usize = 28;
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

  // Every SDK writes these in order of their numbers. Whatever is not met here, the loop takes.
  if (end - p >= HEAD_BYTES) {
    if (load<u8>(p) == TIME) p += 9;
    const number: u32 = load<u8>(p, 1);
    if (load<u8>(p) == SEVERITY_NUMBER && number < 0x80) {
      severity = number;
      p += 2;
    }
    const text: usize = load<u8>(p, 1);
    if (load<u8>(p) == SEVERITY_TEXT && text < 0x80 && text + 2 <= end - p) p += 2 + text;
    const body: u32 = load<u8>(p, 1);
    if (
      load<u8>(p) == BODY &&
      body < 0x80 &&
      body + 2 <= <u32>(end - p) &&
      <u32>load<u16>(p, 2) == (STRING | ((body - 2) << 8))
    ) {
      p += 2 + <usize>body;
    }
  }
  if (!byAttribute) p = passUsual(p, end, ATTRIBUTES, INSIDE_DEPTH);
  if (end - p >= FLAGS_BYTES && load<u8>(p) == FLAGS) p += FLAGS_BYTES;
  if (end - p >= IDS_BYTES && load<u16>(p) == TRACE_ID_16) {
    low = load<u64>(p, 2);
    high = load<u64>(p, 10);
    p += 18;
    if (load<u16>(p) == SPAN_ID_8) p += 10;
  }

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
  store<u64>(sample, hash, SAMPLE_HASH);
  return true;
}
