/**
 * OTLP/JSON to protobuf, from bytes to bytes in one pass: no objects between, strings without escapes are copied as they
 * stand, and 64-bit integers stay exact, which JSON.parse would round.
 *
 * OTLP/JSON is protobuf's JSON mapping, except: trace and span ids are hex, enums are integers, keys are
 * lowerCamelCase only (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Unknown keys are ignored and null
 * is the same as absent. A key given twice, and two members of one oneof, are errors.
 */
import { isUtf8 } from 'node:buffer';
import { TooLarge, varintBytes, WireBuffer } from '../protobuf/wire-buffer.ts';
import type { Signal } from '../signals.ts';
import {
  FIRST_OF_FALSE,
  FIRST_OF_NULL,
  FIRST_OF_TRUE,
  JsonReader,
  Malformed,
  QUOTE,
  sameBytes,
} from './json-reader.ts';
import { type Field, type Message, REQUESTS, type ScalarType } from './otlp-json-fields.ts';

export type JsonConversion =
  | { readonly kind: 'converted'; readonly body: Uint8Array }
  /** Says where (path and byte offset) and what was expected; quotes nothing from the document. */
  | { readonly kind: 'malformed'; readonly reason: string }
  /** As protobuf it has more than `maxBytes`. */
  | { readonly kind: 'too-large' };

export function otlpJsonToProtobuf(signal: Signal, json: Uint8Array, maxBytes: number): JsonConversion {
  if (!isUtf8(json)) return { kind: 'malformed', reason: 'the document is not UTF-8' };
  if (json.length === 0) return { kind: 'malformed', reason: 'the document is empty; an empty request is {}' };
  try {
    const bytes = Buffer.from(json.buffer, json.byteOffset, json.byteLength);
    return { kind: 'converted', body: new Conversion(bytes, maxBytes).run(REQUESTS[signal]) };
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'malformed', reason: error.message };
    if (error instanceof TooLarge) return { kind: 'too-large' };
    throw error;
  }
}

/** Messages within messages; protobuf decoders commonly stop at 100, so deeper ones could not be read by anyone. */
const MAX_DEPTH = 100;
/** Memory of a conversion that is kept for the next one. */
const KEPT_BYTES = 4 * 1024 * 1024;
let kept: Buffer = Buffer.alloc(0);
/** The longest encoding of a number. */
const NUMBER_BYTES = 10;

