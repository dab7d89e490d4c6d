/**
 * Reads a request into resources, scopes and items. Whether it is one is told by reference-rule.ts, before anything is
 * read. Offsets are into the request; nothing is copied.
 */
import type { Signal } from '../../signals.ts';
import type { KeyKind } from './key-name.ts';
import { type Field, faultOf, fieldsOf, isLen } from './reference-rule.ts';

export interface WalkedResource {
  /** All fields of the ResourceX but the scopes. */
  readonly envelope: readonly Field[];
  readonly envelopeBytes: number;
  readonly attributes: readonly Attribute[];
  readonly scopes: readonly WalkedScope[];
}

export interface WalkedScope {
  /** All fields of the ScopeX but the items. */
  readonly fields: readonly Field[];
  readonly fieldBytes: number;
  readonly items: readonly Item[];
}

export interface Attribute {
  readonly keyValue: Field;
  readonly key: Uint8Array;
  /** What a routing key makes of the value; null counts as missing. */
  readonly keyBytes: Uint8Array | null;
  /** null: of a kind that makes no routing key, or no value at all. */
  readonly kind: KeyKind | null;
}

export interface Item {
  readonly frame: Field;
  /** 16 bytes, not all zero, else null. */
  readonly traceId: Uint8Array | null;
  /** Spans, log records: in order. Metrics: none; those of data points are not the item's. */
  readonly attributes: readonly Attribute[];
  /** Metrics: null when empty or missing. */
  readonly metricName: Uint8Array | null;
  /** Traces: status ERROR. Logs: severity >= 17. */
  readonly failed: boolean;
  /** Traces: kind SERVER or CONSUMER. */
  readonly isRequest: boolean;
  readonly latencyNs: bigint;
}

export interface WalkedRequest {
  /** All fields of the request but the resources. */
  readonly fields: readonly Field[];
  readonly fieldBytes: number;
  readonly resources: readonly WalkedResource[];
}

/** null: malformed. */
export function walkRequest(bytes: Uint8Array, signal: Signal): WalkedRequest | null {
  if (faultOf(bytes, signal)) return null;
  const fields = fieldsOf(bytes, 0, bytes.length);
  const own = fields.filter((field) => !isLen(field, 1));
  return {
    fields: own,
    fieldBytes: bytesOf(own),
    resources: fields.filter((field) => isLen(field, 1)).map((field) => walkResource(bytes, field, signal)),
  };
}

/** ResourceX {1: Resource, 2: ScopeX, 3: schema_url} */
function walkResource(bytes: Uint8Array, resource: Field, signal: Signal): WalkedResource {
  const fields = fieldsWithin(bytes, resource);
  const envelope = fields.filter((field) => !isLen(field, 2));
  return {
    envelope,
    envelopeBytes: bytesOf(envelope),
    // A Resource that occurs several times is merged by protobuf: its attributes add up in order.
    attributes: envelope
      .filter((field) => isLen(field, 1))
      .flatMap((field) => attributesOf(bytes, fieldsWithin(bytes, field), 1)),
    scopes: fields.filter((field) => isLen(field, 2)).map((field) => walkScope(bytes, field, signal)),
  };
}

/** ScopeX {1: InstrumentationScope, 2: item, 3: schema_url} */
function walkScope(bytes: Uint8Array, scope: Field, signal: Signal): WalkedScope {
  const fields = fieldsWithin(bytes, scope);
  const own = fields.filter((field) => !isLen(field, 2));
  return {
    fields: own,
    fieldBytes: bytesOf(own),
    items: fields.filter((field) => isLen(field, 2)).map((field) => READ_ITEM[signal](bytes, field)),
  };
}

const KIND_SERVER = 2;
const KIND_CONSUMER = 5;
const STATUS_ERROR = 2;
const SEVERITY_ERROR = 17;

const READ_ITEM: Readonly<Record<Signal, (bytes: Uint8Array, frame: Field) => Item>> = {
  /** Span {1: trace_id, 6: kind, 7: start_time_unix_nano fixed64, 8: end_time_unix_nano fixed64, 9: attributes, 15: Status {3: code}} */
  traces(bytes, frame) {
    const fields = fieldsWithin(bytes, frame);
    const kind = enumOf(bytes, last(fields, 6, 0));
    const startUnixNano = fixed64Of(bytes, last(fields, 7, 1));
    const endUnixNano = fixed64Of(bytes, last(fields, 8, 1));
    // Several Status are merged: the last code in any of them counts.
    const status = fields.filter((field) => isLen(field, 15)).flatMap((field) => fieldsWithin(bytes, field));
    return {
      frame,
      traceId: traceIdOf(bytes, last(fields, 1, 2)),
      attributes: attributesOf(bytes, fields, 9),
      metricName: null,
      failed: enumOf(bytes, last(status, 3, 0)) === STATUS_ERROR,
      isRequest: kind === KIND_SERVER || kind === KIND_CONSUMER,
      latencyNs: endUnixNano > startUnixNano ? endUnixNano - startUnixNano : 0n,
    };
  },
  /** Metric {1: name} */
  metrics(bytes, frame) {
    const name = last(fieldsWithin(bytes, frame), 1, 2);
    return {
      frame,
      traceId: null,
      attributes: [],
      metricName: name && name.end > name.content ? contentOf(bytes, name) : null,
      failed: false,
      isRequest: false,
      latencyNs: 0n,
    };
  },
  /** LogRecord {2: severity_number, 6: attributes, 9: trace_id} */
  logs(bytes, frame) {
    const fields = fieldsWithin(bytes, frame);
    return {
      frame,
      traceId: traceIdOf(bytes, last(fields, 9, 2)),
      attributes: attributesOf(bytes, fields, 6),
      metricName: null,
      failed: enumOf(bytes, last(fields, 2, 0)) >= SEVERITY_ERROR,
      isRequest: false,
      latencyNs: 0n,
    };
  },
};

