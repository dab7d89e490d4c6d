/**
 * Span   1 trace_id LEN 16, 2 span_id LEN, 3 trace_state LEN, 4 parent_span_id LEN, 5 name LEN, 6 kind VARINT,
 *        7 start_time_unix_nano FIXED64, 8 end_time_unix_nano FIXED64, 9 attributes LEN, 11 events LEN, 13 links LEN,
 *        15 status LEN Status, 16 flags FIXED32
 * Status 3 code VARINT
 */
import { FLAG_ERROR, FLAG_REQUEST, NIL, SAMPLE_DETAIL, SAMPLE_FLAGS, SAMPLE_HASH } from './arena';
import { hash16 } from './hash';
import {
  checkKeyValue,
  checkMessage,
  checkNested,
  EVENT,
  ITEMS,
  LINK,
  MALFORMED,
  nestedIn,
  passUsual,
  WELL_FORMED,
} from './nesting';
import { beginItem, fallbackHash, itemAttributeHash, noteItemAttribute } from './resource';
import { BY_ITEM_ATTRIBUTE, BY_METRIC_NAME, BY_TRACE_ID, selector } from './routing';
import { LEN, positionOf, readLength, readTag, skipValue, valueOf, varintLow32 } from './wire';

const TRACE_ID: u32 = 0x0a;
const NAME: u32 = 0x2a;
const KIND: u32 = 0x30;
const START: u32 = 0x39;
const END: u32 = 0x41;
const ATTRIBUTES: u32 = 0x4a;
const EVENTS: u32 = 0x5a;
const LINKS: u32 = 0x6a;
const STATUS: u32 = 0x7a;
const STATUS_CODE: u32 = 0x18;

// Tag and length, or tag in two bytes, as a little endian u16.
const TRACE_ID_16: u16 = 0x100a;
const SPAN_ID_8: u16 = 0x0812;
const PARENT_8: u16 = 0x0822;
const FLAGS_TAG: u16 = 0x0185;
/** A status without fields and the tag of flags, as a little endian u32; and what they and the flags take. */
const EMPTY_STATUS_AND_FLAGS: u32 = 0x0185007a;
const TAIL_BYTES: usize = 8;

const KIND_SERVER: u32 = 2;
const KIND_CONSUMER: u32 = 5;
const CODE_ERROR: u32 = 2;

/** request 0, ResourceSpans 1, ScopeSpans 2, Span 3: of what is in a span. */
const INSIDE_DEPTH: u32 = 4;

/** Bytes that the guess of the usual order may look at before its next bound check. */
const IDS_BYTES: usize = 48;
const TIMES_BYTES: usize = 24;

