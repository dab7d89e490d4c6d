/** Metric messages, encoded by protobufjs from the OTLP schema (opentelemetry-proto v1, metrics.proto), independently of the parser under test. */
import protobuf from 'protobufjs';

const { root } = protobuf.parse(`
  syntax = "proto3";
  message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message NumberDataPoint {
    repeated KeyValue attributes = 7;
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    oneof value { double as_double = 4; sfixed64 as_int = 6; }
    uint32 flags = 8;
  }
  message Gauge { repeated NumberDataPoint data_points = 1; }
  message Sum { repeated NumberDataPoint data_points = 1; int32 aggregation_temporality = 2; bool is_monotonic = 3; }
  message Histogram { int32 aggregation_temporality = 2; }
  message Metric {
    string name = 1;
    string description = 2;
    string unit = 3;
    oneof data { Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9; }
  }
`);
const Metric = root.lookupType('Metric');

export interface Point {
  value?: number;
  /** As an integer point. */
  int?: number;
  attributes?: Record<string, string | number>;
  flags?: number;
}

export function metric(
  name: string,
  points: readonly Point[],
  over: { kind?: 'gauge' | 'sum' | 'histogram'; description?: string; unit?: string } = {},
): Uint8Array {
  const { kind = 'gauge', description = '', unit = '1' } = over;
  const dataPoints = points.map(({ value, int, attributes = {}, flags = 0 }) => ({
    ...(int === undefined ? { asDouble: value } : { asInt: int }),
    flags,
    startTimeUnixNano: 1,
    timeUnixNano: 2,
    attributes: Object.entries(attributes).map(([key, said]) => ({
      key,
      value: typeof said === 'string' ? { stringValue: said } : { intValue: said },
    })),
  }));
  return Metric.encode(Metric.fromObject({ name, description, unit, [kind]: { dataPoints } })).finish();
}

export const cpuMetric = (value: number): Uint8Array => metric('process.cpu.utilization', [{ value }]);
