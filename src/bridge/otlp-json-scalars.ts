/** The scalars of OTLP/JSON: how each is read, checked and written as protobuf. */
import type { WireBuffer } from '../protobuf/wire-buffer.ts';
import { FIRST_OF_FALSE, FIRST_OF_TRUE, type JsonReader, QUOTE } from './json-reader.ts';
import type { ScalarType } from './otlp-json-fields.ts';
import type { Field } from './otlp-json-messages.ts';

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

export class OtlpJsonScalars {
  private readonly json: JsonReader;
  private readonly out: WireBuffer;

  constructor(json: JsonReader, out: WireBuffer) {
    this.json = json;
    this.out = out;
  }

  /** Reads a field's value and writes it with its tag; a zero only where the field says so. */
  convert(field: Field, type: ScalarType): void {
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

  /** An element of a packed field, which has no tag. */
  packed(type: ScalarType): void {
    this.number(type);
    this.out.reserve(NUMBER_BYTES);
    this.writeNumber(type);
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
}
