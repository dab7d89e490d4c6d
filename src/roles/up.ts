/** `weir up`: every role in one process, with the traffic of a simulated shop unless `--no-demo`. */
import type { Config } from '../config.ts';
import { SIGNALS } from '../signals.ts';
import { startBridgePart } from './bridge-part.ts';
import { type Console, openConsole, opensToDemo } from './console.ts';
import { startControlPart } from './control-part.ts';
import { startProcessPart } from './process-part.ts';
import { type RoleContext, type RoleOptions, runParts } from './run.ts';

export async function runUp(config: Config, options: RoleOptions): Promise<void> {
  const screen: Console = openConsole(options.stdout);
  let addresses = { grpc: '', http: '' };
  const startBridge = async (context: RoleContext) => {
    const part = await startBridgePart(context);
    addresses = { grpc: part.bridge.grpcAddress, http: part.bridge.httpAddress };
    return part;
  };
  let processing: Awaited<ReturnType<typeof startProcessPart>> | undefined;
  const startProcess = async (context: RoleContext) => {
    processing = await startProcessPart(context);
    return processing;
  };
  // The controller first: it writes the first ring epoch, which the processor waits for. The bridge last: nothing is
  // accepted before there is someone to work on it.
  await runParts('all', config, options, [startControlPart, startProcess, startBridge], {
    onProgress: (text) => screen.progress(text),
    onStarted(context, api, parts) {
      screen.started({ ...addresses, api: api.url, kafka: context.kafka, config });
      const view = parts.find((part) => part.view)?.view;
      const waitsFor = () => parts.map((part) => part.waitsFor()).find((reason) => reason !== null) ?? null;
      const lagMeasuredAtMs = () => processing?.processor?.lagMeasuredAtMs ?? null;
      const figures = screen.figures(context.metrics, { shards: shardCount(config), view, waitsFor, lagMeasuredAtMs });
      const demo = config.demo && opensToDemo(config) ? startShop(addresses) : undefined;
      return {
        async close() {
          screen.progress('Stopping: draining what was accepted …');
          await figures.close();
          await (await demo)?.close();
        },
      };
    },
  });
  screen.progress('Stopped.');
}

async function startShop({ grpc, http }: { grpc: string; http: string }) {
  // Loaded here: the SDK is a third of the start-up time, and only the demo needs it.
  const { startDemo } = await import('../demo/traffic.ts');
  return startDemo({ grpc: `http://${grpc}`, http: `http://${http}` });
}

const shardCount = ({ routing }: Config) => SIGNALS.reduce((sum, signal) => sum + routing[signal].shards, 0);
