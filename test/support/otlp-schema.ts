/**
 * OTLP as an independent decoder (protobufjs) reads it, to hold the kernels' outputs against their inputs. Field numbers
 * from opentelemetry-proto v1.7.
 */
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

/** The levels that the three signals share are named alike here: resources, scopes, items. */
const SCHEMA = `
syntax = "proto3";

message TracesRequest { repeated ResourceSpans resources = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scopes = 2; string schema_url = 3; }
message ScopeSpans { Scope scope = 1; repeated Span items = 2; string schema_url = 3; }
message MetricsRequest { repeated ResourceMetrics resources = 1; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scopes = 2; string schema_url = 3; }
message ScopeMetrics { Scope scope = 1; repeated Metric items = 2; string schema_url = 3; }
message LogsRequest { repeated ResourceLogs resources = 1; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scopes = 2; string schema_url = 3; }
message ScopeLogs { Scope scope = 1; repeated LogRecord items = 2; string schema_url = 3; }

message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
message Scope { string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue {
  oneof value {
    string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4;
    ArrayValue array_value = 5; KeyValueList kvlist_value = 6; bytes bytes_value = 7;
  }
}
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }

message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5;
  int32 kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
  repeated KeyValue attributes = 9; uint32 dropped_attributes_count = 10;
  repeated Event events = 11; uint32 dropped_events_count = 12;
  repeated Link links = 13; uint32 dropped_links_count = 14; Status status = 15; fixed32 flags = 16;
  message Event {
    fixed64 time_unix_nano = 1; string name = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4;
  }
  message Link {
    bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; repeated KeyValue attributes = 4;
    uint32 dropped_attributes_count = 5; fixed32 flags = 6;
  }
  message Status { string message = 2; int32 code = 3; }
}

message LogRecord {
  fixed64 time_unix_nano = 1; int32 severity_number = 2; string severity_text = 3; AnyValue body = 5;
  repeated KeyValue attributes = 6; uint32 dropped_attributes_count = 7; fixed32 flags = 8;
  bytes trace_id = 9; bytes span_id = 10; fixed64 observed_time_unix_nano = 11; string event_name = 12;
}

message Metric {
  string name = 1; string description = 2; string unit = 3;
  Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9; ExponentialHistogram exponential_histogram = 10;
  Summary summary = 11; repeated KeyValue metadata = 12;
}
message Gauge { repeated NumberDataPoint data_points = 1; }
message Sum { repeated NumberDataPoint data_points = 1; int32 aggregation_temporality = 2; bool is_monotonic = 3; }
message Histogram { repeated HistogramDataPoint data_points = 1; int32 aggregation_temporality = 2; }
message ExponentialHistogram { repeated ExponentialHistogramDataPoint data_points = 1; int32 aggregation_temporality = 2; }
message Summary { repeated SummaryDataPoint data_points = 1; }
message NumberDataPoint {
  fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; double as_double = 4; repeated Exemplar exemplars = 5;
  sfixed64 as_int = 6; repeated KeyValue attributes = 7; uint32 flags = 8;
}
message HistogramDataPoint {
  fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4; double sum = 5;
  repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7; repeated Exemplar exemplars = 8;
  repeated KeyValue attributes = 9; uint32 flags = 10; double min = 11; double max = 12;
}
message ExponentialHistogramDataPoint {
  repeated KeyValue attributes = 1; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;
  double sum = 5; sint32 scale = 6; fixed64 zero_count = 7; Buckets positive = 8; Buckets negative = 9;
  uint32 flags = 10; repeated Exemplar exemplars = 11; double min = 12; double max = 13; double zero_threshold = 14;
  message Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; }
}
message SummaryDataPoint {
  fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4; double sum = 5;
  repeated ValueAtQuantile quantile_values = 6; repeated KeyValue attributes = 7; uint32 flags = 8;
  message ValueAtQuantile { double quantile = 1; double value = 2; }
}
message Exemplar {
  fixed64 time_unix_nano = 2; double as_double = 3; bytes span_id = 4; bytes trace_id = 5; sfixed64 as_int = 6;
  repeated KeyValue filtered_attributes = 7;
}
`;

const root = protobuf.parse(SCHEMA, { keepCase: false }).root;
const TYPES: Readonly<Record<Signal, protobuf.Type>> = {
  traces: root.lookupType('TracesRequest'),
  metrics: root.lookupType('MetricsRequest'),
  logs: root.lookupType('LogsRequest'),
};