const EQUALS = 0x3d;
const HEX = new Int8Array(256).fill(-1);
for (let value = 0; value < 16; value++) {
  HEX[value.toString(16).charCodeAt(0)] = value;
  HEX[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}
/** The alphabets of base64 and base64url, as protobuf's JSON mapping takes both. */
const BASE64 = new Uint8Array(256);
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_') BASE64[char.charCodeAt(0)] = 1;

const EXPECTED: Readonly<Record<ScalarType, string>> = {
  string: 'a string',
  bytes: 'base64 in a string',
  trace_id: '32 hex digits in a string',
  span_id: '16 hex digits in a string',
  bool: 'true or false',
  double: 'a number, "NaN", "Infinity" or "-Infinity"',
  enum: 'a 32-bit integer (enums are not given by name)',
  uint32: 'an unsigned 32-bit integer',
  sint32: 'a 32-bit integer',
  fixed32: 'an unsigned 32-bit integer',
  int64: 'a 64-bit integer',
  uint64: 'an unsigned 64-bit integer',
  fixed64: 'an unsigned 64-bit integer',
  sfixed64: 'a 64-bit integer',
};

class Conversion {
  private readonly json: JsonReader;
  private readonly out: WireBuffer;
  private depth = 0;
  /** Where the reader stands: a key for each message it is in, and the index for a repeated one, else -1. */
  private readonly pathNames: string[] = [];
  private readonly pathIndexes: number[] = [];

  constructor(json: Buffer, maxBytes: number) {
    this.json = new JsonReader(json, () => this.path());
    this.out = new WireBuffer(kept, maxBytes);
  }

  run(request: Message): Uint8Array {
    const { json } = this;
    json.space();
    this.fields(request);
    json.space();
    if (json.at < json.json.length) json.fail('the end');
    const body = this.out.finish();
    if (this.out.out.length <= KEPT_BYTES) kept = this.out.out;
    return body;
  }

  /** A message's fields, without tag and length. */
  private fields(message: Message): void {
    const { json } = this;
    if (++this.depth > MAX_DEPTH) json.fail(`at most ${MAX_DEPTH} messages within each other`);
    const { depth } = this;
    this.pathNames[depth] = '';
    let given = 0;
    let guess = 0;
    json.members(() => {
      json.key();
      const field = this.fieldOfKey(message, guess);
      this.pathNames[depth] = field?.name ?? '(unknown key)';
      this.pathIndexes[depth] = -1;
      if (field === undefined) {
        json.skip(MAX_DEPTH - depth);
      } else if (json.peek() === FIRST_OF_NULL) {
        json.literal('null');
      } else {
        if (given & field.bit) json.fail('this field, or one of its alternatives, only once');
        given |= field.bit;
        guess = field.index + 1;
        this.value(field);
      }
    });
    this.depth--;
  }

  /** Keys mostly come in the table's order, so `guess` is tried first. */
  private fieldOfKey({ fields }: Message, guess: number): Field | undefined {
    const { text, from, to } = this.json;
    const guessed = fields[guess];
    if (guessed && sameBytes(guessed.nameBytes, text, from, to)) return guessed;
    for (const field of fields) if (sameBytes(field.nameBytes, text, from, to)) return field;
    return undefined;
  }

  private value(field: Field): void {
    if (field.packed) this.packed(field, field.scalar!);
    else if (field.repeated) this.elements(() => this.single(field));
    else this.single(field);
  }

  private elements(element: () => void): void {
    const { depth } = this;
    this.json.elements((index) => {
      this.pathIndexes[depth] = index;
      element();
    });
  }

  private packed(field: Field, type: ScalarType): void {
    const { out } = this;
    const start = out.open(field.tag, 1);
    this.elements(() => {
      this.number(type);
      out.reserve(NUMBER_BYTES);
      this.writeNumber(type);
    });
    if (out.length === start + 1) out.length = start - varintBytes(field.tag);
    else out.close(start, 1);
  }

  private single(field: Field): void {
    const { message, scalar } = field;
    if (message === null) {
      this.scalar(field, scalar!);
      return;
    }
    const room = message.lengthBytes;
    const start = this.out.open(field.tag, room);
    this.fields(message);
    message.lengthBytes = this.out.close(start, room);
  }

  private scalar(field: Field, type: ScalarType): void {
    switch (type) {
      case 'string':
        this.string(field);
        break;
      case 'trace_id':
        this.id(field, 16, EXPECTED.trace_id);
        break;
      case 'span_id':
        this.id(field, 8, EXPECTED.span_id);
        break;
      case 'bytes':
        this.base64(field);
        break;
      case 'bool':
        this.bool(field);
        break;
      default:
        this.number(type);
        if (!field.explicit && this.isZero(type)) break;
        this.out.reserve(5 + NUMBER_BYTES);
        this.out.varint(field.tag);
        this.writeNumber(type);
    }
  }

  private string(field: Field): void {
    const { json, out } = this;
    json.string(EXPECTED.string);
    const bytes = json.to - json.from;
    if (bytes === 0 && !field.explicit) return;
    out.delimited(field.tag, bytes);
    json.text.copy(out.out, out.length, json.from, json.to);
    out.length += bytes;
  }

  private id(field: Field, bytes: number, expected: string): void {
    const { json, out } = this;
    const start = json.at;
    json.string(expected);
    const { text, from, to } = json;
    if (to === from) return; // no id, such as a root span's parent
    if (to - from !== bytes * 2) json.fail(expected, start);
    out.delimited(field.tag, bytes);
    for (let digit = from; digit < to; digit += 2) {
      const value = (HEX[text[digit]!]! << 4) | HEX[text[digit + 1]!]!;
      if (value < 0) json.fail(expected, start);
      out.out[out.length++] = value;
    }
  }

  private base64(field: Field): void {
    const { json, out } = this;
    const start = json.at;
    json.string(EXPECTED.bytes);
    const { text, from } = json;
    let { to } = json;
    if ((to - from) % 4 === 0 && to > from && text[to - 1] === EQUALS) to -= text[to - 2] === EQUALS ? 2 : 1;
    for (let digit = from; digit < to; digit++) if (!BASE64[text[digit]!]) json.fail(EXPECTED.bytes, start);
    if ((to - from) % 4 === 1) json.fail(EXPECTED.bytes, start);
    const bytes = Math.floor(((to - from) * 3) / 4);
    if (bytes === 0 && !field.explicit) return;
    out.delimited(field.tag, bytes);
    out.out.write(text.toString('latin1', from, to), out.length, bytes, 'base64');
    out.length += bytes;
  }

  private bool(field: Field): void {
    const { json, out } = this;
    const value = json.peek() === FIRST_OF_TRUE;
    if (!value && json.peek() !== FIRST_OF_FALSE) json.fail(EXPECTED.bool);
    json.literal(value ? 'true' : 'false');
    if (!value && !field.explicit) return;
    out.reserve(5 + 1);
    out.varint(field.tag);
    out.varint(value ? 1 : 0);
  }

  /** Reads a number, also one in quotes, and checks it against the type, so that `writeNumber` cannot fail. */
  private number(type: ScalarType): void {
    const { json } = this;
    const start = json.at;
    if (json.peek() === QUOTE && type !== 'enum') {
      json.string(EXPECTED[type]);
      if (type === 'double' && this.textNamesDouble()) return;
      if (!json.textIsNumber()) json.fail(EXPECTED[type], start);
    } else {
      json.number(EXPECTED[type]);
    }
    if (type !== 'double' && !(json.integer() && this.fits(type))) json.fail(EXPECTED[type], start);
  }

  private textNamesDouble(): boolean {
    const { text, from, to } = this.json;
    if (to - from > 9) return false;
    const name = text.toString('latin1', from, to);
    return name === 'NaN' || name === 'Infinity' || name === '-Infinity';
  }

  private fits(type: ScalarType): boolean {
    const { high, low, negative } = this.json;
    switch (type) {
      case 'uint64':
      case 'fixed64':
        return !negative || (high === 0 && low === 0);
      case 'int64':
      case 'sfixed64':
        return high < 0x8000_0000 || (negative && high === 0x8000_0000 && low === 0);
      case 'uint32':
      case 'fixed32':
        return high === 0 && (!negative || low === 0);
      default: // sint32, enum
        return high === 0 && (low < 0x8000_0000 || (negative && low === 0x8000_0000));
    }
  }

  private isZero(type: ScalarType): boolean {
    if (type === 'double') return Object.is(this.json.textAsDouble(), 0); // -0 is a value of its own
    return this.json.high === 0 && this.json.low === 0;
  }

  /** The number read last. */
  private writeNumber(type: ScalarType): void {
    const { json, out } = this;
    if (type === 'double') {
      out.double(json.textAsDouble());
      return;
    }
    let { high, low } = json;
    if (type === 'sint32') {
      // Zigzag: 2n, or 2|n| - 1 below zero.
      out.varint(json.negative && low > 0 ? low * 2 - 1 : low * 2);
      return;
    }
    if (json.negative) {
      low = -low >>> 0;
      high = (~high + (low === 0 ? 1 : 0)) >>> 0;
    }
    if (type === 'fixed32') out.fixed32(low);
    else if (type === 'fixed64' || type === 'sfixed64') out.fixed64(high, low);
    else out.varint64(high, low); // a negative enum takes ten bytes, as a negative int64
  }

  private path(): string {
    let path = '';
    for (let level = 1; level <= this.depth && this.pathNames[level]; level++) {
      path += `${path && '.'}${this.pathNames[level]}`;
      if (this.pathIndexes[level]! >= 0) path += `[${this.pathIndexes[level]}]`;
    }
    return path;
  }
}
