/** Telemetry as the OpenTelemetry SDK makes it, of every kind that it can: what the official exporters are given. */
import {
  createTraceState,
  ROOT_CONTEXT,
  SeverityNumber,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
  ValueType,
} from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  InMemoryLogRecordExporter,
  LoggerProvider,
  type ReadableLogRecord,
  SimpleLogRecordProcessor,
} from '@opentelemetry/sdk-logs';
import {
  AggregationTemporality,
  AggregationType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

const resource = resourceFromAttributes({
  'service.name': 'checkout',
  'service.instance.id': 'checkout-1',
  'process.pid': 4_242,
  'host.ip': ['10.0.0.7', 'fe80::1'],
});

const attributes = {
  text: 'quotes " and \\ and \n, ümläut, 漢字, 🛒',
  empty: '',
  int: 200,
  negative: -7,
  'large int': Number.MAX_SAFE_INTEGER,
  double: 0.25,
  yes: true,
  no: false,
  list: ['a', 'b'],
  numbers: [1, 2.5],
};

export function sampleSpans(): ReadableSpan[] {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const tracer = provider.getTracer('shop', '1.2.3', { schemaUrl: 'https://opentelemetry.io/schemas/1.30.0' });
  const remote = {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    traceFlags: TraceFlags.SAMPLED,
    traceState: createTraceState('vendor=1,other=2'),
    isRemote: true,
  };
  const parent = tracer.startSpan(
    'POST /cart',
    { kind: SpanKind.SERVER, attributes, links: [{ context: remote, attributes: { why: 'retry' } }] },
    trace.setSpanContext(ROOT_CONTEXT, remote),
  );
  const child = tracer.startSpan('SELECT', { kind: SpanKind.CLIENT }, trace.setSpan(ROOT_CONTEXT, parent));
  child.recordException(new Error('connection reset'));
  child.addEvent('retry', { attempt: 1 });
  child.setStatus({ code: SpanStatusCode.ERROR, message: 'no answer' });
  child.end();
  parent.end();
  provider.getTracer('other').startSpan('root').end();
  return exporter.getFinishedSpans();
}

export async function sampleMetrics(): Promise<ResourceMetrics> {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const provider = new MeterProvider({
    resource,
    readers: [reader],
    views: [{ instrumentName: 'exponential', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  });
  const meter = provider.getMeter('shop', '1.2.3');
  meter.createCounter('requests', { unit: '1', description: 'all', valueType: ValueType.INT }).add(3, attributes);
  meter.createCounter('seconds', { unit: 's' }).add(0.5);
  meter.createUpDownCounter('in_flight', { valueType: ValueType.INT }).add(-2);
  meter.createGauge('load').record(0);
  const histogram = meter.createHistogram('latency', {
    unit: 'ms',
    advice: { explicitBucketBoundaries: [0, 5, 10.5] },
  });
  for (const value of [0, 1, 7, 400]) histogram.record(value, { route: '/cart' });
  const exponential = meter.createHistogram('exponential');
  for (const value of [0, 0.001, 1, 2, 1_000_000]) exponential.record(value);
  await reader.forceFlush();
  const [metrics] = exporter.getMetrics();
  await provider.shutdown();
  return metrics!;
}

export function sampleLogs(): ReadableLogRecord[] {
  const exporter = new InMemoryLogRecordExporter();
  const provider = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor({ exporter })] });
  const logger = provider.getLogger('shop', '1.2.3');
  const spanContext = {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    traceFlags: TraceFlags.SAMPLED,
  };
  logger.emit({
    severityNumber: SeverityNumber.ERROR,
    severityText: 'ERROR',
    body: 'payment failed',
    eventName: 'payment.failed',
    timestamp: new Date(1_760_000_000_123),
    attributes,
    context: trace.setSpanContext(ROOT_CONTEXT, spanContext),
  });
  logger.emit({
    body: { nested: { deep: [1, 'two', { three: 3.5 }] }, raw: new Uint8Array([0, 1, 254, 255]), nothing: null },
    attributes: { bytes: new Uint8Array([1, 2, 3]) },
  });
  return exporter.getFinishedLogRecords();
}
