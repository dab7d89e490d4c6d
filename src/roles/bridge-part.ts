import { type Bridge, startBridge } from '../bridge/bridge.ts';
import type { Part, RoleContext } from './run.ts';

export async function startBridgePart(context: RoleContext): Promise<Part & { readonly bridge: Bridge }> {
  const { config, kafka, topics, metrics, log } = context;
  const producer = await kafka.port.producer({ deliveryTimeoutMs: config.bridge.ackTimeoutMs });
  const bridge = await startBridge({ config, producer, topics: topics.ingest, metrics, log });
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