/** Walks the fields of a Span, routes it and fills its sample; false when malformed. `byResource` routes where the selector is no item's. */
export function walkSpan(p: usize, end: usize, sample: usize, byResource: u64): bool {
  let low: u64 = 0;
  let high: u64 = 0;
  let start: u64 = 0;
  let finish: u64 = 0;
  let kind: u32 = 0;
  let code: u32 = 0;

  // Every SDK writes these in order of their numbers: one bound check for all. Whatever is not met here, the loop takes.
  if (end - p >= IDS_BYTES) {
    if (load<u16>(p) == TRACE_ID_16) {
      low = load<u64>(p, 2);
      high = load<u64>(p, 10);
      p += 18;
    }
    if (load<u16>(p) == SPAN_ID_8) p += 10;
    // One span in five has none: no branch, which would be guessed wrong so often.
    p += select<usize>(10, 0, load<u16>(p) == PARENT_8);
    const bytes: usize = load<u8>(p, 1);
    if (load<u8>(p) == NAME && bytes < 0x80 && bytes + 2 <= end - p) p += 2 + bytes;
    if (end - p >= TIMES_BYTES) {
      const value: u32 = load<u8>(p, 1);
      if (load<u8>(p) == KIND && value < 0x80) {
        kind = value;
        p += 2;
      }
      if (load<u8>(p) == START) {
        start = load<u64>(p, 1);
        p += 9;
      }
      if (load<u8>(p) == END) {
        finish = load<u64>(p, 1);
        p += 9;
      }
    }
  }

  const byAttribute = selector == BY_ITEM_ATTRIBUTE;
  if (byAttribute) beginItem();
  else p = passUsual(p, end, ATTRIBUTES, INSIDE_DEPTH);
  // A status without fields, and flags.
  if (end - p == TAIL_BYTES && load<u32>(p) == EMPTY_STATUS_AND_FLAGS) p = end;
  while (p < end) {
    const left = <u32>(end - p);
    const first: u32 = load<u8>(p);
    if (left >= 3 && (first == ATTRIBUTES || first == EVENTS || first == LINKS)) {
      let bytes: u32 = load<u8>(p, 1);
      let at = p + 2;
      if (bytes >= 0x80) {
        const more: u32 = load<u8>(p, 2);
        at++;
        bytes = more < 0x80 ? (bytes & 0x7f) | (more << 7) : NIL;
      }
      // A longer length is left to the general case below.
      if (bytes != NIL) {
        if (bytes > <u32>(end - at)) return false;
        p = at + <usize>bytes;
        if (first == ATTRIBUTES) {
          const form = checkKeyValue(at, p, INSIDE_DEPTH);
          if (form == MALFORMED) return false;
          if (byAttribute) noteItemAttribute(at, p, form);
        } else if (!checkMessage(at, p, first == EVENTS ? EVENT : LINK, INSIDE_DEPTH)) return false;
        continue;
      }
    }
    if (left >= 6 && load<u16>(p) == FLAGS_TAG) {
      p += 6;
      continue;
    }
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
    } else if (field == STATUS) {
      const length = readLength(p, end);
      if (length == 0) return false;
      p = positionOf(length);
      const statusEnd = p + <usize>valueOf(length);
      while (p < statusEnd) {
        const inner = readTag(p, statusEnd);
        if (inner == 0) return false;
        p = positionOf(inner);
        if (valueOf(inner) == STATUS_CODE) {
          const read = varintLow32(p, statusEnd);
          code = valueOf(read);
          p = positionOf(read);
        } else p = skipValue(p, statusEnd, valueOf(inner));
        if (p == 0) return false;
      }
    } else if (field == KIND) {
      const read = varintLow32(p, end);
      if (read == 0) return false;
      kind = valueOf(read);
      p = positionOf(read);
    } else if ((field & 7) == LEN) {
      const length = readLength(p, end);
      if (length == 0) return false;
      const at = positionOf(length);
      p = at + <usize>valueOf(length);
      const nested = nestedIn(ITEMS, field >> 3);
      if (nested != 0 && !checkNested(at, p, nested, INSIDE_DEPTH)) return false;
      if (byAttribute && field == ATTRIBUTES) noteItemAttribute(at, p, WELL_FORMED);
    } else {
      if (field == START && end - p >= 8) start = load<u64>(p);
      else if (field == END && end - p >= 8) finish = load<u64>(p);
      p = skipValue(p, end, field);
      if (p == 0) return false;
    }
  }

  let flags: u32 = code == CODE_ERROR ? FLAG_ERROR : 0;
  if (kind == KIND_SERVER || kind == KIND_CONSUMER) flags |= FLAG_REQUEST;
  store<u32>(sample, flags, SAMPLE_FLAGS);
  store<u64>(sample, finish > start ? finish - start : 0, SAMPLE_DETAIL);

  let hash = byResource;
  if (selector == BY_TRACE_ID && (low | high) != 0) hash = hash16(low, high);
  else if (byAttribute) hash = itemAttributeHash();
  else if (selector == BY_TRACE_ID || selector == BY_METRIC_NAME) hash = fallbackHash();
  store<u64>(sample, hash, SAMPLE_HASH);
  return true;
}
