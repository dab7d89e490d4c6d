/** The official OpenTelemetry JS exporters against a running bridge: three protocols x three signals. */
import { OTLPLogExporter as GrpcLogs } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as GrpcMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { type DecodedItem, decodeItems } from '../support/otlp-schema.ts';
import { describeOnKafka, recordAdapter } from '../support/real-kafka.ts';
import { type Rig, startRig } from './rig.ts';
import { sampleLogs, sampleMetrics, sampleSpans } from './sdk-samples.ts';

/** What all exporters have in common. Code 0 is success. */
interface Exporter {
  export(batch: never, onResult: (result: { code: number; error?: Error }) => void): void;
  shutdown(): Promise<void>;
}

type Compression = 'none' | 'gzip';
type MakeExporter = (rig: Rig, compression: Compression) => Exporter;

const grpcUrl = (rig: Rig) => `http://${rig.bridge.grpcAddress}`;
const httpUrl = (rig: Rig, signal: Signal) => `http://${rig.bridge.httpAddress}/v1/${signal}`;
/** The exporters' enum of compressions is theirs alone; these are its values. */
const compressed = (compression: Compression) => ({ compression: compression as never });

const EXPORTERS: Readonly<Record<string, Readonly<Record<Signal, MakeExporter>>>> = {
  grpc: {
    traces: (rig, c) => new GrpcTraces({ url: grpcUrl(rig), ...compressed(c) }),
    metrics: (rig, c) => new GrpcMetrics({ url: grpcUrl(rig), ...compressed(c) }),
    logs: (rig, c) => new GrpcLogs({ url: grpcUrl(rig), ...compressed(c) }),
  },
  'http/protobuf': {
    traces: (rig, c) => new ProtoTraces({ url: httpUrl(rig, 'traces'), ...compressed(c) }),
    metrics: (rig, c) => new ProtoMetrics({ url: httpUrl(rig, 'metrics'), ...compressed(c) }),
    logs: (rig, c) => new ProtoLogs({ url: httpUrl(rig, 'logs'), ...compressed(c) }),
  },
  'http/json': {
    traces: (rig, c) => new JsonTraces({ url: httpUrl(rig, 'traces'), ...compressed(c) }),
    metrics: (rig, c) => new JsonMetrics({ url: httpUrl(rig, 'metrics'), ...compressed(c) }),
    logs: (rig, c) => new JsonLogs({ url: httpUrl(rig, 'logs'), ...compressed(c) }),
  },
};

const SAMPLES: Readonly<Record<Signal, () => unknown>> = {
  traces: sampleSpans,
  metrics: sampleMetrics,
  logs: sampleLogs,
};

async function send(exporter: Exporter, batch: unknown): Promise<void> {
  const result = await new Promise<{ code: number; error?: Error }>((resolve) => {
    exporter.export(batch as never, resolve);
  });
  expect(result.error).toBeUndefined();
  expect(result.code).toBe(0);
}

/** Single fields of value zero may be written or not: both decode to the same. */
function withoutZeros(item: DecodedItem): unknown {
  const clean = (text: string) =>
    JSON.parse(text, (key, value) => {
      const zero = value === 0 || value === '0' || value === '' || value === false;
      // Those with presence: a zero of theirs is not the same as none.
      const present = /^(stringValue|boolValue|intValue|doubleValue|bytesValue|asInt|asDouble|sum|min|max|\d+)$/.test(
        key,
      );
      return zero && !present ? undefined : value;
    });
  return { resource: clean(item.resource), scope: clean(item.scope), item: clean(item.item) };
}

function exportersReach(connect: () => Promise<KafkaPort>): void {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ kafka: await connect(), config: { prefix: `exporters-${process.pid}-` } });
  });
  afterAll(() => rig.close());

  describe.each(SIGNALS)('%s', (signal) => {
    it('arrive with the same content by every protocol, compressed or not', async () => {
      const batch = await SAMPLES[signal]();
      const contents: Record<string, unknown[]> = {};
      for (const [protocol, makers] of Object.entries(EXPORTERS)) {
        for (const compression of ['none', 'gzip'] as const) {
          const before = await rig.stored(signal);
          const exporter = makers[signal](rig, compression);
          await send(exporter, batch);
          // The exporter has its acknowledgement, so the record is there.
          const after = await rig.stored(signal);
          await exporter.shutdown();
          const known = before.map(({ value }) => value.toString('hex'));
          const added = after.filter(({ value }) => {
            const at = known.indexOf(value.toString('hex'));
            if (at >= 0) known.splice(at, 1);
            return at < 0;
          });
          expect(added).toHaveLength(1);
          contents[`${protocol} ${compression}`] = decodeItems(signal, added[0]!.value).map(withoutZeros);
        }
      }
      const [first, ...others] = Object.entries(contents);
      expect(first![1].length).toBeGreaterThan(1);
      for (const [protocol, content] of others) expect(content, protocol).toEqual(first![1]);
      expect(Object.keys(contents)).toHaveLength(6);
    });
  });
}

describe('exporters -> bridge -> the in-process log', () => {
  recordAdapter('memory');
  exportersReach(async () => createMemoryKafka().connect());
});

describeOnKafka('exporters -> bridge -> Apache Kafka', ({ brokers }) => {
  exportersReach(() => connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' })));
});