function attributesOf(bytes: Uint8Array, fields: readonly Field[], number: number): Attribute[] {
  return fields.filter((field) => isLen(field, number)).map((field) => readAttribute(bytes, field));
}

/**
 * KeyValue {1: key, 2: AnyValue}
 * AnyValue {1: string, 2: bool, 3: int64, 4: double, 5: ArrayValue, 6: KeyValueList, 7: bytes}, a oneof: the last one counts.
 */
function readAttribute(bytes: Uint8Array, keyValue: Field): Attribute {
  const fields = fieldsWithin(bytes, keyValue);
  const key = last(fields, 1, 2);
  const values = fields.filter((field) => isLen(field, 2)).map((field) => fieldsWithin(bytes, field));
  const value = values.at(-1)?.findLast((field) => ANY_VALUE_WIRE_TYPES[field.number] === field.wireType);
  return {
    keyValue,
    key: key ? contentOf(bytes, key) : new Uint8Array(0),
    keyBytes: value ? keyBytesOf(bytes, value) : null,
    kind: value ? (KIND_OF_FIELD[value.number] ?? null) : null,
  };
}

const KIND_OF_FIELD: Readonly<Record<number, KeyKind>> = { 1: 'string', 2: 'bool', 3: 'int', 4: 'double' };

const ANY_VALUE_WIRE_TYPES: Readonly<Record<number, number>> = { 1: 2, 2: 0, 3: 0, 4: 1, 5: 2, 6: 2, 7: 2 };

function keyBytesOf(bytes: Uint8Array, value: Field): Uint8Array | null {
  switch (value.number) {
    case 1:
      return value.end > value.content ? contentOf(bytes, value) : null;
    case 2:
      return Uint8Array.of(varintOf(bytes, value) === 0n ? 0 : 1);
    case 3: {
      const key = new Uint8Array(8);
      new DataView(key.buffer).setBigUint64(0, varintOf(bytes, value), true);
      return key;
    }
    case 4:
      return contentOf(bytes, value);
    default:
      return null;
  }
}

function traceIdOf(bytes: Uint8Array, field: Field | undefined): Uint8Array | null {
  if (!field || field.end - field.content !== 16) return null;
  const traceId = contentOf(bytes, field);
  return traceId.some((byte) => byte !== 0) ? traceId : null;
}

export function contentOf(bytes: Uint8Array, field: Field): Uint8Array {
  return bytes.subarray(field.content, field.end);
}

export function frameOf(bytes: Uint8Array, field: Field): Uint8Array {
  return bytes.subarray(field.start, field.end);
}

function bytesOf(fields: readonly Field[]): number {
  return fields.reduce((sum, field) => sum + field.end - field.start, 0);
}

/** A field with another wire type than the schema's is an unknown one, as to every protobuf decoder. */
function last(fields: readonly Field[], number: number, wireType: number): Field | undefined {
  return fields.findLast((field) => field.number === number && field.wireType === wireType);
}

function fixed64Of(bytes: Uint8Array, field: Field | undefined): bigint {
  return field ? new DataView(bytes.buffer, bytes.byteOffset + field.content, 8).getBigUint64(0, true) : 0n;
}

/** An enum is an int32: the low 32 bits, signed. */
function enumOf(bytes: Uint8Array, field: Field | undefined): number {
  return field ? Number(BigInt.asIntN(32, varintOf(bytes, field))) : 0;
}

/** Modulo 2^64, as a uint64 is. */
function varintOf(bytes: Uint8Array, field: Field): bigint {
  let value = 0n;
  for (let at = field.end - 1; at >= field.content; at--) value = (value << 7n) | BigInt(bytes[at]! & 0x7f);
  return BigInt.asUintN(64, value);
}

function fieldsWithin(bytes: Uint8Array, parent: Field): Field[] {
  return fieldsOf(bytes, parent.content, parent.end);
}
