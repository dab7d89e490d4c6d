/**
 * OTLP/HTTP: POST /v1/traces, /v1/metrics, /v1/logs as application/x-protobuf or application/json, gzip or not.
 * On node:http, as there are three routes and a body that is bytes.
 */
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Signal } from '../signals.ts';
import { type Appended, BodyBuffer } from './body-buffer.ts';
import { type Cors, createCors } from './cors.ts';
import { bombText, type Compression, inflate, isCompression } from './inflate.ts';
import type { Transport } from './intake.ts';
import { type Endpoint, type EndpointOptions, listen } from './listen.ts';
import { otlpJsonToProtobuf } from './otlp-json.ts';
import { responseToJson, responseToProtobuf } from './partial-success.ts';
import { REFUSALS, type Refusal, type RefusalReason, statusToJson, statusToProtobuf } from './refusal.ts';

const PROTOBUF = 'application/x-protobuf';
const JSON_TYPE = 'application/json';
const SIGNAL_OF_PATH: Readonly<Record<string, Signal>> = {
  '/v1/traces': 'traces',
  '/v1/metrics': 'metrics',
  '/v1/logs': 'logs',
};

/** How often connections are looked at for those that are too slow. Node's own default lets them live 30 s longer. */
const CONNECTIONS_CHECK_MS = 1_000;

