/** The shop's instrumentation: the official OpenTelemetry SDK and exporters, one resource for each service instance. */
import type { Attributes, Logger, Meter, Tracer } from '@opentelemetry/api';
import { OTLPLogExporter as GrpcLogs } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtobufLogs } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as GrpcMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtobufMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Protocol } from './shop.ts';

export interface Endpoints {
  /** Such as `http://127.0.0.1:4317`. */
  readonly grpc: string;
  readonly http: string;
}

export interface InstanceTelemetry {
  readonly tracer: Tracer;
  readonly logger: Logger;
  readonly meter: Meter;
}

/** All instances of one protocol share its span and log pipeline, as one export queue; metrics are read per instance. */
export interface ProtocolTelemetry {
  instance(attributes: Attributes): InstanceTelemetry;
  /** Sends what is queued. */
  close(): Promise<void>;
}

const EXPORT_DELAY_MS = 500;
const METRIC_INTERVAL_MS = 2_000;

export function openTelemetry(protocol: Protocol, { grpc, http }: Endpoints): ProtocolTelemetry {
  const exporters = {
    grpc: () => ({
      traces: new GrpcTraces({ url: grpc }),
      logs: new GrpcLogs({ url: grpc }),
      metrics: new GrpcMetrics({ url: grpc }),
    }),
    'http-protobuf': () => ({
      traces: new ProtobufTraces({ url: `${http}/v1/traces` }),
      logs: new ProtobufLogs({ url: `${http}/v1/logs` }),
      metrics: new ProtobufMetrics({ url: `${http}/v1/metrics` }),
    }),
    'http-json': () => ({
      traces: new JsonTraces({ url: `${http}/v1/traces` }),
      logs: new JsonLogs({ url: `${http}/v1/logs` }),
      metrics: new JsonMetrics({ url: `${http}/v1/metrics` }),
    }),
  }[protocol]();
  const batch = { maxQueueSize: 8_192, maxExportBatchSize: 512, scheduledDelayMillis: EXPORT_DELAY_MS };
  const spans = new BatchSpanProcessor({ exporter: exporters.traces, ...batch });
  const logs = new BatchLogRecordProcessor({ exporter: exporters.logs, ...batch });
  const meters: MeterProvider[] = [];

  return {
    instance(attributes) {
      const resource = resourceFromAttributes(attributes);
      const reader = new PeriodicExportingMetricReader({
        exporter: exporters.metrics,
        exportIntervalMillis: METRIC_INTERVAL_MS,
        exportTimeoutMillis: METRIC_INTERVAL_MS,
      });
      const meterProvider = new MeterProvider({ resource, readers: [reader] });
      meters.push(meterProvider);
      return {
        tracer: new TracerProvider({ resource, spanProcessors: [spans] }).getTracer('shop', '1.0.0'),
        logger: new LoggerProvider({ resource, processors: [logs] }).getLogger('shop', '1.0.0'),
        meter: meterProvider.getMeter('shop', '1.0.0'),
      };
    },
    async close() {
      await Promise.all([spans.shutdown(), logs.shutdown(), ...meters.map((meter) => meter.shutdown())]);
    },
  };
}
