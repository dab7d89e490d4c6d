/** One OTLP/gRPC call with bytes of the test's choice, on a connection of its own. */
import grpc from '@grpc/grpc-js';
import type { Signal } from '../../src/signals.ts';
import { decodeRetryInfo, decodeStatus, type Rig } from './rig.ts';

export const SERVICES: Readonly<Record<Signal, string>> = {
  traces: 'opentelemetry.proto.collector.trace.v1.TraceService',
  metrics: 'opentelemetry.proto.collector.metrics.v1.MetricsService',
  logs: 'opentelemetry.proto.collector.logs.v1.LogsService',
};

export interface GrpcAnswer {
  readonly code: number;
  readonly details: string;
  readonly reply: Buffer | null;
  /** From grpc-status-details-bin, when there is one. */
  readonly status: ReturnType<typeof decodeStatus> | null;
  /** From google.rpc.retryinfo-bin, when there is one. */
  readonly retryAfterMs: number | null;
}

export interface GrpcOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly gzip?: boolean;
  readonly path?: string;
  readonly cancel?: AbortSignal;
}

const identity = (bytes: Buffer) => bytes;

export function exportByGrpc(
  rig: Rig,
  signal: Signal,
  body: Uint8Array,
  options: GrpcOptions = {},
): Promise<GrpcAnswer> {
  const client = new grpc.Client(rig.bridge.grpcAddress, grpc.credentials.createInsecure(), {
    'grpc.default_compression_algorithm': options.gzip ? 2 : 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_send_message_length': -1,
  });
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.add(name, value);
  return new Promise((resolve) => {
    const path = options.path ?? `/${SERVICES[signal]}/Export`;
    const call = client.makeUnaryRequest(path, identity, identity, Buffer.from(body), metadata, (error, reply) => {
      client.close();
      const [details] = error?.metadata?.get('grpc-status-details-bin') ?? [];
      const [retryInfo] = error?.metadata?.get('google.rpc.retryinfo-bin') ?? [];
      resolve({
        code: error?.code ?? grpc.status.OK,
        details: error?.details ?? '',
        reply: reply ?? null,
        status: details === undefined ? null : decodeStatus(details as Buffer),
        retryAfterMs: retryInfo === undefined ? null : decodeRetryInfo(retryInfo as Buffer),
      });
    });
    options.cancel?.addEventListener('abort', () => call.cancel());
  });
}
