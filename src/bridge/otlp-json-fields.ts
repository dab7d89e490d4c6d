/**
 * The messages of OTLP and their fields, as opentelemetry-proto 1.x defines them. A row is
 * [name in OTLP/JSON, field number, type, rule]; the type is a scalar type or the name of another message.
 *
 * Rules:
 * - none: a single field; a zero is not written
 * - `optional`: a single field; a zero is written too
 * - `oneof`: as `optional`, and only one of the message's `oneof` fields may be given (no message of OTLP has two oneofs)
 * - `repeated`
 * - `packed`: repeated numbers behind one tag
 */
export type ScalarType =
  /** UTF-8. */
  | 'string'
  /** base64 in JSON. */
  | 'bytes'
  /** 16 or 8 bytes; hex in JSON, which is where OTLP departs from protobuf's own JSON mapping. */
  | 'trace_id'
  | 'span_id'
  | 'bool'
  | 'double'
  /** An integer in JSON; OTLP allows no names. */
  | 'enum'
  | 'uint32'
  | 'sint32'
  | 'fixed32'
  | 'int64'
  | 'uint64'
  | 'fixed64'
  | 'sfixed64';

type Rule = 'optional' | 'oneof' | 'repeated' | 'packed';
export type Row = readonly [name: string, number: number, type: ScalarType | MessageName, rule?: Rule];

export type MessageName =
  | 'TraceRequest'
  | 'MetricsRequest'
  | 'LogsRequest'
  | 'Resource'
  | 'EntityRef'
  | 'Scope'
  | 'KeyValue'
  | 'AnyValue'
  | 'ArrayValue'
  | 'KeyValueList'
  | 'ResourceSpans'
  | 'ScopeSpans'
  | 'Span'
  | 'Event'
  | 'Link'
  | 'Status'
  | 'ResourceMetrics'
  | 'ScopeMetrics'
  | 'Metric'
  | 'Gauge'
  | 'Sum'
  | 'Histogram'
  | 'ExponentialHistogram'
  | 'Summary'
  | 'NumberDataPoint'
  | 'HistogramDataPoint'
  | 'ExponentialHistogramDataPoint'
  | 'Buckets'
  | 'SummaryDataPoint'
  | 'ValueAtQuantile'
  | 'Exemplar'
  | 'ResourceLogs'
  | 'ScopeLogs'
  | 'LogRecord';

