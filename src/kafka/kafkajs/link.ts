/**
 * One connection to one broker. A link is used until its first trouble and then thrown away, its socket destroyed: what
 * was half read or half sent on it must never meet what comes after, and a request that ran out of time must not reach
 * the broker later. A new link takes its place at the next use.
 */
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { WeirError } from '../../errors.ts';
import {
  type ApiVersions,
  type Broker,
  type Connection,
  ConnectionPool,
  isKafkajsError,
  KafkajsBroker,
  type KafkajsLogger,
  type Protocol,
  type SocketFactory,
} from './internals.ts';
import { asError, ConnectionFault } from './outcomes.ts';
import { type Allocate, Incoming, Wire } from './wire.ts';

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
}

/** The bytes of the socket go to `incoming`. */
export type OpenSocket = (...args: [...Parameters<SocketFactory>, incoming: Incoming]) => Socket;

export interface LinkSettings {
  readonly clientId: string;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly ssl: object | null;
  readonly sasl: object | null;
  readonly openSocket: OpenSocket;
  readonly log: Logger;
}

/** A connection about to outlive its SASL session (KIP-368) is replaced this long before. */
const REAUTHENTICATE_BEFORE_MS = 10_000;
const NEVER_MS = 2 ** 31 - 1;

export class Link {
  readonly address: BrokerAddress;
  readonly #settings: LinkSettings;
  readonly #broker: Broker;
  readonly #connection: Connection;
  readonly #incoming = new Incoming();
  /** Takes the socket over from kafkajs once the broker has let this client in. */
  #wire: Wire | undefined;
  #broken: ConnectionFault | undefined;
  #pending = 0;
  #onIdle: (() => void) | undefined;

