/**
 * One call on a stream of node:http2: its message in, its answer out, and whatever can go wrong between. What a call is for
 * is its method's business; here it is a unary request with one answer or, for Watch, several.
 *
 * The bridge serves gRPC on node:http2 and not on grpc-js's server: receiving costs a third less, and here it can refuse a
 * request by its headers, bound what is read over all connections, and cut off who sends too slowly or pings too often.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { BodyBuffer } from './body-buffer.ts';
import type { ByteBudget } from './byte-budget.ts';
import { framed, MessageReader } from './grpc-message.ts';
import { DEADLINE_EXCEEDED, type GrpcStatus, OK, statusHeaders, timeoutMs } from './grpc-status.ts';
import { COMPRESSIONS, type Compression, inflate, isCompression } from './inflate.ts';

/** What the transport finds wrong with a request. */
export type GrpcFault =
  | 'too-large'
  | 'no-room'
  | 'malformed'
  | 'bomb'
  | 'misframed'
  | 'unknown-compression'
  | 'bad-timeout'
  | 'timed-out';

export type Admittance =
  | { readonly kind: 'refused'; readonly status: GrpcStatus }
  /** `serve` gets the message, decompressed. It ends the call, now or later, and releases `body`. */
  | { readonly kind: 'admitted'; readonly serve: (body: BodyBuffer) => void };

export interface GrpcMethod {
  readonly maxMessageBytes: number;
  /** Before the message is read. */
  admit(call: GrpcCall): Admittance;
  /** The status for a fault, which is counted there. */
  fault(fault: GrpcFault): GrpcStatus;
}

export interface CallOptions {
  readonly method: GrpcMethod;
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly budget: ByteBudget;
  /** Of bytes decompressed to compressed, see `inflate`. */
  readonly maxInflationRatio: number;
  /** Its connection has shown a client certificate that is trusted. */
  readonly certified: boolean;
  readonly onEnd: (call: GrpcCall) => void;
}

const CONTENT_TYPE = 'application/grpc';
const ACCEPT_ENCODING = ['identity', ...COMPRESSIONS].join(',');
const HEAD = { ':status': 200, 'content-type': CONTENT_TYPE, 'grpc-accept-encoding': ACCEPT_ENCODING };

export class GrpcCall {
  readonly headers: IncomingHttpHeaders;
  readonly certified: boolean;
  readonly startedAt = performance.now();
  readonly #stream: ServerHttp2Stream;
  readonly #method: GrpcMethod;
  readonly #budget: ByteBudget;
  readonly #maxInflationRatio: number;
  readonly #reader: MessageReader;
  readonly #onEnd: (call: GrpcCall) => void;
  #deadlineAt = Number.POSITIVE_INFINITY;
  #state: 'reading' | 'serving' | 'ended' = 'reading';
  #status: GrpcStatus = OK;

  constructor({ method, stream, headers, budget, maxInflationRatio, certified, onEnd }: CallOptions) {
    this.headers = headers;
    this.certified = certified;
    this.#stream = stream;
    this.#method = method;
    this.#budget = budget;
    this.#maxInflationRatio = maxInflationRatio;
    this.#reader = new MessageReader(budget, method.maxMessageBytes);
    this.#onEnd = onEnd;
  }

