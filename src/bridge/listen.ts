/** What the bridge's two endpoints have in common: what they are made of, and how they begin and cease to listen. */
import type { AddressInfo, Server } from 'node:net';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import type { Admission } from './admission.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { Intake } from './intake.ts';
import type { ServerTls, TlsServer } from './server-tls.ts';

export interface EndpointOptions {
  readonly config: Config;
  readonly intake: Intake;
  readonly admission: Admission;
  readonly budget: ByteBudget;
  readonly tls: ServerTls | null;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Where exporters send to. */
export interface Endpoint {
  /** host:port. */
  readonly address: string;
  /** Ends idle connections, then all that are left after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

export type EndpointName = 'grpc' | 'http';

const PORTS = {
  grpc: { key: 'grpcPort', flag: '--grpc-port' },
  http: { key: 'httpPort', flag: '--http-port' },
} as const;
/** Connections over the limit come by the thousand. */
const DROPPED_LOG_INTERVAL_MS = 10_000;

/** Resolves with host:port. A taken port is WeirError PORT_TAKEN. */
export async function listen(server: Server, name: EndpointName, options: EndpointOptions): Promise<string> {
  const { config, tls, metrics, log } = options;
  const { host } = config;
  const { key, flag } = PORTS[name];
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(cause, host, config[key], flag)));
    server.listen({ host, port: config[key] }, resolve);
  });
  server.removeAllListeners('error');
  server.on('error', (err) => log.error({ err, endpoint: name }, 'the bridge cannot take a connection'));
  server.maxConnections = config.bridge.maxConnections;
  countConnections(server, name, metrics, log);
  if (tls) {
    tls.follow(server as unknown as TlsServer);
    server.on('tlsClientError', (cause: Error) =>
      log.debug({ cause: cause.message, endpoint: name }, 'a TLS handshake failed'),
    );
  }
  const bracketed = host.includes(':') ? `[${host}]` : host;
  return `${bracketed}:${(server.address() as AddressInfo).port}`;
}

function countConnections(server: Server, endpoint: EndpointName, metrics: Metrics, log: Logger): void {
  const open = metrics.bridgeConnections.labels({ endpoint });
  server.on('connection', (socket) => {
    open.inc();
    socket.once('close', () => open.dec());
  });
  let loggedAt = Number.NEGATIVE_INFINITY;
  server.on('drop', () => {
    metrics.bridgeConnectionsDropped.inc({ endpoint });
    if (performance.now() - loggedAt < DROPPED_LOG_INTERVAL_MS) return;
    loggedAt = performance.now();
    log.warn({ endpoint, limit: server.maxConnections }, 'bridge.maxConnections is reached: connections are dropped');
  });
}

/** Turns what the system says about an address into a sentence that names the setting. */
function listenError(cause: Error, host: string, port: number, flag: string): WeirError {
  const code = 'code' in cause ? String(cause.code) : '';
  const address = `${host}:${port}`;
  if (code === 'EADDRINUSE') {
    return new WeirError(
      'PORT_TAKEN',
      `cannot listen on ${address}: it is in use. Stop what listens there, or choose another port with ${flag}.`,
      { cause },
    );
  }
  return new WeirError(
    'CONFIG_INVALID',
    `cannot listen on ${address}: ${code || cause.message}. Choose an address of this machine with --host, and a port that this user may open with ${flag}.`,
    { cause },
  );
}

/** Says once what anyone who reaches the bridge could do, where others than this machine's users reach it. */
export function warnOfOpenDoor(config: Config, log: Logger): void {
  const { host, bridge } = config;
  if (isLoopback(host)) return;
  const anyone =
    bridge.auth.credentialsFile === undefined && !(bridge.tls.clientCaFile && bridge.tls.requireClientCert);
  if (anyone) {
    log.warn(
      { host },
      'the bridge listens beyond this machine and takes telemetry from anyone; set bridge.auth.credentialsFile, or bridge.tls.clientCaFile',
    );
  }
  if (!bridge.tls.enabled) {
    log.warn({ host }, 'the bridge listens beyond this machine without encryption; set bridge.tls');
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
