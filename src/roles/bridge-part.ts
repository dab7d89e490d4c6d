import { type Bridge, startBridge } from '../bridge/bridge.ts';
import { SIGNALS } from '../signals.ts';
import type { Part, RoleContext } from './run.ts';

export async function startBridgePart(context: RoleContext): Promise<Part & { readonly bridge: Bridge }> {
  const { config, names, kafka, topics, metrics, log } = context;
  const producer = await kafka.port.producer({ deliveryTimeoutMs: config.bridge.ackTimeoutMs });
  const partitions = Object.fromEntries(SIGNALS.map((signal) => [signal, topics.ingest[signal].partitions])) as Record<
    (typeof SIGNALS)[number],
    number
  >;
  const bridge = await startBridge({ config, names, producer, partitions, metrics, log });
  return {
    bridge,
    waitsFor: () => null,
    done: new Promise(() => undefined),
    async close() {
      await bridge.close();
      await producer.close();
    },
  };
}
