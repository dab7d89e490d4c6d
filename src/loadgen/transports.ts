/** How the load generator speaks OTLP: gRPC through grpc-js, HTTP through undici. Bodies are sent as they are. */
import type { SecureContext } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Pool } from 'undici';
import type { Signal } from '../signals.ts';

/** What became of one request. */
export type Sent =
  | { readonly kind: 'accepted' }
  /** The server said no, such as `UNAVAILABLE` or `503`; gRPC says in `details` why. */
  | { readonly kind: 'refused'; readonly reason: string; readonly details?: string };

export interface Transport {
  send(body: Uint8Array): Promise<Sent>;
  close(): Promise<void>;
}

export interface TransportOptions {
  readonly protocol: 'grpc' | 'http';
  /** HOST:PORT */
  readonly target: string;
  readonly signal: Signal;
  readonly connections: number;
  readonly gzip: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** null: in the clear. */
  readonly tls: SecureContext | null;
  readonly timeoutMs: number;
}

export function openTransport(options: TransportOptions): Transport {
  return options.protocol === 'grpc' ? openGrpc(options) : openHttp(options);
}

const SERVICES: Readonly<Record<Signal, string>> = { traces: 'trace', metrics: 'metrics', logs: 'logs' };

function openGrpc({ target, signal, connections, gzip, headers, tls, timeoutMs }: TransportOptions): Transport {
  const service = SERVICES[signal];
  const name = `${service[0]!.toUpperCase()}${service.slice(1)}Service`;
  const path = `/opentelemetry.proto.collector.${service}.v1.${name}/Export`;
  const channel = tls ? credentials.createFromSecureContext(tls) : credentials.createInsecure();
  const clients = Array.from(
    { length: connections },
    () =>
      new Client(target, channel, {
        'grpc.use_local_subchannel_pool': 1,
        'grpc.max_send_message_length': -1,
        ...(gzip ? { 'grpc.default_compression_algorithm': 2 } : {}),
      }),
  );
  const metadata = new Metadata();
  for (const [header, value] of Object.entries(headers)) metadata.set(header, value);
  const identity = (bytes: Uint8Array) => bytes as Buffer;
  let turn = 0;
  return {
    send(body) {
      const client = clients[turn++ % clients.length]!;
      const deadline = Date.now() + timeoutMs;
      return new Promise((resolve) => {
        client.makeUnaryRequest(
          path,
          identity,
          identity,
          body,
          metadata,
          { deadline },
          (error: ServiceError | null) => {
            resolve(
              error
                ? {
                    kind: 'refused',
                    reason: status[error.code] ?? `code ${error.code}`,
                    details: oneLine(error.details),
                  }
                : { kind: 'accepted' },
            );
          },
        );
      });
    },
    async close() {
      for (const client of clients) client.close();
    },
  };
}

/** grpc-js ends with a note that is mostly empty, and OpenSSL's errors with a line end in the middle. */
function oneLine(details: string): string {
  return details.replace(/\s+/g, ' ').replace(/\. Resolution note: ?$/, '');
}

function openHttp({ target, signal, connections, gzip, headers, tls, timeoutMs }: TransportOptions): Transport {
  const pool = new Pool(`${tls ? 'https' : 'http'}://${target}`, {
    connections,
    pipelining: 1,
    headersTimeout: timeoutMs,
    ...(tls && { connect: { secureContext: tls } }),
  });
  const fixed = {
    'content-type': 'application/x-protobuf',
    ...(gzip ? { 'content-encoding': 'gzip' } : {}),
    ...headers,
  };
  return {
    async send(body) {
      try {
        const response = await pool.request({
          method: 'POST',
          path: `/v1/${signal}`,
          headers: fixed,
          body: gzip ? gzipSync(body) : body,
        });
        await response.body.dump();
        const accepted = response.statusCode >= 200 && response.statusCode < 300;
        return accepted ? { kind: 'accepted' } : { kind: 'refused', reason: String(response.statusCode) };
      } catch (error) {
        return { kind: 'refused', reason: (error as NodeJS.ErrnoException).code ?? (error as Error).message };
      }
    },
    close: () => pool.close(),
  };
}
