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
import { FIRST_OF_NULL, JsonReader, Malformed, sameBytes } from './json-reader.ts';
import type { ScalarType } from './otlp-json-fields.ts';
import { type Field, type Message, REQUESTS } from './otlp-json-messages.ts';
import { OtlpJsonScalars } from './otlp-json-scalars.ts';

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
/** The buffer of a conversion is kept for the next one, unless it has grown beyond this. */
const KEPT_BYTES = 4 * 1024 * 1024;
let kept: Buffer = Buffer.alloc(0);

class Conversion {
  private readonly json: JsonReader;
  private readonly out: WireBuffer;
  private readonly scalars: OtlpJsonScalars;
  private depth = 0;
  /** Where the reader stands, by depth: the key, and the index within a repeated field, else -1. */
  private readonly pathNames: string[] = [];
  private readonly pathIndexes: number[] = [];

  constructor(json: Buffer, maxBytes: number) {
    this.json = new JsonReader(json, () => this.path());
    this.out = new WireBuffer(kept, maxBytes);
    this.scalars = new OtlpJsonScalars(this.json, this.out);
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
    this.elements(() => this.scalars.packed(type));
    if (out.length === start + 1) out.length = start - varintBytes(field.tag);
    else out.close(start, 1);
  }

  private single(field: Field): void {
    const { message, scalar } = field;
    if (message === null) {
      this.scalars.convert(field, scalar!);
      return;
    }
    const room = message.lengthBytes;
    const start = this.out.open(field.tag, room);
    this.fields(message);
    message.lengthBytes = this.out.close(start, room);
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
