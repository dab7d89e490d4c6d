/** Settings -> what every connection of the adapter has in common: addresses, TLS, SASL, sockets. */
import { readFile } from 'node:fs/promises';
import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { Logger } from 'pino';
import { request } from 'undici';
import type { Config } from '../../config.ts';
import { WeirError } from '../../errors.ts';
import type { SocketFactory } from './internals.ts';
import type { BrokerAddress, LinkSettings } from './link.ts';
import { asError } from './outcomes.ts';

const KEEP_ALIVE_DELAY_MS = 30_000;
const DEFAULT_PORT = 9092;
/** A token is fetched anew this long before it ends. */
const TOKEN_MARGIN_MS = 30_000;

export async function linkSettings(config: Config['kafka'], log: Logger): Promise<LinkSettings> {
  return {
    clientId: config.clientId,
    connectTimeoutMs: config.connectTimeoutMs,
    requestTimeoutMs: config.requestTimeoutMs,
    ssl: config.tls.enabled ? await tlsOptions(config.tls) : null,
    sasl: config.sasl ? saslOptions(config.sasl) : null,
    socketFactory: openSocket,
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

const openSocket: SocketFactory = ({ host, port, ssl, onConnect }): Socket => {
  const socket = ssl
    ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...(ssl as ConnectionOptions) }, onConnect)
    : connect({ host, port }, onConnect);
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
  // A request is one write; holding its tail back for an acknowledgement costs up to 40 ms.
  socket.setNoDelay(true);
  return socket;
};

async function tlsOptions(tls: Config['kafka']['tls']): Promise<ConnectionOptions> {
  return {
    ...(tls.caFile && { ca: await fileOf('kafka.tls.caFile', tls.caFile) }),
    ...(tls.certFile && { cert: await fileOf('kafka.tls.certFile', tls.certFile) }),
    ...(tls.keyFile && { key: await fileOf('kafka.tls.keyFile', tls.keyFile) }),
    ...(tls.serverName && { servername: tls.serverName }),
  };
}

async function fileOf(key: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new WeirError('CONFIG_INVALID', `${key}: cannot read ${path} (${asError(cause).message}).`, { cause });
  }
}

function saslOptions(sasl: NonNullable<Config['kafka']['sasl']>): object {
  if (sasl.mechanism !== 'oauthbearer') return { ...sasl };
  return { mechanism: 'oauthbearer', oauthBearerProvider: tokenProvider(sasl) };
}

type OauthConfig = Extract<NonNullable<Config['kafka']['sasl']>, { mechanism: 'oauthbearer' }>;

/** A file is read at each use, for whoever renews it; a granted token is kept until shortly before its end. */
function tokenProvider(oauth: OauthConfig): () => Promise<{ value: string }> {
  const { tokenFile, tokenEndpoint, clientId, clientSecret, scope } = oauth;
  if (tokenFile) return async () => ({ value: (await fileOf('kafka.sasl.tokenFile', tokenFile)).trim() });
  if (!tokenEndpoint || !clientId || !clientSecret) {
    throw new WeirError(
      'CONFIG_INVALID',
      'kafka.sasl: oauthbearer needs either tokenFile, or tokenEndpoint with clientId and clientSecret.',
    );
  }
  let kept: { value: string; until: number } | undefined;
  let asking: Promise<{ value: string }> | undefined;
  const ask = async () => {
    const granted = await clientCredentials(tokenEndpoint, clientId, clientSecret, scope);
    kept = { value: granted.token, until: performance.now() + granted.lifetimeMs - TOKEN_MARGIN_MS };
    return kept;
  };
  return async () => {
    if (kept && performance.now() < kept.until) return kept;
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
}

/** RFC 6749, section 4.4; the client authenticates by HTTP Basic, section 2.3.1. */
async function clientCredentials(
  endpoint: string,
  clientId: string,
  clientSecret: string,
  scope: string | undefined,
): Promise<{ token: string; lifetimeMs: number }> {
  const credentials = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`;
  const response = await request(endpoint, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope && { scope }) }).toString(),
  });
  const text = await response.body.text();
  if (response.statusCode !== 200) {
    throw new WeirError(
      'KAFKA_AUTH',
      `the token endpoint ${endpoint} answers ${response.statusCode}. Check kafka.sasl.`,
    );
  }
  const granted = JSON.parse(text) as { access_token?: unknown; expires_in?: unknown };
  if (typeof granted.access_token !== 'string') {
    throw new WeirError('KAFKA_AUTH', `the token endpoint ${endpoint} answers without an access_token.`);
  }
  const seconds = typeof granted.expires_in === 'number' ? granted.expires_in : 300;
  return { token: granted.access_token, lifetimeMs: seconds * 1000 };
}
