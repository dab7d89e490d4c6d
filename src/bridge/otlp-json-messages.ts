/** The tables of `otlp-json-fields.ts`, compiled into what the converter needs for each field. */
import type { Signal } from '../signals.ts';
import { MESSAGES, type MessageName, type ScalarType } from './otlp-json-fields.ts';

export interface Field {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  /** Its place among the fields of its message. */
  readonly index: number;
  /** Field number and wire type, as one varint. */
  readonly tag: number;
  /** null: the field is a message. */
  readonly scalar: ScalarType | null;
  readonly message: Message | null;
  readonly repeated: boolean;
  readonly packed: boolean;
  /** A zero is written too. */
  readonly explicit: boolean;
  /** Bit of this field in the set of fields that an object has given; the fields of a oneof share one. */
  readonly bit: number;
}

export interface Message {
  readonly fields: Field[];
  /** Bytes that the length of the last message of this type took: the converter's guess for the next. */
  lengthBytes: number;
}

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;
const WIRE_TYPES: Readonly<Record<ScalarType, number>> = {
  string: DELIMITED,
  bytes: DELIMITED,
  trace_id: DELIMITED,
  span_id: DELIMITED,
  bool: VARINT,
  double: FIXED64,
  enum: VARINT,
  uint32: VARINT,
  sint32: VARINT,
  fixed32: FIXED32,
  int64: VARINT,
  uint64: VARINT,
  fixed64: FIXED64,
  sfixed64: FIXED64,
};

const isScalar = (type: string): type is ScalarType => type in WIRE_TYPES;

const messages = new Map<MessageName, Message>();

function messageOf(name: MessageName): Message {
  const known = messages.get(name);
  if (known) return known;
  const message: Message = { fields: [], lengthBytes: 1 };
  messages.set(name, message); // before its fields: AnyValue holds itself
  const rows = MESSAGES[name];
  const oneofBit = 1 << rows.length;
  for (const [index, [field, number, type, rule]] of rows.entries()) {
    const wireType = isScalar(type) && rule !== 'packed' ? WIRE_TYPES[type] : DELIMITED;
    message.fields.push({
      name: field,
      nameBytes: Buffer.from(field, 'latin1'),
      index,
      tag: (number << 3) | wireType,
      scalar: isScalar(type) ? type : null,
      message: isScalar(type) ? null : messageOf(type),
      repeated: rule === 'repeated' || rule === 'packed',
      packed: rule === 'packed',
      explicit: rule === 'optional' || rule === 'oneof' || rule === 'repeated',
      bit: rule === 'oneof' ? oneofBit : 1 << index,
    });
  }
  return message;
}

/** The request of each signal. */
export const REQUESTS: Readonly<Record<Signal, Message>> = {
  traces: messageOf('TraceRequest'),
  metrics: messageOf('MetricsRequest'),
  logs: messageOf('LogsRequest'),
};
