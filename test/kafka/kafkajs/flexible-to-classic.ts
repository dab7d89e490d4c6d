/**
 * Between the two encodings of one structure: kafkajs's (lengths as int16 and int32) and the flexible one (KIP-482), as
 * different from src/kafka/kafkajs/flexible.ts as can be: driven by a table, and its bytes are kafkajs's.
 */
import { createRequire } from 'node:module';

interface KafkajsEncoder {
  readonly buffer: Buffer;
  writeInt32(value: number): KafkajsEncoder;
  writeString(value: string | null): KafkajsEncoder;
  writeEncoder(other: KafkajsEncoder): KafkajsEncoder;
  writeUVarInt(value: number): KafkajsEncoder;
  writeBufferInternal(bytes: Uint8Array): void;
}
interface KafkajsDecoder {
  offset: number;
  readInt32(): number;
  readString(): string | null;
  readUVarInt(): number;
  readInt16(): number;
}
const require = createRequire(import.meta.url);
const Encoder = require('kafkajs/src/protocol/encoder') as new () => KafkajsEncoder;
const Decoder = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => KafkajsDecoder;

/** A number: so many bytes, as they are. `added`: only in the flexible version, with these bytes there. */
export type Field = number | 'string' | { array: readonly Field[] } | { added: Field };

export const OFFSET_FETCH_ANSWER: readonly Field[] = [
  4,
  { array: ['string', { array: [4, 8, { added: 4 }, 'string', 2] }] },
  2,
];
export const TXN_OFFSET_COMMIT_ANSWER: readonly Field[] = [4, { array: ['string', { array: [4, 2] }] }];

/** What the flexible bytes are in the lower version; throws unless they are that to the last byte. */
export function toClassic(flexible: Buffer, fields: readonly Field[]): { classic: Buffer; added: unknown[] } {
  const decoder = new Decoder(flexible);
  const added: unknown[] = [];
  const raw = (bytes: number) => {
    decoder.offset += bytes;
    return flexible.subarray(decoder.offset - bytes, decoder.offset);
  };
  const string = () => {
    const length = decoder.readUVarInt() - 1;
    return length < 0 ? null : raw(length).toString('utf8');
  };
  const tags = () => {
    for (let left = decoder.readUVarInt(); left > 0; left--) {
      decoder.readUVarInt();
      raw(decoder.readUVarInt());
    }
  };
  const structure = (of: readonly Field[]): KafkajsEncoder => {
    const encoder = new Encoder();
    for (const field of of) one(field, encoder);
    tags();
    return encoder;
  };
  const one = (field: Field, encoder: KafkajsEncoder) => {
    if (typeof field === 'number') encoder.writeBufferInternal(raw(field));
    else if (field === 'string') encoder.writeString(string());
    else if ('array' in field) {
      const count = decoder.readUVarInt() - 1;
      encoder.writeInt32(count);
      for (let i = 0; i < count; i++) {
        // An array of one number has no structure around it.
        if (field.array.length === 1) one(field.array[0]!, encoder);
        else encoder.writeEncoder(structure(field.array));
      }
    } else if (field.added === 'string') added.push(string());
    else added.push(raw(field.added as number).toString('hex'));
  };
  tags();
  const classic = structure(fields).buffer;
  if (decoder.offset !== flexible.length) throw new Error(`${flexible.length - decoder.offset} bytes are left over`);
  return { classic, added };
}

/** The other way round; `tagged`: what to end each structure with; `fill`: an added field's bytes, as they are. */
export function toFlexible(
  classic: Buffer,
  fields: readonly Field[],
  tagged: Buffer,
  fill: (field: Field) => Buffer,
): Buffer {
  const decoder = new Decoder(classic);
  const structure = (of: readonly Field[], encoder: KafkajsEncoder) => {
    for (const field of of) {
      if (typeof field === 'number') {
        encoder.writeBufferInternal(classic.subarray(decoder.offset, decoder.offset + field));
        decoder.offset += field;
      } else if (field === 'string') {
        const text = decoder.readString();
        encoder.writeUVarInt(text === null ? 0 : Buffer.byteLength(text) + 1);
        if (text !== null) encoder.writeBufferInternal(Buffer.from(text));
      } else if ('array' in field) {
        const count = decoder.readInt32();
        encoder.writeUVarInt(count + 1);
        for (let i = 0; i < count; i++) structure(field.array, encoder);
      } else encoder.writeBufferInternal(fill(field.added));
    }
    encoder.writeBufferInternal(tagged);
    return encoder;
  };
  const encoder = new Encoder();
  encoder.writeBufferInternal(tagged);
  const flexible = structure(fields, encoder).buffer;
  if (decoder.offset !== classic.length) throw new Error(`${classic.length - decoder.offset} bytes are left over`);
  return flexible;
}