  private constructor(address: BrokerAddress, settings: LinkSettings) {
    this.address = address;
    this.#settings = settings;
    const logger = quietLogger(settings.log);
    const pool = new ConnectionPool({
      ...address,
      clientId: settings.clientId,
      ssl: settings.ssl,
      sasl: settings.sasl,
      logger,
      socketFactory: (at) => settings.openSocket(at, this.#incoming),
      connectionTimeout: settings.connectTimeoutMs,
      // Time limits are this class's: kafkajs would forget the request and go on with the connection.
      requestTimeout: NEVER_MS,
      enforceRequestTimeout: false,
      maxInFlightRequests: null,
      reauthenticationThreshold: REAUTHENTICATE_BEFORE_MS,
    });
    this.#connection = pool.pool[0]!;
    // Only the first requests are kafkajs's, and a broker that wants fewer of them reads them later (KIP-219).
    this.#connection.requestQueue.scheduleCheckPendingRequests = () => undefined;
    this.#broker = new KafkajsBroker({
      connectionPool: pool,
      logger,
      authenticationTimeout: settings.connectTimeoutMs,
    });
  }

  /** Throws ConnectionFault (nobody answers) or WeirError KAFKA_AUTH (TLS or SASL says no). */
  static async open(address: BrokerAddress, settings: LinkSettings): Promise<Link> {
    const link = new Link(address, settings);
    try {
      await within(
        settings.connectTimeoutMs,
        () => new OutOfTime(`no answer within ${settings.connectTimeoutMs} ms`),
        link.#broker.connect(),
      );
      link.#takeOver();
      return link;
    } catch (cause) {
      link.destroy(asError(cause));
      if (isAuthentication(cause)) throw authenticationError(address, settings, cause);
      throw new ConnectionFault(`cannot connect to ${address.host}:${address.port}: ${asError(cause).message}`, {
        sent: false,
        cause,
      });
    }
  }

  #takeOver(): void {
    const { socket } = this.#connection;
    if (!socket || socket.destroyed) throw new Error('the broker closed the connection');
    this.#wire = new Wire(socket, this.#settings.clientId, (error) => this.#fail(error));
    this.#incoming.attach(this.#wire);
    socket.on('end', () => this.#fail(new Error('the broker closed the connection')));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  #fail(cause: Error): void {
    this.destroy(new ConnectionFault(cause.message, { sent: true, cause }));
  }

  get usable(): boolean {
    const connection = this.#connection;
    return !this.#broken && this.#wire !== undefined && (!connection.sasl || connection.isAuthenticated());
  }

  get versions(): ApiVersions {
    return this.#broker.versions ?? {};
  }

  /**
   * The decoded answer, its error codes not yet looked at. Throws ConnectionFault when there is none. `allocate` says where
   * the answer's bytes go, which its views then lie in.
   */
  async request<D>(
    protocol: Protocol<D>,
    timeoutMs = this.#settings.requestTimeoutMs,
    allocate?: Allocate,
  ): Promise<D> {
    const { apiName } = protocol.request;
    const { host, port } = this.address;
    this.#pending++;
    try {
      return await within(
        timeoutMs,
        () => new OutOfTime(`no answer to ${apiName} within ${timeoutMs} ms`),
        this.#exchange(protocol, allocate),
      );
    } catch (cause) {
      if (cause instanceof ConnectionFault && !cause.sent) throw cause;
      const fault = new ConnectionFault(`${host}:${port}, ${apiName}: ${asError(cause).message}`, {
        sent: true,
        cause,
      });
      // Whatever it was, a wrong answer included: the state of this connection is not known any more.
      this.destroy(fault);
      // Neither the connection nor the broker, so it is a bug, and no reason to try again.
      if (!isKafkajsError(cause) && !(cause instanceof ConnectionFault) && !(cause instanceof OutOfTime)) throw cause;
      throw fault;
    } finally {
      this.#pending--;
      if (this.#pending === 0) this.#onIdle?.();
    }
  }

  async #exchange<D>({ request, decode }: Protocol<D>, allocate: Allocate | undefined): Promise<D> {
    const body = request.encode();
    const pieces = body instanceof Promise ? [(await body).buffer] : body;
    if (this.#broken || !this.#wire) {
      throw new ConnectionFault(this.#broken?.message ?? 'not connected', { sent: false, cause: this.#broken });
    }
    const answer = await this.#wire.send(request, pieces, allocate);
    return decode(answer);
  }

  /** Fails what is pending; nothing that was not yet written to the socket will be. */
  destroy(cause: Error): void {
    if (this.#broken) return;
    this.#broken = cause instanceof ConnectionFault ? cause : new ConnectionFault(cause.message, { sent: true, cause });
    const { requestQueue, socket } = this.#connection;
    requestQueue.rejectAll(this.#broken);
    this.#wire?.close(this.#broken);
    socket?.destroy();
    // Only sets kafkajs's own state: there is nothing left to wait for.
    this.#connection.disconnect().catch((error) => this.#settings.log.debug({ err: error }, 'closing a connection'));
  }

  /** Lets pending requests end first. */
  async close(): Promise<void> {
    if (this.#pending > 0 && !this.#broken) {
      await within(
        this.#settings.connectTimeoutMs,
        () => new OutOfTime('requests are still pending'),
        new Promise<void>((resolve) => {
          this.#onIdle = resolve;
        }),
      ).catch((error) => this.destroy(asError(error)));
    }
    this.destroy(new ConnectionFault('closed', { sent: false }));
  }
}

class OutOfTime extends Error {}

async function within<T>(timeoutMs: number, onTimeout: () => Error, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(onTimeout()), timeoutMs);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

/** Everything that kafkajs logs also reaches the caller as an error, who knows whether it is one. */
function quietLogger(log: Logger): KafkajsLogger {
  const debug = (message: string, extra?: object) => {
    if (log.isLevelEnabled('trace')) log.trace(extra ?? {}, `kafkajs: ${message}`);
  };
  const logger: KafkajsLogger = {
    namespace: () => logger,
    setLogLevel: () => {},
    debug,
    info: debug,
    warn: debug,
    error: debug,
  };
  return logger;
}

const TLS_CODES = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO|HOSTNAME_MISMATCH|ERR_OSSL)/;

function isAuthentication(thrown: unknown): boolean {
  const error = thrown as { name?: string; type?: string; code?: unknown; cause?: unknown };
  return (
    error instanceof WeirError ||
    error.name === 'KafkaJSSASLAuthenticationError' ||
    /SASL/.test(error.type ?? '') ||
    (typeof error.code === 'string' && TLS_CODES.test(error.code))
  );
}

function authenticationError(address: BrokerAddress, settings: LinkSettings, cause: unknown): WeirError {
  if (cause instanceof WeirError) return cause;
  const at = `${address.host}:${address.port}`;
  const { code } = cause as { code?: unknown };
  if (typeof code === 'string') {
    const { why, todo } = tlsRefusal(code, asError(cause).message);
    return new WeirError('KAFKA_AUTH', `the TLS handshake with broker ${at} failed (${why}). ${todo}.`, { cause });
  }
  if ((cause as { type?: unknown }).type === 'ILLEGAL_SASL_STATE') {
    return new WeirError(
      'KAFKA_AUTH',
      `broker ${at} takes no SASL on this listener, and kafka.sasl is set. Remove kafka.sasl, or name the listener for it in kafka.brokers (--kafka).`,
      { cause },
    );
  }
  const todo = `Check kafka.sasl${settings.ssl ? '' : ' and kafka.tls.enabled'}`;
  return new WeirError(
    'KAFKA_AUTH',
    `broker ${at} refuses the SASL credentials (${asError(cause).message}). ${todo}.`,
    { cause },
  );
}

/** By the code of Node's or OpenSSL's error; an alert is what the broker says of this side. */
function tlsRefusal(code: string, message: string): { why: string; todo: string } {
  if (/ALTNAME|HOSTNAME/.test(code)) {
    return {
      why: message.replace(/^Connection error: /, ''),
      todo: 'Where the certificate names another host, set kafka.tls.serverName to that name',
    };
  }
  // OpenSSL's own text has addresses and source lines in it.
  const why = code
    .replace(/^ERR_SSL_/, '')
    .replaceAll('_', ' ')
    .toLowerCase();
  if (/ALERT.*(CERTIFICATE|CA$)/.test(code)) {
    return {
      why,
      todo: 'The broker wants another client certificate than it got: check kafka.tls.certFile and kafka.tls.keyFile',
    };
  }
  if (/^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|CERT_)/.test(code)) {
    return {
      why: message.replace(/^Connection error: /, ''),
      todo: "Check that kafka.tls.caFile holds the authority of the broker's certificate",
    };
  }
  return { why, todo: 'Check kafka.tls, and that the broker speaks TLS on this port' };
}