export const MESSAGES: Readonly<Record<MessageName, readonly Row[]>> = {
  // opentelemetry/proto/collector/*/v1
  TraceRequest: [['resourceSpans', 1, 'ResourceSpans', 'repeated']],
  MetricsRequest: [['resourceMetrics', 1, 'ResourceMetrics', 'repeated']],
  LogsRequest: [['resourceLogs', 1, 'ResourceLogs', 'repeated']],

  // opentelemetry/proto/resource/v1, common/v1 (the *_strindex fields are for profiles only)
  Resource: [
    ['attributes', 1, 'KeyValue', 'repeated'],
    ['droppedAttributesCount', 2, 'uint32'],
    ['entityRefs', 3, 'EntityRef', 'repeated'],
  ],
  EntityRef: [
    ['schemaUrl', 1, 'string'],
    ['type', 2, 'string'],
    ['idKeys', 3, 'string', 'repeated'],
    ['descriptionKeys', 4, 'string', 'repeated'],
  ],
  Scope: [
    ['name', 1, 'string'],
    ['version', 2, 'string'],
    ['attributes', 3, 'KeyValue', 'repeated'],
    ['droppedAttributesCount', 4, 'uint32'],
  ],
  KeyValue: [
    ['key', 1, 'string'],
    ['value', 2, 'AnyValue'],
  ],
  AnyValue: [
    ['stringValue', 1, 'string', 'oneof'],
    ['boolValue', 2, 'bool', 'oneof'],
    ['intValue', 3, 'int64', 'oneof'],
    ['doubleValue', 4, 'double', 'oneof'],
    ['arrayValue', 5, 'ArrayValue', 'oneof'],
    ['kvlistValue', 6, 'KeyValueList', 'oneof'],
    ['bytesValue', 7, 'bytes', 'oneof'],
  ],
  ArrayValue: [['values', 1, 'AnyValue', 'repeated']],
  KeyValueList: [['values', 1, 'KeyValue', 'repeated']],

  // opentelemetry/proto/trace/v1
  ResourceSpans: [
    ['resource', 1, 'Resource'],
    ['scopeSpans', 2, 'ScopeSpans', 'repeated'],
    ['schemaUrl', 3, 'string'],
  ],
  ScopeSpans: [
    ['scope', 1, 'Scope'],
    ['spans', 2, 'Span', 'repeated'],
    ['schemaUrl', 3, 'string'],
  ],
  Span: [
    ['traceId', 1, 'trace_id'],
    ['spanId', 2, 'span_id'],
    ['traceState', 3, 'string'],
    ['parentSpanId', 4, 'span_id'],
    ['name', 5, 'string'],
    ['kind', 6, 'enum'],
    ['startTimeUnixNano', 7, 'fixed64'],
    ['endTimeUnixNano', 8, 'fixed64'],
    ['attributes', 9, 'KeyValue', 'repeated'],
    ['droppedAttributesCount', 10, 'uint32'],
    ['events', 11, 'Event', 'repeated'],
    ['droppedEventsCount', 12, 'uint32'],
    ['links', 13, 'Link', 'repeated'],
    ['droppedLinksCount', 14, 'uint32'],
    ['status', 15, 'Status'],
    ['flags', 16, 'fixed32'],
  ],
  Event: [
    ['timeUnixNano', 1, 'fixed64'],
    ['name', 2, 'string'],
    ['attributes', 3, 'KeyValue', 'repeated'],
    ['droppedAttributesCount', 4, 'uint32'],
  ],
  Link: [
    ['traceId', 1, 'trace_id'],
    ['spanId', 2, 'span_id'],
    ['traceState', 3, 'string'],
    ['attributes', 4, 'KeyValue', 'repeated'],
    ['droppedAttributesCount', 5, 'uint32'],
    ['flags', 6, 'fixed32'],
  ],
  Status: [
    ['message', 2, 'string'],
    ['code', 3, 'enum'],
  ],

  // opentelemetry/proto/metrics/v1
  ResourceMetrics: [
    ['resource', 1, 'Resource'],
    ['scopeMetrics', 2, 'ScopeMetrics', 'repeated'],
    ['schemaUrl', 3, 'string'],
  ],
  ScopeMetrics: [
    ['scope', 1, 'Scope'],
    ['metrics', 2, 'Metric', 'repeated'],
    ['schemaUrl', 3, 'string'],
  ],
  Metric: [
    ['name', 1, 'string'],
    ['description', 2, 'string'],
    ['unit', 3, 'string'],
    ['gauge', 5, 'Gauge', 'oneof'],
    ['sum', 7, 'Sum', 'oneof'],
    ['histogram', 9, 'Histogram', 'oneof'],
    ['exponentialHistogram', 10, 'ExponentialHistogram', 'oneof'],
    ['summary', 11, 'Summary', 'oneof'],
    ['metadata', 12, 'KeyValue', 'repeated'],
  ],
  Gauge: [['dataPoints', 1, 'NumberDataPoint', 'repeated']],
  Sum: [
    ['dataPoints', 1, 'NumberDataPoint', 'repeated'],
    ['aggregationTemporality', 2, 'enum'],
    ['isMonotonic', 3, 'bool'],
  ],
  Histogram: [
    ['dataPoints', 1, 'HistogramDataPoint', 'repeated'],
    ['aggregationTemporality', 2, 'enum'],
  ],
  ExponentialHistogram: [
    ['dataPoints', 1, 'ExponentialHistogramDataPoint', 'repeated'],
    ['aggregationTemporality', 2, 'enum'],
  ],
  Summary: [['dataPoints', 1, 'SummaryDataPoint', 'repeated']],
  NumberDataPoint: [
    ['startTimeUnixNano', 2, 'fixed64'],
    ['timeUnixNano', 3, 'fixed64'],
    ['asDouble', 4, 'double', 'oneof'],
    ['exemplars', 5, 'Exemplar', 'repeated'],
    ['asInt', 6, 'sfixed64', 'oneof'],
    ['attributes', 7, 'KeyValue', 'repeated'],
    ['flags', 8, 'uint32'],
  ],
  HistogramDataPoint: [
    ['startTimeUnixNano', 2, 'fixed64'],
    ['timeUnixNano', 3, 'fixed64'],
    ['count', 4, 'fixed64'],
    ['sum', 5, 'double', 'optional'],
    ['bucketCounts', 6, 'fixed64', 'packed'],
    ['explicitBounds', 7, 'double', 'packed'],
    ['exemplars', 8, 'Exemplar', 'repeated'],
    ['attributes', 9, 'KeyValue', 'repeated'],
    ['flags', 10, 'uint32'],
    ['min', 11, 'double', 'optional'],
    ['max', 12, 'double', 'optional'],
  ],
  ExponentialHistogramDataPoint: [
    ['attributes', 1, 'KeyValue', 'repeated'],
    ['startTimeUnixNano', 2, 'fixed64'],
    ['timeUnixNano', 3, 'fixed64'],
    ['count', 4, 'fixed64'],
    ['sum', 5, 'double', 'optional'],
    ['scale', 6, 'sint32'],
    ['zeroCount', 7, 'fixed64'],
    ['positive', 8, 'Buckets'],
    ['negative', 9, 'Buckets'],
    ['flags', 10, 'uint32'],
    ['exemplars', 11, 'Exemplar', 'repeated'],
    ['min', 12, 'double', 'optional'],
    ['max', 13, 'double', 'optional'],
    ['zeroThreshold', 14, 'double'],
  ],
  Buckets: [
    ['offset', 1, 'sint32'],
    ['bucketCounts', 2, 'uint64', 'packed'],
  ],
  SummaryDataPoint: [
    ['startTimeUnixNano', 2, 'fixed64'],
    ['timeUnixNano', 3, 'fixed64'],
    ['count', 4, 'fixed64'],
    ['sum', 5, 'double'],
    ['quantileValues', 6, 'ValueAtQuantile', 'repeated'],
    ['attributes', 7, 'KeyValue', 'repeated'],
    ['flags', 8, 'uint32'],
  ],
  ValueAtQuantile: [
    ['quantile', 1, 'double'],
    ['value', 2, 'double'],
  ],
  Exemplar: [
    ['timeUnixNano', 2, 'fixed64'],
    ['asDouble', 3, 'double', 'oneof'],
    ['spanId', 4, 'span_id'],
    ['traceId', 5, 'trace_id'],
    ['asInt', 6, 'sfixed64', 'oneof'],
    ['filteredAttributes', 7, 'KeyValue', 'repeated'],
  ],

  // opentelemetry/proto/logs/v1
  ResourceLogs: [
    ['resource', 1, 'Resource'],
    ['scopeLogs', 2, 'ScopeLogs', 'repeated'],
    ['schemaUrl', 3, 'string'],
  ],
  ScopeLogs: [
    ['scope', 1, 'Scope'],
    ['logRecords', 2, 'LogRecord', 'repeated'],
    ['schemaUrl', 3, 'string'],
  ],
  LogRecord: [
    ['timeUnixNano', 1, 'fixed64'],
    ['severityNumber', 2, 'enum'],
    ['severityText', 3, 'string'],
    ['body', 5, 'AnyValue'],
    ['attributes', 6, 'KeyValue', 'repeated'],
    ['droppedAttributesCount', 7, 'uint32'],
    ['flags', 8, 'fixed32'],
    ['traceId', 9, 'trace_id'],
    ['spanId', 10, 'span_id'],
    ['observedTimeUnixNano', 11, 'fixed64'],
    ['eventName', 12, 'string'],
  ],
};
