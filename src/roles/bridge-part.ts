import { type Bridge, startBridge } from '../bridge/bridge.ts';
import { startMemberReporter } from './member-reporter.ts';
import type { Part, RoleContext } from './run.ts';

export async function startBridgePart(context: RoleContext): Promise<Part & { readonly bridge: Bridge }> {
  const { config, kafka, topics, metrics, log } = context;
  const producer = await kafka.port.producer({ deliveryTimeoutMs: config.bridge.ackTimeoutMs });
  const reporter = await startMemberReporter(context, 'bridge');
  const onAccepted = (items: number, bytes: number) => reporter.accept(items, bytes);
  const deps = { config, producer, admin: kafka.port.admin, topics: topics.ingest, metrics, log, onAccepted };
  const bridge = await startBridge(deps).catch(async (error: unknown) => {
    await reporter.close();
    throw error;
  });
  return {
    bridge,
    waitsFor: () => null,
    done: new Promise(() => undefined),
    async close() {
      await bridge.close();
      await reporter.close();
      await producer.close();
    },
  };
}