export async function startHttp(options: EndpointOptions): Promise<Endpoint> {
  const { config, intake, tls } = options;
  const { bridge } = config;
  const cors = createCors(bridge.cors);
  const limits = {
    headersTimeout: bridge.headersTimeoutMs,
    requestTimeout: Math.max(bridge.requestTimeoutMs, bridge.headersTimeoutMs),
    keepAliveTimeout: bridge.idleTimeoutMs,
    maxHeaderSize: bridge.maxHeaderBytes,
    connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
  };
  const lastOn = new WeakMap<Duplex, Exchange>();
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const exchange: Exchange = { ...options, cors, request, response };
    lastOn.set(request.socket, exchange);
    serve(exchange).catch((error: unknown) => {
      // The exporter went away while its body was read, or was cut off as it was too slow: nobody to answer.
      if (response.destroyed || response.writableEnded) return;
      answerRefusal(exchange, intake.bug(null, transportOf(request), error));
    });
  };
  const server = tls ? createTlsServer({ ...limits, ...tls.options() }, onRequest) : createServer(limits, onRequest);
  server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
    refuseUnread(error.code, socket, lastOn.get(socket), options),
  );
  const address = await listen(server, 'http', options);
  return {
    address,
    close: (graceMs) =>
      new Promise((resolve) => {
        const force = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearTimeout(force);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

type Limits = EndpointOptions['config']['bridge'];
type Encoding = Compression | 'identity';

interface Exchange extends EndpointOptions {
  readonly cors: Cors | null;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

async function serve(exchange: Exchange): Promise<void> {
  const { request, response, intake, admission, config, budget, cors } = exchange;
  const { maxRequestBytes } = config.bridge;
  if (cors?.answered(request, response)) return;
  const transport = transportOf(request);
  const path = pathOf(request);
  const signal = SIGNAL_OF_PATH[path] ?? null;
  const refuse = (reason: RefusalReason, message: string) =>
    answerRefusal(exchange, intake.refuse(signal, transport, reason, message));

  if (signal === null)
    return refuse('not_found', `nothing is served here; POST to ${Object.keys(SIGNAL_OF_PATH).join(', ')}`);
  if (request.method !== 'POST') {
    response.setHeader('allow', 'POST');
    return refuse('wrong_method', `${path} takes POST only`);
  }
  const admitted = admission.admit({
    authorization: request.headers.authorization,
    certified: (request.socket as TLSSocket).authorized === true,
    header: (name) => headerValue(request, name),
  });
  if (admitted.kind === 'refused') return refuse('unauthenticated', admitted.message);
  const type = contentType(request);
  if (type !== PROTOBUF && type !== JSON_TYPE) {
    return refuse('unsupported', `of content types the bridge takes ${PROTOBUF} and ${JSON_TYPE}`);
  }
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding !== 'identity' && !isCompression(encoding)) {
    return refuse('unsupported', 'of content encodings the bridge takes gzip, deflate and identity');
  }
  const declaredBytes = Number(request.headers['content-length'] ?? 0);
  const away = intake.turnedAway(signal, transport, Math.min(declaredBytes, maxRequestBytes));
  if (away) return answerRefusal(exchange, away);

  const sent = new BodyBuffer(budget, maxRequestBytes);
  const inflated = new BodyBuffer(budget, maxRequestBytes);
  try {
    const read = await readRequest(request, { signal, type, encoding, declaredBytes }, sent, inflated, config.bridge);
    if (read.kind === 'refused') return refuse(read.reason, read.message);
    // The intake counts its bytes from here on.
    sent.release();
    inflated.release();
    const answered = await intake.accept({
      signal,
      transport,
      body: read.body,
      header: admitted.header,
      abandoned: () => response.destroyed,
    });
    if (answered.kind === 'refused') {
      // Its records may still be on their way.
      answerRefusal(exchange, answered);
      return;
    }
    sent.recycle();
    inflated.recycle();
    const { partial } = answered;
    answer(exchange, 200, type, type === JSON_TYPE ? responseToJson(partial) : responseToProtobuf(partial));
  } finally {
    sent.release();
    inflated.release();
  }
}

type ReadRequest =
  | { readonly kind: 'read'; readonly body: Uint8Array }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly message: string };

/** The request as protobuf, inflated. Its bytes lie in one of the two buffers, unless they were converted from JSON. */
async function readRequest(
  request: IncomingMessage,
  {
    signal,
    type,
    encoding,
    declaredBytes,
  }: { signal: Signal; type: string; encoding: Encoding; declaredBytes: number },
  sent: BodyBuffer,
  inflated: BodyBuffer,
  limits: Limits,
): Promise<ReadRequest> {
  const refused = (reason: RefusalReason, message: string): ReadRequest => ({ kind: 'refused', reason, message });
  const refusedFor = (stopped: Exclude<Appended, 'ok'>) =>
    stopped === 'too-large'
      ? refused(
          'too_large',
          `the request exceeds bridge.maxRequestBytes (${limits.maxRequestBytes}): send smaller batches`,
        )
      : refused(
          'queue_full',
          `requests being read and waiting for Kafka have reached bridge.queueBytes (${limits.queueBytes})`,
        );
  const read = await readBody(request, declaredBytes, sent);
  if (read !== 'ok') return refusedFor(read);
  let body = sent.view();
  if (encoding !== 'identity' && body.length > 0) {
    const outcome = await inflate(encoding, body, inflated, limits.maxInflationRatio);
    sent.recycle();
    if (outcome === 'malformed') {
      return refused('malformed', `the body is not ${encoding}, though Content-Encoding says so`);
    }
    if (outcome === 'bomb') return refused('too_large', bombText(limits));
    if (outcome !== 'ok') return refusedFor(outcome);
    body = inflated.view();
  }
  if (type !== JSON_TYPE) return { kind: 'read', body };
  const converted = otlpJsonToProtobuf(signal, body, limits.maxRequestBytes);
  if (converted.kind === 'too-large') return refusedFor('too-large');
  if (converted.kind === 'malformed') {
    return refused('malformed', `the body is no OTLP/JSON ${signal} request: ${converted.reason}`);
  }
  return { kind: 'read', body: converted.body };
}

/**
 * Answers what never becomes a whole request, which Node reports for its connection alone; Node's own answers have no body
 * and would be in no metric. `last` is the last exchange on that connection, done or not.
 */
function refuseUnread(
  code: string | undefined,
  socket: Duplex,
  last: Exchange | undefined,
  { config, intake }: EndpointOptions,
): void {
  const found = faultOf(code, config.bridge);
  const { request, response } = last ?? {};
  // A half request is answered once; behind a whole one that still waits for Kafka nothing may be answered yet.
  const mayAnswer = request === undefined || request.complete === response?.writableEnded;
  // Nobody to tell where the connection broke, or its TLS handshake failed.
  if (!socket.writable || found === null || !mayAnswer) {
    socket.destroy();
    return;
  }
  const [reason, message] = found;
  if (last && !last.request.complete) {
    const signal = SIGNAL_OF_PATH[pathOf(last.request)] ?? null;
    last.response.setHeader('connection', 'close');
    answerRefusal(last, intake.refuse(signal, transportOf(last.request), reason, message));
  } else {
    const body = statusToJson(intake.refuse(null, 'http/protobuf', reason, message));
    const { http } = REFUSALS[reason];
    const head = `HTTP/1.1 ${http} ${STATUS_CODES[http]}\r\nconnection: close\r\ncontent-type: ${JSON_TYPE}`;
    socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroy());
  }
}

/** By node's code; null where there is nobody to be told. */
function faultOf(
  code: string | undefined,
  { headersTimeoutMs, requestTimeoutMs, maxHeaderBytes }: Limits,
): [RefusalReason, string] | null {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const limits = `bridge.headersTimeoutMs (${headersTimeoutMs}), all of it within bridge.requestTimeoutMs (${requestTimeoutMs})`;
    return ['timed_out', `the headers of a request must come within ${limits}`];
  }
  if (code === 'HPE_HEADER_OVERFLOW')
    return ['headers_too_large', `the headers exceed bridge.maxHeaderBytes (${maxHeaderBytes})`];
  return code?.startsWith('HPE_') ? ['malformed', 'this is no HTTP request'] : null;
}

