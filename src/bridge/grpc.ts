/** OTLP/gRPC and grpc.health.v1, on node:http2. Messages pass as the bytes they are: no generated code, nothing decoded. */
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Signal } from '../signals.ts';
import type { HeaderValue } from './admission.ts';
import type { BodyBuffer } from './body-buffer.ts';
import { GrpcCall, type GrpcFault, type GrpcMethod, isGrpc, metadataValue } from './grpc-call.ts';
import { createHealth, type Health } from './grpc-health.ts';
import { GrpcSession } from './grpc-session.ts';
import { OK, statusHeaders, statusOf } from './grpc-status.ts';
import { bombText } from './inflate.ts';
import type { Transport } from './intake.ts';
import { type Endpoint, type EndpointOptions, listen } from './listen.ts';
import { responseToProtobuf } from './partial-success.ts';
import type { RefusalReason } from './refusal.ts';

const TRANSPORT: Transport = 'grpc';

const SERVICES: Readonly<Record<Signal, string>> = {
  traces: 'opentelemetry.proto.collector.trace.v1.TraceService',
  metrics: 'opentelemetry.proto.collector.metrics.v1.MetricsService',
  logs: 'opentelemetry.proto.collector.logs.v1.LogsService',
};

const UNKNOWN_METHOD = `this method is not served here; Export is, of ${Object.values(SERVICES).join(', ')}`;

/** Of a stream: a usual batch comes without waiting for the bridge to open the window again. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const SWEEP_INTERVAL_MS = 250;

export interface GrpcEndpoint extends Endpoint {
  readonly health: Health;
}

export async function startGrpc(options: EndpointOptions): Promise<GrpcEndpoint> {
  const { intake, tls, budget } = options;
  const { bridge } = options.config;
  const { maxInflationRatio } = bridge;
  const health = createHealth(Object.values(SERVICES));
  const methods = new Map(health.methods);
  for (const [signal, service] of Object.entries(SERVICES)) {
    methods.set(`/${service}/Export`, exportMethod(signal as Signal, options));
  }
  const settings = {
    settings: {
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxConcurrentStreams: bridge.maxConcurrentStreams,
      maxHeaderListSize: bridge.maxHeaderBytes,
    },
    unknownProtocolTimeout: bridge.headersTimeoutMs,
  };
  const server: Http2Server = tls
    ? (createSecureServer({ ...settings, ...tls.options() }) as unknown as Http2Server)
    : createServer(settings);
  const sessions = new Map<ServerHttp2Session, GrpcSession>();

  server.on('session', (http2) => {
    const session = new GrpcSession(http2, bridge);
    sessions.set(http2, session);
    http2.once('close', () => sessions.delete(http2));
    const certified = (http2.socket as TLSSocket).authorized === true;
    http2.on('stream', (stream, headers) => {
      const method = methodOf(stream, headers);
      if (method === null) return;
      const onEnd = (ended: GrpcCall) => session.ended(ended);
      const call = new GrpcCall({ method, stream, headers, budget, maxInflationRatio, certified, onEnd });
      session.began(call);
      call.start();
    });
  });

  /** null: it has been answered, as it is no gRPC or of no method. */
  function methodOf(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): GrpcMethod | null {
    const method = methods.get(String(headers[':path']));
    if (method !== undefined && headers[':method'] === 'POST' && isGrpc(headers['content-type'])) return method;
    stream.on('error', () => undefined);
    if (headers[':method'] !== 'POST' || !isGrpc(headers['content-type'])) {
      // Who does not speak gRPC is answered in HTTP.
      intake.refuse(null, TRANSPORT, 'unsupported', 'on this port the bridge takes gRPC only');
      stream.respond({ ':status': 415 }, { endStream: true });
    } else {
      const refused = intake.refuse(null, TRANSPORT, 'not_found', UNKNOWN_METHOD);
      const head = { ':status': 200, 'content-type': 'application/grpc' };
      stream.respond({ ...head, ...statusHeaders(statusOf(refused)) }, { endStream: true });
    }
    stream.close();
    return null;
  }

  const address = await listen(server, 'grpc', options);
  const sweep = setInterval(() => {
    const now = performance.now();
    for (const session of sessions.values()) session.sweep(now);
  }, SWEEP_INTERVAL_MS);

  return {
    address,
    health,
    close: (graceMs) =>
      new Promise((resolve) => {
        health.close();
        const force = setTimeout(() => {
          for (const session of sessions.values()) session.destroy();
        }, graceMs);
        server.close(() => {
          clearTimeout(force);
          clearInterval(sweep);
          resolve();
        });
        for (const session of sessions.values()) session.close(performance.now());
      }),
  };
}

function exportMethod(signal: Signal, { intake, admission, config }: EndpointOptions): GrpcMethod {
  const maxMessageBytes = config.bridge.maxRequestBytes;
  const refuse = (reason: RefusalReason, message: string) =>
    statusOf(intake.refuse(signal, TRANSPORT, reason, message));

  async function accept(call: GrpcCall, header: HeaderValue, body: BodyBuffer): Promise<void> {
    // The intake counts the bytes from here on.
    body.release();
    const answer = await intake
      .accept({ signal, transport: TRANSPORT, body: body.view(), header, abandoned: () => call.abandoned })
      .catch((error: unknown) => intake.bug(signal, TRANSPORT, error));
    if (answer.kind === 'refused') {
      // Its records may still be on their way.
      call.end(statusOf(answer));
      return;
    }
    body.recycle();
    call.end(OK, responseToProtobuf(answer.partial));
  }

  return {
    maxMessageBytes,
    admit(call) {
      const away = intake.turnedAway(signal, TRANSPORT, 0);
      if (away) return { kind: 'refused', status: statusOf(away) };
      const { certified, headers } = call;
      const admitted = admission.admit({
        authorization: headers.authorization,
        certified,
        header: (name) => metadataValue(headers, name),
      });
      if (admitted.kind === 'refused') return { kind: 'refused', status: refuse('unauthenticated', admitted.message) };
      return {
        kind: 'admitted',
        serve: (body) => void accept(call, admitted.header, body),
      };
    },
    fault: (fault) => refuse(...FAULTS[fault](config.bridge)),
  };
}

type Limits = EndpointOptions['config']['bridge'];

const FAULTS: Readonly<Record<GrpcFault, (limits: Limits) => [RefusalReason, string]>> = {
  'too-large': ({ maxRequestBytes }) => [
    'too_large',
    `the request exceeds bridge.maxRequestBytes (${maxRequestBytes}), compressed or decompressed: send smaller batches`,
  ],
  'no-room': ({ queueBytes }) => [
    'queue_full',
    `requests being read and waiting for Kafka have reached bridge.queueBytes (${queueBytes})`,
  ],
  malformed: () => ['malformed', 'the message cannot be decompressed'],
  bomb: (limits) => ['too_large', bombText(limits)],
  misframed: () => ['misframed', 'the request is not one length-prefixed message, compressed as grpc-encoding says'],
  'unknown-compression': () => ['unsupported', 'of compressions the bridge takes gzip, deflate and none'],
  'bad-timeout': () => ['misframed', 'grpc-timeout is no timeout'],
  'timed-out': ({ requestTimeoutMs }) => [
    'timed_out',
    `the request did not come whole within bridge.requestTimeoutMs (${requestTimeoutMs}), or its deadline has passed`,
  ],
};
