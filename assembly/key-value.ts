/**
 * Reads attributes that are known to be well formed: name and value of one at a time, and the routing key that a value stands for.
 *
 *   KeyValue   1 key LEN, 2 value LEN AnyValue
 *   AnyValue   1 string LEN, 2 bool VARINT, 3 int VARINT, 4 double FIXED64, 5 array LEN, 6 kvlist LEN, 7 bytes LEN
 *
 * The last key and value of a KeyValue decide. What was read last stands in globals.
 */
import { BOOL, DOUBLE, INT, STRING } from './nesting';
import { LEN, positionOf, readLength, readTag, skipValue, valueOf, varint64 } from './wire';

const KEY: u32 = (1 << 3) | LEN;
const VALUE: u32 = (2 << 3) | LEN;

// The AnyValue read last. Its kind is the tag of its field; 0: none.
const ARRAY: u32 = 0x2a;
const KVLIST: u32 = 0x32;
const BYTES: u32 = 0x3a;
export let valueKind: u32 = 0;
export let valueAt: usize = 0;
export let valueBytes: u32 = 0;

// The name of the KeyValue read last.
export let nameAt: usize = 0;
export let nameBytes: u32 = 0;

// The key read last; 0 bytes: missing.
export let keyAt: usize = 0;
export let keyBytes: u32 = 0;

/** Reads a KeyValue of the usual form: key, length and value have their places. */
export function readUsual(p: usize, end: usize): void {
  nameAt = p + 2;
  nameBytes = load<u8>(p, 1);
  let at = nameAt + <usize>nameBytes + 1;
  at += load<u8>(at) < 0x80 ? 1 : 2;
  valueKind = load<u8>(at);
  at++;
  if (valueKind == STRING) {
    at += load<u8>(at) < 0x80 ? 1 : 2;
    valueBytes = <u32>(end - at);
  }
  valueAt = at;
}

/** Reads a KeyValue that is well formed. */
export function readKeyValue(p: usize, end: usize): void {
  nameBytes = 0;
  valueKind = 0;
  while (p < end) {
    const tag = readTag(p, end);
    p = positionOf(tag);
    const field = valueOf(tag);
    if (field == KEY || field == VALUE) {
      const length = readLength(p, end);
      p = positionOf(length);
      const bytes = valueOf(length);
      if (field == KEY) {
        nameAt = p;
        nameBytes = bytes;
      } else readAnyValue(p, p + <usize>bytes);
      p += <usize>bytes;
    } else p = skipValue(p, end, field);
  }
}

function readAnyValue(p: usize, end: usize): void {
  valueKind = 0;
  while (p < end) {
    const tag = readTag(p, end);
    p = positionOf(tag);
    const field = valueOf(tag);
    const at = p;
    p = skipValue(p, end, field);
    if (field == STRING) {
      valueKind = STRING;
      valueBytes = valueOf(readLength(at, end));
      valueAt = p - <usize>valueBytes;
    } else if (
      field == BOOL ||
      field == INT ||
      field == DOUBLE ||
      field == ARRAY ||
      field == KVLIST ||
      field == BYTES
    ) {
      valueKind = field;
      valueAt = at;
    }
  }
}

/** The routing key that the value read last stands for. */
export function takeKey(scratch: usize): void {
  keyAt = valueAt;
  keyBytes = 0;
  if (valueKind == STRING) keyBytes = valueBytes;
  else if (valueKind == DOUBLE) keyBytes = 8;
  else if (valueKind == INT) {
    store<u64>(scratch, varint64(valueAt));
    keyAt = scratch;
    keyBytes = 8;
  } else if (valueKind == BOOL) {
    store<u8>(scratch, varint64(valueAt) != 0 ? 1 : 0);
    keyAt = scratch;
    keyBytes = 1;
  }
}