/** Reads until the end, or until `into` takes no more; the rest is then left to `answer`. */
function readBody(request: IncomingMessage, declaredBytes: number, into: BodyBuffer): Promise<Appended> {
  return new Promise((resolve, reject) => {
    if (into.declare(declaredBytes) !== 'ok') return resolve('too-large');
    request.on('data', (chunk: Buffer) => {
      const appended = into.append(chunk);
      if (appended === 'ok') return;
      request.removeAllListeners('data');
      resolve(appended);
    });
    request.once('end', () => resolve('ok'));
    request.once('error', reject);
  });
}

function answerRefusal(exchange: Exchange, refused: Refusal): void {
  const { request, response, admission } = exchange;
  if (refused.reason === 'unauthenticated' && admission.challenge)
    response.setHeader('www-authenticate', admission.challenge);
  if (refused.retryAfterMs !== null) response.setHeader('retry-after', Math.ceil(refused.retryAfterMs / 1_000));
  const asProtobuf = contentType(request) === PROTOBUF;
  answer(
    exchange,
    REFUSALS[refused.reason].http,
    asProtobuf ? PROTOBUF : JSON_TYPE,
    asProtobuf ? statusToProtobuf(refused) : statusToJson(refused),
  );
}

function answer({ request, response, config }: Exchange, status: number, type: string, body: string | Buffer): void {
  const bytes = Buffer.byteLength(body);
  response.writeHead(status, { 'content-type': type, 'content-length': bytes });
  response.end(body);
  if (!request.complete) discardRest(request, config.bridge.maxRequestBytes);
}

/**
 * Reads on without keeping anything, as an exporter that is still sending reads its answer only afterwards, and a socket
 * closed on it would lose that answer. One that goes on beyond another request's worth is cut off.
 */
function discardRest(request: IncomingMessage, maxBytes: number): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxBytes) request.socket.destroy();
  });
}

const pathOf = (request: IncomingMessage): string => request.url!.split('?', 1)[0]!;

function contentType(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
}

const transportOf = (request: IncomingMessage): Transport =>
  contentType(request) === JSON_TYPE ? 'http/json' : 'http/protobuf';

function headerValue(request: IncomingMessage, name: string): Uint8Array | undefined {
  const value = request.headers[name];
  if (value === undefined) return undefined;
  // Node hands header bytes over as Latin-1.
  return Buffer.from(Array.isArray(value) ? value.join(', ') : value, 'latin1');
}
