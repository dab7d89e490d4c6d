/** OpenTelemetry's Python exporters against `weir bridge` on real Kafka: two transports x three signals. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { decodeItems } from '../support/otlp-schema.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { type BridgeProcess, startBridgeProcess } from './bridge-process.ts';
import { installPython, type Python, pythonIsMissing } from './python.ts';

type Samples = Record<Signal, { readonly result: string; readonly items: number; readonly request: string }>;

const missing = pythonIsMissing();
describeOnKafka('the Python exporters', ({ brokers }) => {
  if (missing !== null) {
    it.skip(`SKIPPED, there is no Python: ${missing}`, () => {});
    return;
  }
  let python: Python;
  let bridge: BridgeProcess;
  beforeAll(async () => {
    python = await installPython();
    bridge = await startBridgeProcess({ brokers });
  }, 180_000);
  afterAll(async () => {
    python.remove();
    await bridge.close();
  });

  describe.each(['grpc', 'http'] as const)('by %s', (protocol) => {
    it.each(['none', 'gzip'])('send all signals, compression %s: they arrive byte for byte', async (compression) => {
      const before = await storedBy(bridge);
      const endpoint = `http://${protocol === 'grpc' ? bridge.grpcAddress : bridge.httpAddress}`;
      const samples = (await python.run('samples', protocol, endpoint, compression)) as Samples;
      const after = await storedBy(bridge);
      for (const signal of SIGNALS) {
        const { result, items, request } = samples[signal];
        expect(result, signal).toBe('SUCCESS');
        expect(decodeItems(signal, Buffer.from(request, 'hex')).length, signal).toBe(items);
        expect(before[signal]).not.toContain(request);
        expect(after[signal].sort()).toEqual([...before[signal], request].sort());
      }
    });
  });
});

async function storedBy(bridge: BridgeProcess): Promise<Record<Signal, string[]>> {
  const [traces, metrics, logs] = await Promise.all(
    SIGNALS.map(async (signal) => (await bridge.stored(signal)).map((value) => value.toString('hex'))),
  );
  return { traces: traces!, metrics: metrics!, logs: logs! };
}
