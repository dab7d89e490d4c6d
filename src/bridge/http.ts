/**
 * OTLP/HTTP: POST /v1/traces, /v1/metrics, /v1/logs as application/x-protobuf or application/json, gzip or not.
 * On node:http, as there are three routes and a body that is bytes.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzip } from 'node:zlib';
import type { Signal } from '../signals.ts';
import type { Intake, Transport } from './intake.ts';
import { type Endpoint, type EndpointOptions, listenError } from './listen.ts';
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

/** A request, headers and body, must have come within these: slow senders must not hold sockets for ever. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** Longer than the interval at which exporters usually send, so that they keep their connection. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;

export async function startHttp({ host, port, maxRequestBytes, intake }: EndpointOptions): Promise<Endpoint> {
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS },
    (request, response) => {
      const exchange: Exchange = { request, response, intake, maxRequestBytes };
      serve(exchange).catch((error: unknown) => {
        if (response.destroyed) return; // the exporter went away while its body was read: nobody to answer
        answerRefusal(exchange, intake.bug(null, transportOf(request), error));
      });
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(cause, host, port, '--http-port')));
    server.listen({ host, port }, resolve);
  });
  const bracketed = host.includes(':') ? `[${host}]` : host;
  return {
    address: `${bracketed}:${(server.address() as AddressInfo).port}`,
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

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly intake: Intake;
  readonly maxRequestBytes: number;
}

async function serve(exchange: Exchange): Promise<void> {
  const { request, response, intake, maxRequestBytes } = exchange;
  const transport = transportOf(request);
  const path = request.url!.split('?', 1)[0]!;
  const signal = SIGNAL_OF_PATH[path] ?? null;
  const refuse = (reason: RefusalReason, message: string) =>
    answerRefusal(exchange, intake.refuse(signal, transport, reason, message));

  if (signal === null)
    return refuse('not_found', `nothing is served here; POST to ${Object.keys(SIGNAL_OF_PATH).join(', ')}`);
  if (request.method !== 'POST') {
    response.setHeader('allow', 'POST');
    return refuse('wrong_method', `${path} takes POST only`);
  }
  const type = contentType(request);
  if (type !== PROTOBUF && type !== JSON_TYPE) {
    return refuse('unsupported', `of content types the bridge takes ${PROTOBUF} and ${JSON_TYPE}`);
  }
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding !== 'gzip' && encoding !== 'identity') {
    return refuse('unsupported', 'of content encodings the bridge takes gzip and identity');
  }
  const declaredBytes = Number(request.headers['content-length'] ?? 0);
  const tooLarge = () =>
    refuse('too_large', `the request exceeds bridge.maxRequestBytes (${maxRequestBytes}): send smaller batches`);
  if (declaredBytes > maxRequestBytes) return tooLarge();
  const away = intake.turnedAway(signal, transport, declaredBytes);
  if (away) return answerRefusal(exchange, away);

  const sent = await readBody(request, maxRequestBytes);
  if (sent === null) return tooLarge();
  let body: Uint8Array = sent;
  if (encoding === 'gzip' && sent.length > 0) {
    const inflated = await inflate(sent, maxRequestBytes);
    if (inflated === 'too-large') return tooLarge();
    if (inflated === 'malformed') return refuse('malformed', 'the body is not gzip, though Content-Encoding says so');
    body = inflated;
  }
  if (type === JSON_TYPE) {
    const converted = otlpJsonToProtobuf(signal, body, maxRequestBytes);
    if (converted.kind === 'too-large') return tooLarge();
    if (converted.kind === 'malformed') {
      return refuse('malformed', `the body is no OTLP/JSON ${signal} request: ${converted.reason}`);
    }
    body = converted.body;
  }
  const answered = await intake.accept({
    signal,
    transport,
    body,
    header: (name) => headerValue(request, name),
    abandoned: () => response.destroyed,
  });
  if (answered.kind === 'refused') return answerRefusal(exchange, answered);
  const { partial } = answered;
  answer(exchange, 200, type, type === JSON_TYPE ? responseToJson(partial) : responseToProtobuf(partial));
}

/** null: more than `maxBytes`; the rest is then left to `answer`. */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        chunks.length = 0;
        request.removeAllListeners('data');
        resolve(null);
      } else {
        chunks.push(chunk);
      }
    });
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)));
    request.once('error', reject);
  });
}

/** Stops at `maxBytes` without inflating the rest. */
function inflate(body: Buffer, maxBytes: number): Promise<Buffer | 'too-large' | 'malformed'> {
  return new Promise((resolve) => {
    gunzip(body, { maxOutputLength: maxBytes }, (error, inflated) => {
      if (!error) resolve(inflated);
      else resolve('code' in error && error.code === 'ERR_BUFFER_TOO_LARGE' ? 'too-large' : 'malformed');
    });
  });
}

function answerRefusal(exchange: Exchange, refused: Refusal): void {
  const { request, response } = exchange;
  if (refused.retryAfterMs !== null) response.setHeader('retry-after', Math.ceil(refused.retryAfterMs / 1_000));
  const asProtobuf = contentType(request) === PROTOBUF;
  answer(
    exchange,
    REFUSALS[refused.reason].http,
    asProtobuf ? PROTOBUF : JSON_TYPE,
    asProtobuf ? statusToProtobuf(refused) : statusToJson(refused),
  );
}

function answer(
  { request, response, maxRequestBytes }: Exchange,
  status: number,
  type: string,
  body: string | Buffer,
): void {
  const bytes = Buffer.byteLength(body);
  response.writeHead(status, { 'content-type': type, 'content-length': bytes });
  response.end(body);
  if (!request.complete) discardRest(request, maxRequestBytes);
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
