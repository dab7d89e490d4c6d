/** What is compared: bridges from OTLP to Kafka, each a process of its own that is seen from outside. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePort } from '../../src/kafka/embedded.ts';
import { namesFor } from '../../src/names.ts';
import { endWithRun } from '../child.ts';
import { startCollector } from '../collector/collector.ts';
import type { Ground } from '../pipeline/ground.ts';
import { environment, MAIN } from '../pipeline/weir.ts';

export type Protocol = 'grpc' | 'http';

export interface Contender {
  readonly name: string;
  readonly protocol: Protocol;
  /** The goals are set for it: Weir as it is. */
  readonly judged: boolean;
  /** By generated code. */
  readonly decodes?: boolean;
  start(): Promise<Running>;
}

export interface Running {
  readonly pid: number;
  /** host:port for the contender's protocol. */
  readonly target: string;
  /** Throws once the process has ended by itself. */
  assertRunning(): void;
  stop(): Promise<void>;
}

/** One topic for all of them. */
export const PREFIX = 'bench-bridge.';
export const OF = { spansPerRequest: 100, shards: 1, codec: 'none' };
/** As the bridge's own default. */
const LINGER = '5ms';
const DECODING = join(import.meta.dirname, 'decoding-bridge.ts');

export function weirBridge(ground: Ground, protocol: Protocol): Contender {
  const name = protocol === 'grpc' ? 'Weir, gRPC' : 'Weir, HTTP protobuf';
  return { name, protocol, judged: true, start: () => startBridge(ground, protocol, [MAIN, 'bridge']) };
}

export function decodingBridge(ground: Ground): Contender {
  const name = 'the same, decoding and encoding, gRPC';
  return {
    name,
    protocol: 'grpc',
    judged: false,
    decodes: true,
    start: () => startBridge(ground, 'grpc', [DECODING]),
  };
}

export function collectorBridge(ground: Ground, binary: string, protocol: Protocol): Contender {
  const names = namesFor(PREFIX);
  return {
    name: protocol === 'grpc' ? 'Collector, gRPC' : 'Collector, HTTP protobuf',
    protocol,
    judged: false,
    async start() {
      const [grpcPort, httpPort] = await twoPorts();
      const collector = await startCollector(binary, 'bridge', {
        COLLECTOR_BROKERS: ground.brokers,
        COLLECTOR_GRPC_PORT: String(grpcPort),
        COLLECTOR_HTTP_PORT: String(httpPort),
        COLLECTOR_TRACES: names.ingest('traces'),
        COLLECTOR_METRICS: names.ingest('metrics'),
        COLLECTOR_LOGS: names.ingest('logs'),
        COLLECTOR_LINGER: LINGER,
      });
      return { ...collector, target: `127.0.0.1:${protocol === 'grpc' ? grpcPort : httpPort}` };
    },
  };
}

/** A bridge and both its ports. */
export interface RunningBridge extends Omit<Running, 'target'> {
  readonly targets: Readonly<Record<Protocol, string>>;
  readonly apiPort: number;
}

async function startBridge(ground: Ground, protocol: Protocol, args: readonly string[]): Promise<Running> {
  const bridge = await startBridgeProcess(ground, args);
  return { ...bridge, target: bridge.targets[protocol] };
}

/** `args` are node's. Resolves once it is ready. */
export async function startBridgeProcess(ground: Ground, args: readonly string[]): Promise<RunningBridge> {
  const [grpcPort, httpPort] = await twoPorts();
  const apiPort = await freePort([grpcPort, httpPort]);
  const child = spawn(process.execPath, args, {
    env: {
      ...environment(ground, PREFIX, OF),
      WEIR_GRPC_PORT: String(grpcPort),
      WEIR_HTTP_PORT: String(httpPort),
      WEIR_API_PORT: String(apiPort),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  endWithRun(child);
  await once(child, 'spawn');
  const ended = once(child, 'exit');
  const running: RunningBridge = {
    pid: child.pid as number,
    targets: { grpc: `127.0.0.1:${grpcPort}`, http: `127.0.0.1:${httpPort}` },
    apiPort,
    assertRunning() {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${args.at(-1)} ended with ${child.exitCode ?? child.signalCode}`);
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
  for (;;) {
    running.assertRunning();
    const answer = await fetch(`http://127.0.0.1:${apiPort}/readyz`).catch(() => null);
    if (answer?.ok) return running;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function twoPorts(): Promise<[number, number]> {
  const first = await freePort();
  return [first, await freePort([first])];
}
