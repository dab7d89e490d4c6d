/**
 * What a record must be (ARCHITECTURE.md), in plain JS: the wire format of every field, all the way down where the schema
 * says that a field is a message or packed numbers.
 */
import type { Signal } from '../../signals.ts';
import type { FaultReason, RequestFault } from './kernel.ts';

export interface Field {
  readonly number: number;
  readonly wireType: 0 | 1 | 2 | 5;
  /** Where its tag begins. */
  readonly start: number;
  /** Where its value begins; of a LEN field: its content, after the length. */
  readonly content: number;
  /** Just behind it. */
  readonly end: number;
}

export function isLen(field: Field, number: number): boolean {
  return field.number === number && field.wireType === 2;
}

/** The request breaks the rule. */
class Fault extends Error {
  readonly at: number;
  readonly reason: FaultReason;

  constructor(at: number, reason: FaultReason) {
    super(reason);
    this.at = at;
    this.reason = reason;
  }
}

/** The first fault of a request; null: it has none. */
export function faultOf(bytes: Uint8Array, signal: Signal): RequestFault | null {
  try {
    checkMessage(bytes, 0, bytes.length, REQUESTS[signal], 0);
    return null;
  } catch (cause) {
    if (cause instanceof Fault) return { at: cause.at, reason: cause.reason };
    throw cause;
  }
}

/** Messages below the request: one deeper is refused. */
const MAX_DEPTH = 100;

/** LEN fields of a message that are more than bytes, by number. */
interface Message {
  readonly [number: number]: Message | 'fixed64s' | 'varints';
}

const LEAF: Message = {};
const ANY_VALUE: { [number: number]: Message } = {};
const KEY_VALUE: Message = { 2: ANY_VALUE };
ANY_VALUE[5] = { 1: ANY_VALUE };
ANY_VALUE[6] = { 1: KEY_VALUE };

const EXEMPLAR: Message = { 7: KEY_VALUE };
const NUMBERS: Message = { 1: { 5: EXEMPLAR, 7: KEY_VALUE } };
const HISTOGRAM: Message = { 1: { 6: 'fixed64s', 7: 'fixed64s', 8: EXEMPLAR, 9: KEY_VALUE } };
const BUCKETS: Message = { 2: 'varints' };
const EXPONENTIAL_HISTOGRAM: Message = { 1: { 1: KEY_VALUE, 8: BUCKETS, 9: BUCKETS, 11: EXEMPLAR } };
const SUMMARY: Message = { 1: { 6: LEAF, 7: KEY_VALUE } };

const ITEMS: Readonly<Record<Signal, Message>> = {
  traces: { 9: KEY_VALUE, 11: { 3: KEY_VALUE }, 13: { 4: KEY_VALUE }, 15: LEAF },
  metrics: { 5: NUMBERS, 7: NUMBERS, 9: HISTOGRAM, 10: EXPONENTIAL_HISTOGRAM, 11: SUMMARY, 12: KEY_VALUE },
  logs: { 5: ANY_VALUE, 6: KEY_VALUE },
};

const requestOf = (signal: Signal): Message => ({
  1: { 1: { 1: KEY_VALUE }, 2: { 1: { 3: KEY_VALUE }, 2: ITEMS[signal] } },
});
const REQUESTS: Readonly<Record<Signal, Message>> = {
  traces: requestOf('traces'),
  metrics: requestOf('metrics'),
  logs: requestOf('logs'),
};

function checkMessage(bytes: Uint8Array, start: number, end: number, message: Message, depth: number): void {
  if (depth > MAX_DEPTH) throw new Fault(start, 'too_deep');
  for (const field of eachField(bytes, start, end)) {
    const inside = field.wireType === 2 ? message[field.number] : undefined;
    if (inside === 'fixed64s') {
      if ((field.end - field.content) % 8 !== 0) throw new Fault(field.content, 'bad_numbers');
    } else if (inside === 'varints') checkVarints(bytes, field);
    else if (inside) checkMessage(bytes, field.content, field.end, inside, depth + 1);
  }
}

function checkVarints(bytes: Uint8Array, field: Field): void {
  for (let at = field.content; at < field.end; ) {
    const next = endOfVarint(bytes, at, field.end, MAX_VARINT_BYTES);
    if (next === null) throw new Fault(at, 'bad_numbers');
    at = next;
  }
}

const MAX_VARINT_BYTES = 10;
const MAX_SHORT_VARINT_BYTES = 5;

/** The position behind the varint at `at`; null when it is cut off, or longer than `most` bytes. */
function endOfVarint(bytes: Uint8Array, at: number, end: number, most: number): number | null {
  for (let next = at; next < end && next < at + most; next++) {
    if (bytes[next]! < 0x80) return next + 1;
  }
  return null;
}

/** The value of a varint of at most 5 bytes. */
function shortVarint(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = at; i < end; i++) value += (bytes[i]! & 0x7f) * 2 ** (7 * (i - at));
  return value;
}

/** All fields from `start` to `end`, which they fill exactly. Expects no fault. */
export function fieldsOf(bytes: Uint8Array, start: number, end: number): Field[] {
  return [...eachField(bytes, start, end)];
}

/**
 * | wire type | value |
 * |---|---|
 * | 0 | varint, at most 10 bytes |
 * | 1 | 8 bytes |
 * | 2 | length as a varint of at most 5 bytes, and as many bytes |
 * | 5 | 4 bytes |
 * Groups (3, 4) and the undefined 6 and 7 are faults. A tag is a varint of at most 5 bytes below 2^32; its field number is
 * not 0.
 */
function* eachField(bytes: Uint8Array, start: number, end: number): Generator<Field> {
  let at = start;
  while (at < end) {
    const fieldStart = at;
    const tagEnd = endOfVarint(bytes, at, end, MAX_SHORT_VARINT_BYTES);
    const tag = tagEnd === null ? 0 : shortVarint(bytes, at, tagEnd);
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (tagEnd === null || tag >= 2 ** 32 || number === 0) throw new Fault(fieldStart, 'bad_tag');
    let content = tagEnd;
    if (wireType === 0) {
      const valueEnd = endOfVarint(bytes, content, end, MAX_VARINT_BYTES);
      if (valueEnd === null) throw new Fault(fieldStart, 'bad_value');
      at = valueEnd;
    } else if (wireType === 1 || wireType === 5) {
      at = content + (wireType === 1 ? 8 : 4);
      if (at > end) throw new Fault(fieldStart, 'bad_value');
    } else if (wireType === 2) {
      const lengthEnd = endOfVarint(bytes, content, end, MAX_SHORT_VARINT_BYTES);
      if (lengthEnd === null) throw new Fault(fieldStart, 'bad_length');
      at = lengthEnd + shortVarint(bytes, content, lengthEnd);
      content = lengthEnd;
      if (at > end) throw new Fault(fieldStart, 'bad_length');
    } else throw new Fault(fieldStart, 'bad_tag');
    yield { number, wireType, start: fieldStart, content, end: at };
  }
}
