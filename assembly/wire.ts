/**
 * The protobuf wire format: varints, tags, and fields to be passed over.
 *
 * A reader takes a position and the end of what it may look at and gives back `value << 32 | next position`, or 0 for
 * malformed: both in one register, no memory in between. No position is 0, as the tables begin above it. Lengths are
 * compared as `n <= end - p`, never as `p + n <= end`, which could wrap around.
 */
export const VARINT: u32 = 0;
export const FIXED64: u32 = 1;
export const LEN: u32 = 2;
export const FIXED32: u32 = 5;

const MAX_VARINT_BYTES: u32 = 10;
/** Of a tag or a length: what 32 bits need. Decoders differ about longer spellings, so these are refused. */
const MAX_SHORT_VARINT_BYTES: u32 = 5;

export function positionOf(read: u64): usize {
  return <usize>(<u32>read);
}

export function valueOf(read: u64): u32 {
  return <u32>(read >> 32);
}

/** A tag or a length: at most 5 bytes, below 2^32. */
function longVarint32(p: usize, end: usize): u64 {
  let value: u64 = 0;
  for (let i: u32 = 0; i < MAX_SHORT_VARINT_BYTES && p < end; i++) {
    const byte: u64 = load<u8>(p++);
    value |= (byte & 0x7f) << (i * 7);
    if (byte < 0x80) return value >> 32 ? 0 : (value << 32) | <u64>p;
  }
  return 0;
}

@inline
export function varint32(p: usize, end: usize): u64 {
  if (p < end) {
    const byte: u64 = load<u8>(p);
    if (byte < 0x80) return (byte << 32) | <u64>(p + 1);
  }
  return longVarint32(p, end);
}

function longLength(p: usize, end: usize): u64 {
  const read = longVarint32(p, end);
  return read != 0 && valueOf(read) <= <u32>(end - positionOf(read)) ? read : 0;
}

/** A tag: as varint32, and the field number is at least 1. */
@inline
export function readTag(p: usize, end: usize): u64 {
  const read = varint32(p, end);
  return read >> 35 ? read : 0;
}

/** A length that lies inside the parent. Nearly all take one or two bytes. */
@inline
export function readLength(p: usize, end: usize): u64 {
  const left = <u32>(end - p);
  if (left >= 2) {
    const low: u32 = load<u8>(p);
    if (low < 0x80) return low < left ? ((<u64>low) << 32) | <u64>(p + 1) : 0;
    const high: u32 = load<u8>(p, 1);
    if (high < 0x80) {
      const bytes = (low & 0x7f) | (high << 7);
      return bytes <= left - 2 ? ((<u64>bytes) << 32) | <u64>(p + 2) : 0;
    }
  }
  return longLength(p, end);
}

/** A varint of 64 bits, of which the low 32 are given: what decoders make of an enum. */
export function varintLow32(p: usize, end: usize): u64 {
  let value: u32 = 0;
  for (let i: u32 = 0; i < MAX_VARINT_BYTES && p < end; i++) {
    const byte: u32 = load<u8>(p++);
    if (i < 5) value |= (byte & 0x7f) << (i * 7);
    if (byte < 0x80) return ((<u64>value) << 32) | <u64>p;
  }
  return 0;
}

/** The value of a varint that is known to be well formed; bits above 2^64 are dropped. */
export function varint64(p: usize): u64 {
  let value: u64 = 0;
  for (let shift: u64 = 0; shift < 70; shift += 7) {
    const byte: u64 = load<u8>(p++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

export function skipVarint(p: usize, end: usize): usize {
  for (let i: u32 = 0; i < MAX_VARINT_BYTES && p < end; i++) {
    if (load<u8>(p++) < 0x80) return p;
  }
  return 0;
}

/** The position behind the value of a field whose tag ended at `p`; 0 when it is malformed. Groups are. */
export function skipValue(p: usize, end: usize, tag: u32): usize {
  const left = end - p;
  switch (tag & 7) {
    case VARINT:
      return skipVarint(p, end);
    case FIXED64:
      return left >= 8 ? p + 8 : 0;
    case LEN: {
      const read = readLength(p, end);
      return read == 0 ? 0 : positionOf(read) + <usize>valueOf(read);
    }
    case FIXED32:
      return left >= 4 ? p + 4 : 0;
    default:
      return 0;
  }
}

/** The position behind the field that begins at `p`; 0 when it is malformed. */
export function skipField(p: usize, end: usize): usize {
  const read = readTag(p, end);
  return read == 0 ? 0 : skipValue(positionOf(read), end, valueOf(read));
}

/** Bytes of the shortest varint of a value. */
export function varintBytes(value: u32): u32 {
  return ((31 - clz<u32>(value | 1)) * 9 + 73) >> 6;
}

export function writeVarint(p: usize, value: u32): void {
  while (value >= 0x80) {
    store<u8>(p++, value | 0x80);
    value >>= 7;
  }
  store<u8>(p, value);
}
