/**
 * The broker goes away for 15 s while exporters send, one span a request. What is acknowledged is in Kafka afterwards; what
 * is there twice are at most those that the bridge counted as unknown.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { InMemorySpanExporter, SimpleSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { describe, expect, it } from 'vitest';
import { startKafkaProxy } from '../support/kafka-proxy.ts';
import { decodeItems } from '../support/otlp-schema.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { startBridgeProcess } from './bridge-process.ts';
import { installPython, pythonIsMissing } from './python.ts';

const BEFORE_MS = 5_000;
const OUTAGE_MS = 15_000;
const SENDING_MS = 40_000;
const LANES = 8;
const PAUSE_MS = 50;
/** Python and JS HTTP try again as long as this; the JS gRPC exporter never does. */
const TIMEOUT_MS = 60_000;

interface Told {
  readonly acknowledged: string[];
  readonly failed: string[];
}

function spanNamed(name: string) {
  const memory = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: memory })] });
  provider.getTracer('outage').startSpan(name).end();
  return memory.getFinishedSpans();
}

async function stream(kind: string, exporter: SpanExporter): Promise<Told> {
  const told: Told = { acknowledged: [], failed: [] };
  const until = performance.now() + SENDING_MS;
  const lane = async (lane: number) => {
    for (let number = 0; performance.now() < until; number++) {
      const name = `${kind}-${lane}-${number}`;
      const result = await new Promise<{ code: number }>((resolve) => exporter.export(spanNamed(name), resolve));
      (result.code === 0 ? told.acknowledged : told.failed).push(name);
      await sleep(PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, index) => lane(index)));
  await exporter.shutdown();
  return told;
}

const missing = pythonIsMissing();
describeOnKafka('an outage of the broker', ({ brokers, proxied }) => {
  if (missing !== null) {
    describe('with Python', () => it.skip(`SKIPPED, there is no Python: ${missing}`, () => {}));
  }

  it('loses nothing that was acknowledged, and doubles no more than what was counted as unknown', {
    timeout: 300_000,
  }, async () => {
    const python = missing === null ? await installPython() : null;
    const proxy = await startKafkaProxy({ listenPort: proxied.advertisedPort, brokerPort: proxied.listenPort });
    const bridge = await startBridgeProcess({ brokers, bridgeBrokers: `127.0.0.1:${proxied.advertisedPort}` });
    try {
      const grpcUrl = `http://${bridge.grpcAddress}`;
      const httpUrl = `http://${bridge.httpAddress}`;
      const url = `${httpUrl}/v1/traces`;
      const seconds = String(SENDING_MS / 1_000);
      const streams: Record<string, Promise<Told>> = {
        'js-proto': stream('js-proto', new ProtoTraces({ url, timeoutMillis: TIMEOUT_MS })),
        'js-json': stream('js-json', new JsonTraces({ url, timeoutMillis: TIMEOUT_MS })),
        'js-grpc': stream('js-grpc', new GrpcTraces({ url: grpcUrl })),
      };
      if (python) {
        streams['python-grpc'] = python.run('stream', 'grpc', grpcUrl, seconds) as Promise<Told>;
        streams['python-http'] = python.run('stream', 'http', httpUrl, seconds) as Promise<Told>;
      }
      await sleep(BEFORE_MS);
      proxy.refuse(true);
      await sleep(OUTAGE_MS);
      proxy.refuse(false);
      const told = new Map<string, Told>();
      for (const [kind, sending] of Object.entries(streams)) told.set(kind, await sending);

      const unknown = await bridge.weir.metric('weir_bridge_unknown_items_total');
      const copies = new Map<string, number>();
      for (const value of await bridge.stored('traces')) {
        for (const { item } of decodeItems('traces', value)) {
          const { name } = JSON.parse(item) as { name: string };
          copies.set(name, (copies.get(name) ?? 0) + 1);
        }
      }
      const figures = [...told].map(
        ([kind, { acknowledged, failed }]) => `${kind} ${acknowledged.length}/${failed.length}`,
      );
      const doubles = [...copies.values()].reduce((sum, count) => sum + count - 1, 0);
      console.info(
        `acknowledged/failed: ${figures.join(', ')}; ${copies.size} stored, ${doubles} doubled, ${unknown} unknown`,
      );
      for (const [kind, { acknowledged, failed }] of told) {
        expect(acknowledged.length, kind).toBeGreaterThan(LANES * 10);
        expect(
          acknowledged.filter((name) => !copies.has(name)),
          kind,
        ).toEqual([]);
        // Those that try again get through; the outage is shorter than their patience, and than bridge.ackTimeoutMs.
        if (kind !== 'js-grpc') expect(failed, kind).toEqual([]);
      }
      const { acknowledged, failed } = told.get('js-grpc')!;
      const received = [...acknowledged, ...failed].filter((name) => copies.has(name));
      expect(received.length + failed.length).toBeGreaterThanOrEqual(acknowledged.length + failed.length);
      expect(doubles).toBeLessThanOrEqual(unknown);
    } finally {
      await bridge.close();
      await proxy.close();
      python?.remove();
    }
  });
});
