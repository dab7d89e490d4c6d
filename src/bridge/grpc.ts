/** OTLP/gRPC. Messages pass as the bytes they are: no generated code, nothing decoded. */
import grpc from '@grpc/grpc-js';
import type { Signal } from '../signals.ts';
import type { Intake, Transport } from './intake.ts';
import { type Endpoint, type EndpointOptions, listenError, probeAddress } from './listen.ts';
import { responseToProtobuf } from './partial-success.ts';
import { REFUSALS, type Refusal, statusToProtobuf } from './refusal.ts';

const TRANSPORT: Transport = 'grpc';

const SERVICES: Readonly<Record<Signal, string>> = {
  traces: 'opentelemetry.proto.collector.trace.v1.TraceService',
  metrics: 'opentelemetry.proto.collector.metrics.v1.MetricsService',
  logs: 'opentelemetry.proto.collector.logs.v1.LogsService',
};
const SIGNAL_OF_PATH = new Map<string, Signal>();
for (const [signal, service] of Object.entries(SERVICES)) SIGNAL_OF_PATH.set(`/${service}/Export`, signal as Signal);

export async function startGrpc({ host, port, maxRequestBytes, intake }: EndpointOptions): Promise<Endpoint> {
  const server = new grpc.Server({
    'grpc.max_receive_message_length': maxRequestBytes,
    interceptors: [ownRefusals(intake, maxRequestBytes)],
  });
  for (const [signal, service] of Object.entries(SERVICES)) {
    server.addService(
      {
        Export: {
          path: `/${service}/Export`,
          requestStream: false,
          responseStream: false,
          requestSerialize: identity,
          requestDeserialize: identity,
          responseSerialize: identity,
          responseDeserialize: identity,
        },
      },
      { Export: exportHandler(signal as Signal, intake) },
    );
  }
  // grpc-js does not say why it could not listen, and prints to stderr.
  await probeAddress(host, port, '--grpc-port');
  const bracketed = host.includes(':') ? `[${host}]` : host;
  const boundPort = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${bracketed}:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(listenError(error, host, port, '--grpc-port'));
      else resolve(bound);
    });
  });
  return {
    address: `${bracketed}:${boundPort}`,
    close: (graceMs) =>
      new Promise((resolve) => {
        const force = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      }),
  };
}

const identity = (bytes: Buffer): Buffer => bytes;

function exportHandler(signal: Signal, intake: Intake): grpc.handleUnaryCall<Buffer, Buffer> {
  return (call, callback) => {
    intake
      .accept({
        signal,
        transport: TRANSPORT,
        body: call.request,
        header: (name) => metadataValue(call.metadata, name),
        abandoned: () => call.cancelled,
      })
      .catch((error: unknown) => intake.bug(signal, TRANSPORT, error))
      .then((answer) => {
        if (answer.kind === 'accepted') callback(null, responseToProtobuf(answer.partial));
        else callback(statusOf(answer));
      });
  };
}

function statusOf(refused: Refusal): { code: number; details: string; metadata: grpc.Metadata } {
  const metadata = new grpc.Metadata();
  if (refused.retryAfterMs !== null) metadata.set('grpc-status-details-bin', statusToProtobuf(refused));
  return { code: REFUSALS[refused.reason].grpc, details: refused.message, metadata };
}

function metadataValue(metadata: grpc.Metadata, name: string): Uint8Array | undefined {
  const values = metadata.get(name);
  if (values.length === 0) return undefined;
  if (values.length === 1 && typeof values[0] !== 'string') return values[0];
  return Buffer.from(values.join(', '));
}

/**
 * grpc-js itself refuses a message that is too large or cannot be decompressed, before any handler sees it. Such
 * refusals are counted and worded as the others. It makes them on its innermost call, below every interceptor's responder:
 * hence the method of that call is replaced.
 */
function ownRefusals(intake: Intake, maxRequestBytes: number): grpc.ServerInterceptor {
  return (method, call) => {
    const signal = SIGNAL_OF_PATH.get(method.path);
    if (signal === undefined) return new grpc.ServerInterceptingCall(call);
    let received = false;
    const sendStatus = call.sendStatus.bind(call);
    call.sendStatus = (status) => {
      const refused = received ? null : refusalOf(status.code, signal, intake, maxRequestBytes);
      sendStatus(refused === null ? status : { ...status, ...statusOf(refused) });
    };
    const listener = new grpc.ServerListenerBuilder()
      .withOnReceiveMessage((message, next) => {
        received = true;
        next(message);
      })
      .build();
    const responder = new grpc.ResponderBuilder().withStart((next) => next(listener)).build();
    return new grpc.ServerInterceptingCall(call, responder);
  };
}

function refusalOf(code: number | undefined, signal: Signal, intake: Intake, limit: number): Refusal | null {
  switch (code) {
    case grpc.status.RESOURCE_EXHAUSTED:
      return intake.refuse(
        signal,
        TRANSPORT,
        'too_large',
        `the request exceeds bridge.maxRequestBytes (${limit}), compressed or decompressed: send smaller batches`,
      );
    case grpc.status.INTERNAL:
      return intake.refuse(signal, TRANSPORT, 'malformed', 'the message cannot be decompressed');
    case grpc.status.UNIMPLEMENTED:
      return intake.refuse(signal, TRANSPORT, 'unsupported', 'of compressions the bridge takes gzip, deflate and none');
    default:
      return null;
  }
}
