/**
 * OTLP as an independent decoder (protobufjs) reads it, to hold the kernels' outputs against their inputs.
 */
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import type { Signal } from '../../src/signals.ts';

/** One item with all that stands around it, each as canonical JSON. */
export interface DecodedItem {
  /** Of a span or log record, in hex; '' without one. */
  readonly traceId: string;
  readonly spanId: string;
  readonly metricName: string;
  /** ResourceX without its scopes. */
  readonly resource: string;
  /** ScopeX without its items. */
  readonly scope: string;
  readonly item: string;
}

/** The items of a request in order. Throws where the decoder does. */
export function decodeItems(signal: Signal, request: Uint8Array): DecodedItem[] {
  const type = TYPES[signal];
  const decoded = type.toObject(type.decode(new NotingReader(request)), { longs: String, bytes: String }) as Level;
  return (decoded.resources ?? []).flatMap(({ scopes, ...resource }) => {
    const resourceText = JSON.stringify(resource);
    return (scopes ?? []).flatMap(({ items, ...scope }) => {
      const scopeText = JSON.stringify(scope);
      return (items ?? []).map((item) => ({
        traceId: hexOf(item.traceId),
        spanId: hexOf(item.spanId),
        metricName: signal === 'metrics' ? (item.name ?? '') : '',
        resource: resourceText,
        scope: scopeText,
        item: JSON.stringify(item),
      }));
    });
  });
}

const hexOf = (base64 = '') => Buffer.from(base64, 'base64').toString('hex');

/**
 * What the decoder says of a request, and which of the documented exceptions ("What a record must be" in ARCHITECTURE.md)
 * it met on the way.
 */
export interface Verdict {
  readonly decodes: boolean;
  /** An unknown group, or an unknown varint of more than 10 bytes: the decoder passes over it, Weir refuses it. */
  readonly passedOver: boolean;
}

export function verdictOf(signal: Signal, request: Uint8Array): Verdict {
  const reader = new NotingReader(request);
  try {
    TYPES[signal].decode(reader);
    return { decodes: true, passedOver: reader.passedOver };
  } catch {
    return { decodes: false, passedOver: reader.passedOver };
  }
}

/** Reads as protobufjs does, but takes strings that are not UTF-8: Weir does not look into strings. */
class NotingReader extends protobuf.Reader {
  passedOver = false;

  override skipType(wireType: number, depth?: number, fieldNumber?: number): protobuf.Reader {
    if (wireType === 3) this.passedOver = true;
    return super.skipType(wireType, depth, fieldNumber);
  }

  override skip(length?: number): protobuf.Reader {
    const from = this.pos;
    super.skip(length);
    if (length === undefined && this.pos - from > 10) this.passedOver = true;
    return this;
  }

  /** What the schema's proto3 strings are read with. */
  override stringVerify(): string {
    return this.string();
  }
}

/** Sorted, so that two multisets of items are equal when these are. */
export function asMultiset(items: readonly DecodedItem[]): string[] {
  return items.map(({ resource, scope, item }) => `${resource}\n${scope}\n${item}`).sort();
}

/** Where two multisets differ, in one line each; null where they are equal. */
export function differenceOf(actual: readonly string[], expected: readonly string[]): string | null {
  const at = expected.findIndex((item, index) => item !== actual[index]);
  if (at < 0 && actual.length === expected.length) return null;
  return `${actual.length} items, not ${expected.length}; got ${actual[at] ?? 'none'}, not ${expected[at] ?? 'any more'}`;
}

interface Level {
  resources?: Array<{
    scopes?: Array<{ items?: Array<{ traceId?: string; spanId?: string; name?: string }> }>;
  }>;
}

const { root } = protobuf.parse(readFileSync(new URL('../../proto/otlp.proto', import.meta.url), 'utf8'));
/** The kernels do not look into these, and pass them on as they are. */
const resource = root.lookupType('Resource');
resource.remove(resource.fields.entityRefs as protobuf.Field);

const TYPES: Readonly<Record<Signal, protobuf.Type>> = {
  traces: root.lookupType('TracesRequest'),
  metrics: root.lookupType('MetricsRequest'),
  logs: root.lookupType('LogsRequest'),
};
