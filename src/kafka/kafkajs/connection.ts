/** Settings -> what every connection of the adapter has in common: addresses, TLS, SASL, sockets. */
import { readFile } from 'node:fs/promises';
import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { Config } from '../../config.ts';
import { WeirError } from '../../errors.ts';
import type { BrokerAddress, LinkSettings, OpenSocket } from './link.ts';
import { oauthLogin } from './oauth.ts';
import { asError } from './outcomes.ts';

const KEEP_ALIVE_DELAY_MS = 30_000;
const DEFAULT_PORT = 9092;

export async function linkSettings(config: Config['kafka'], log: Logger): Promise<LinkSettings> {
  return {
    clientId: config.clientId,
    connectTimeoutMs: config.connectTimeoutMs,
    requestTimeoutMs: config.requestTimeoutMs,
    ssl: config.tls.enabled ? await tlsOptions(config.tls) : null,
    sasl: config.sasl ? saslOptions(config.sasl, config.connectTimeoutMs) : null,
    openSocket,
    log,
  };
}

/** `HOST:PORT[,HOST:PORT…]`; an IPv6 address stands in brackets. */
export function brokerAddresses(brokers: string): BrokerAddress[] {
  return brokers
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map((entry) => {
      const match = /^(?:\[([^\]]+)\]|([^:\]]+))(?::(\d{1,5}))?$/.exec(entry);
      const host = match?.[1] ?? match?.[2];
      const port = Number(match?.[3] ?? DEFAULT_PORT);
      if (!host || port < 1 || port > 65_535) {
        throw new WeirError('CONFIG_INVALID', `kafka.brokers: found "${entry}", allowed is HOST:PORT[,HOST:PORT…].`);
      }
      return { host, port };
    });
}

const openSocket: OpenSocket = ({ host, port, ssl, onConnect }, incoming): Socket => {
  const socket = ssl
    ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...(ssl as ConnectionOptions) }, onConnect)
    : connect({ host, port, onread: incoming.onread }, onConnect);
  incoming.from(socket);
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
  // A request is one write; holding its tail back for an acknowledgement costs up to 40 ms.
  socket.setNoDelay(true);
  return socket;
};

/** Files are read and checked once, here, and not at each connection. */
async function tlsOptions(tls: Config['kafka']['tls']): Promise<ConnectionOptions> {
  const { caFile, certFile, keyFile, serverName } = tls;
  const ca = caFile && (await fileOf('kafka.tls.caFile', caFile));
  const cert = certFile && (await fileOf('kafka.tls.certFile', certFile));
  const key = keyFile && (await fileOf('kafka.tls.keyFile', keyFile));
  // Node takes an authority's file without a certificate for one that lists none, and then trusts nobody.
  if (ca && !ca.includes('-----BEGIN')) throw unusable('kafka.tls.caFile', caFile, 'it holds no certificate in PEM');
  if (ca) usable('kafka.tls.caFile', caFile, () => createSecureContext({ ca }));
  if (cert) usable('kafka.tls.certFile', certFile, () => createSecureContext({ cert }));
  if (key) usable('kafka.tls.keyFile', keyFile, () => createSecureContext({ ...(cert && { cert }), key }));
  const secureContext = createSecureContext({ ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) });
  return { secureContext, ...(serverName && { servername: serverName }) };
}

function usable(key: string, path: string | undefined, use: () => void): void {
  try {
    use();
  } catch (cause) {
    // OpenSSL's own text has source lines in it; the reason alone says it.
    throw unusable(key, path, (cause as { reason?: string }).reason ?? asError(cause).message, cause);
  }
}

const unusable = (key: string, path: string | undefined, why: string, cause?: unknown) =>
  new WeirError('CONFIG_INVALID', `${key}: ${path} cannot be used (${why}).`, { cause });

async function fileOf(key: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new WeirError('CONFIG_INVALID', `${key}: cannot read ${path} (${asError(cause).message}).`, { cause });
  }
}

function saslOptions(sasl: NonNullable<Config['kafka']['sasl']>, connectTimeoutMs: number): object {
  // A token endpoint gives up before the connection does, so that it is known which of the two does not answer.
  return sasl.mechanism === 'oauthbearer' ? oauthLogin(sasl, Math.ceil(connectTimeoutMs * 0.8)) : { ...sasl };
}
