/**
 * One gRPC connection over its life: what is cut off because it never says hello, leaves, pings too often, or is dead, and what
 * is closed in good order because it has been idle. One sweep over all connections looks at the clock, so that no request
 * needs a timer of its own.
 */
import { constants, type ServerHttp2Session } from 'node:http2';
import type { Config } from '../config.ts';
import type { GrpcCall } from './grpc-call.ts';

export type SessionLimits = Pick<
  Config['bridge'],
  'headersTimeoutMs' | 'requestTimeoutMs' | 'idleTimeoutMs' | 'keepAliveMs' | 'keepAliveTimeoutMs' | 'minPingIntervalMs'
>;

/** Of the whole connection. nghttp2's 64 KiB make a client wait for the bridge once in each of them. */
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Pings that come too early before a client is cut off, as in other gRPC servers. */
const MAX_PING_STRIKES = 2;
/** What grpc clients look for when they are cut off: they then ping less often. */
const TOO_MANY_PINGS = Buffer.from('too_many_pings');

export class GrpcSession {
  readonly calls = new Set<GrpcCall>();
  readonly #session: ServerHttp2Session;
  readonly #limits: SessionLimits;
  #greeted = false;
  #heard = false;
  #heardAt = performance.now();
  #lastCallAt = performance.now();
  #pingSentAt: number | null = null;
  #pingReceivedAt = Number.NEGATIVE_INFINITY;
  #pingStrikes = 0;
  #closingAt: number | null = null;

  constructor(session: ServerHttp2Session, limits: SessionLimits) {
    this.#session = session;
    this.#limits = limits;
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    session.once('remoteSettings', () => {
      this.#greeted = true;
    });
    session.on('ping', () => this.#pinged());
    // What breaks a connection is told to its calls by their own ends.
    session.on('error', () => undefined);
  }

  began(call: GrpcCall): void {
    this.calls.add(call);
    this.#heard = true;
  }

  ended(call: GrpcCall): void {
    this.calls.delete(call);
    this.#lastCallAt = performance.now();
    // An answer has gone out: a client may ask whether the connection still stands.
    this.#pingStrikes = 0;
    this.#pingReceivedAt = Number.NEGATIVE_INFINITY;
  }

  sweep(now: number): void {
    const { headersTimeoutMs, requestTimeoutMs, idleTimeoutMs, keepAliveTimeoutMs } = this.#limits;
    for (const call of this.calls) call.expire(now, requestTimeoutMs);
    if (this.#heard) this.#heardAt = now;
    this.#heard = false;
    const idle = this.calls.size === 0 && now - this.#lastCallAt > idleTimeoutMs;
    const mute = !this.#greeted && now - this.#lastCallAt > headersTimeoutMs;
    const dead = this.#pingSentAt !== null && now - this.#pingSentAt > keepAliveTimeoutMs;
    const lingers = this.#closingAt !== null && now - this.#closingAt > keepAliveTimeoutMs;
    if (mute || dead || lingers) this.#session.destroy();
    else if (idle && this.#closingAt === null) this.close(now);
    else this.#askWhetherAlive(now);
  }

  /** GOAWAY: calls that are open go on, others are made on another connection. */
  close(now: number): void {
    this.#closingAt = now;
    this.#session.close();
  }

  destroy(): void {
    this.#session.destroy();
  }

  #askWhetherAlive(now: number): void {
    if (this.#pingSentAt !== null || now - this.#heardAt < this.#limits.keepAliveMs || this.#session.destroyed) return;
    this.#pingSentAt = now;
    this.#session.ping((error) => {
      this.#pingSentAt = null;
      if (!error) this.#heard = true;
    });
  }

  #pinged(): void {
    this.#heard = true;
    const now = performance.now();
    const early = now - this.#pingReceivedAt < this.#limits.minPingIntervalMs;
    this.#pingReceivedAt = now;
    if (!early) return;
    this.#pingStrikes++;
    if (this.#pingStrikes <= MAX_PING_STRIKES) return;
    this.#session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, TOO_MANY_PINGS);
    // After what is queued has gone out, GOAWAY included.
    setImmediate(() => this.#session.destroy());
  }
}
