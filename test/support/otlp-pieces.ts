/** Requests put together by hand, field by field, for the cases that no SDK sends. */
import { type AttributeValue, attribute } from '../../src/loadgen/corpus-vocabulary.ts';
import { ProtobufWriter } from '../../src/protobuf/writer.ts';

/** The fields that `write` writes. */
export function fields(write: (writer: ProtobufWriter) => void): Uint8Array {
  const writer = new ProtobufWriter(1_024);
  write(writer);
  return writer.finish();
}

/** LEN field `number` of the given contents, one after the other. */
export function len(number: number, ...contents: Uint8Array[]): Uint8Array {
  return fields((writer) => writer.bytes(number, Buffer.concat(contents)));
}

export const text = (number: number, value: string) => fields((writer) => writer.string(number, value));
export const varint = (number: number, value: number | bigint) => fields((writer) => writer.varint(number, value));
export const fixed64 = (number: number, value: bigint) => fields((writer) => writer.fixed64(number, value));
export const fixed32 = (number: number, value: number) => fields((writer) => writer.fixed32(number, value));
export const double = (number: number, value: number) => fields((writer) => writer.double(number, value));
export const hex = (digits: string) => Uint8Array.from(Buffer.from(digits.replaceAll(' ', ''), 'hex'));
export const concat = (...pieces: Uint8Array[]) => Uint8Array.from(Buffer.concat(pieces));

/** Field 1 of a Resource. */
export const keyValue = (key: string, value: AttributeValue) => fields((writer) => attribute(writer, 1, key, value));

/** Field 1 of a ResourceX: the attributes as fields of a Resource. */
export const resource = (attributes: Readonly<Record<string, AttributeValue>>) =>
  len(1, ...Object.entries(attributes).map(([key, value]) => keyValue(key, value)));

/** Field 2 of a ScopeX: a span (or metric, or log record) of these fields. */
export const item = (...content: Uint8Array[]) => len(2, ...content);
/** Field 2 of a ResourceX. */
export const scope = (...content: Uint8Array[]) => len(2, ...content);
/** Field 1 of a request. */
export const resourceX = (...content: Uint8Array[]) => len(1, ...content);

/** Bytes of a trace id: 16 times `byte` unless a length is told. */
export const traceId = (byte: number, length = 16) => new Uint8Array(length).fill(byte);

/** A span that says who it is: trace id and span id of repeated bytes, and what else is told. */
export const span = (trace: number, id: number, ...more: Uint8Array[]) =>
  item(len(1, traceId(trace)), len(2, new Uint8Array(8).fill(id)), text(5, `span ${id}`), ...more);