  start(): void {
    const stream = this.#stream;
    // Nothing to be done about a broken stream but to forget it, which 'close' does.
    stream.on('error', () => undefined);
    stream.once('close', () => this.#ended());
    const timeout = timeoutMs(this.headers['grpc-timeout'] as string | undefined);
    if (timeout === null) {
      this.#fail('bad-timeout');
      return;
    }
    this.#deadlineAt = this.startedAt + timeout;
    const encoding = this.#encoding();
    if (encoding !== 'identity' && !isCompression(encoding)) {
      this.#fail('unknown-compression');
      return;
    }
    const admittance = this.#method.admit(this);
    if (admittance.kind === 'refused') {
      this.end(admittance.status);
      return;
    }
    stream.on('data', (chunk: Buffer) => {
      if (this.#state !== 'reading') return;
      const pushed = this.#reader.push(chunk);
      if (pushed !== 'ok') this.#fail(pushed);
    });
    stream.once('end', () => {
      // A stream that was reset ends too, but was not ended by its client.
      if (this.#state === 'reading' && !stream.aborted) this.#read(admittance.serve);
    });
  }

  /** The exporter is gone, or does not wait any more. */
  get abandoned(): boolean {
    return this.#state === 'ended' || this.#stream.destroyed || performance.now() > this.#deadlineAt;
  }

  /** Ends the call where its time, or the time to send its request in, is over. */
  expire(now: number, requestTimeoutMs: number): void {
    const overdue = now > this.#deadlineAt;
    if (this.#state === 'reading' && (overdue || now - this.startedAt > requestTimeoutMs)) this.#fail('timed-out');
    // What has become of it is counted by whoever serves it.
    if (overdue) this.end(DEADLINE_EXCEEDED);
  }

  send(message: Uint8Array): void {
    if (this.#state === 'ended' || this.#stream.destroyed) return;
    this.#sendHead();
    this.#stream.write(framed(message));
  }

  /** With the last message, if there is one. A call that has ended stays as it ended. */
  end(status: GrpcStatus, message?: Uint8Array): void {
    const stream = this.#stream;
    if (this.#state === 'ended') return;
    const unread = this.#state === 'reading' && !stream.readableEnded;
    this.#ended();
    if (stream.destroyed || stream.closed) return;
    this.#status = status;
    if (message !== undefined) {
      this.#sendHead();
      stream.end(framed(message));
    } else if (stream.headersSent) {
      stream.end();
    } else {
      stream.respond({ ...HEAD, ...statusHeaders(status) }, { endStream: true });
    }
    // Answered before all was read: the client is told to send no more (RFC 9113, 8.1).
    if (unread) stream.close(constants.NGHTTP2_NO_ERROR);
  }

  #sendHead(): void {
    const stream = this.#stream;
    if (stream.headersSent) return;
    stream.respond(HEAD, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers(statusHeaders(this.#status)));
  }

  #fail(fault: GrpcFault): void {
    if (this.#state !== 'ended') this.end(this.#method.fault(fault));
  }

  #encoding(): string {
    return ((this.headers['grpc-encoding'] as string | undefined) ?? 'identity').toLowerCase();
  }

  #read(serve: (body: BodyBuffer) => void): void {
    const { body, compressed, whole } = this.#reader;
    const encoding = this.#encoding();
    if (!whole || (compressed && !isCompression(encoding))) {
      this.#fail('misframed');
      return;
    }
    this.#state = 'serving';
    if (compressed) void this.#inflate(encoding as Compression, body, serve);
    else serve(body);
  }

  async #inflate(compression: Compression, body: BodyBuffer, serve: (body: BodyBuffer) => void): Promise<void> {
    const inflated = new BodyBuffer(this.#budget, this.#method.maxMessageBytes);
    const outcome = await inflate(compression, body.view(), inflated, this.#maxInflationRatio);
    body.recycle();
    if (outcome === 'ok' && this.#state === 'serving') {
      serve(inflated);
      return;
    }
    inflated.recycle();
    if (outcome !== 'ok') this.#fail(outcome);
  }

  #ended(): void {
    if (this.#state === 'ended') return;
    // What is being inflated or served is released by whoever does that.
    if (this.#state === 'reading') this.#reader.body.recycle();
    this.#state = 'ended';
    this.#onEnd(this);
  }
}

/** The value of a request header, several joined; binary ones (`-bin`) decoded. */
export function metadataValue(headers: IncomingHttpHeaders, name: string): Uint8Array | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  const text = Array.isArray(value) ? value.join(', ') : value;
  // Node hands header bytes over as Latin-1.
  return name.endsWith('-bin') ? Buffer.from(text, 'base64') : Buffer.from(text, 'latin1');
}

/** `application/grpc`, with +proto or parameters; not application/grpc-web. */
export function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(\+proto)?\s*(;|$)/i.test(contentType);
}
