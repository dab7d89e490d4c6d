/**
 * SASL/OAUTHBEARER (RFC 7628): where the token comes from, and the log-in with it. kafkajs's own log-in takes the broker's
 * answer to a bad token for a success.
 */
import { readFile } from 'node:fs/promises';
import type { Config } from '../../config.ts';
import { WeirError } from '../../errors.ts';
import { asError } from './outcomes.ts';

export type OauthConfig = Extract<NonNullable<Config['kafka']['sasl']>, { mechanism: 'oauthbearer' }>;

/** What a kafkajs connection calls to log in. */
export interface OauthLogin {
  readonly mechanism: 'oauthbearer';
  readonly oauthBearerProvider: () => Promise<{ value: string }>;
  authenticationProvider(connection: SaslConnection): { authenticate(): Promise<void> };
}

interface SaslConnection {
  readonly host: string;
  readonly port: number;
  saslAuthenticate<D>(exchange: {
    request: { encode(): Promise<Buffer> };
    response: { decode(bytes: Buffer): Promise<Buffer>; parse(message: Buffer): Promise<D> };
  }): Promise<D>;
}

/** A token is fetched anew this long before it ends. */
const TOKEN_MARGIN_MS = 30_000;
const DEFAULT_LIFETIME_SECONDS = 300;
const LENGTH_BYTES = 4;
const CHALLENGE_SHOWN = 200;

/** `timeoutMs` bounds a request to the token endpoint. */
export function oauthLogin(oauth: OauthConfig, timeoutMs: number): OauthLogin {
  const oauthBearerProvider = tokenProvider(oauth, timeoutMs);
  return {
    mechanism: 'oauthbearer',
    oauthBearerProvider,
    authenticationProvider: (connection) => ({
      authenticate: async () => logIn(connection, (await oauthBearerProvider()).value),
    }),
  };
}

/**
 * Section 3.2.2: a server that refuses the token answers with a challenge that says why, and fails only once that is
 * answered. A good token is answered with nothing.
 */
async function logIn({ host, port, saslAuthenticate }: SaslConnection, token: string): Promise<void> {
  const message = Buffer.from(`n,,\x01auth=Bearer ${token}\x01\x01`);
  // kafkajs wants the length in front, and has it in front of the answer.
  const framed = Buffer.alloc(LENGTH_BYTES + message.length);
  framed.writeInt32BE(message.length);
  message.copy(framed, LENGTH_BYTES);
  const challenge = await saslAuthenticate({
    request: { encode: async () => framed },
    response: {
      decode: async (bytes) => bytes.subarray(LENGTH_BYTES),
      parse: async (answer) => answer.toString(),
    },
  });
  if (challenge === '') return;
  throw new WeirError(
    'KAFKA_AUTH',
    `broker ${host}:${port} refuses the OAUTHBEARER token (${challenge.slice(0, CHALLENGE_SHOWN)}). ` +
      'Check that it has not expired and is one for this broker (kafka.sasl).',
  );
}

/** A file is read at each use, for whoever renews it; a granted token is kept until shortly before its end. */
function tokenProvider(oauth: OauthConfig, timeoutMs: number): () => Promise<{ value: string }> {
  const { tokenFile, tokenEndpoint, clientId, clientSecret, scope } = oauth;
  if (tokenFile) return async () => ({ value: await tokenOf(tokenFile) });
  if (!tokenEndpoint || !clientId || !clientSecret) {
    throw new WeirError(
      'CONFIG_INVALID',
      'kafka.sasl: oauthbearer needs either tokenFile, or tokenEndpoint with clientId and clientSecret.',
    );
  }
  let kept: { value: string; until: number } | undefined;
  let asking: Promise<{ value: string }> | undefined;
  const ask = async () => {
    const granted = await clientCredentials({ tokenEndpoint, clientId, clientSecret, scope, timeoutMs });
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

async function tokenOf(tokenFile: string): Promise<string> {
  try {
    return (await readFile(tokenFile, 'utf8')).trim();
  } catch (cause) {
    // Not CONFIG_INVALID: it may be missing for a moment while it is renewed, and later log-ins are tried again.
    throw new WeirError('KAFKA_AUTH', `kafka.sasl.tokenFile: cannot read ${tokenFile} (${asError(cause).message}).`, {
      cause,
    });
  }
}

/** RFC 6749, section 4.4; the client authenticates by HTTP Basic, section 2.3.1. */
async function clientCredentials(asked: {
  tokenEndpoint: string;
  clientId: string;
  clientSecret: string;
  scope: string | undefined;
  timeoutMs: number;
}): Promise<{ token: string; lifetimeMs: number }> {
  const { tokenEndpoint, clientId, clientSecret, scope, timeoutMs } = asked;
  const credentials = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`;
  const refused = (how: string, cause?: unknown) =>
    new WeirError('KAFKA_AUTH', `the token endpoint ${tokenEndpoint} ${how}. Check kafka.sasl.`, { cause });
  let status: number;
  let text: string;
  try {
    // Only here: loaded, it takes megabytes of every process that logs in otherwise.
    const { request } = await import('undici');
    const response = await request(tokenEndpoint, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope && { scope }) }).toString(),
      signal: AbortSignal.timeout(timeoutMs),
    });
    status = response.statusCode;
    text = await response.body.text();
  } catch (cause) {
    const { name, code, message } = cause as { name?: string; code?: string; message?: string };
    const why = name === 'TimeoutError' ? `within ${timeoutMs} ms` : `(${message || code})`;
    throw refused(`does not answer ${why}`, cause);
  }
  if (status !== 200) throw refused(`answers ${status}`);
  const granted = parsed(text);
  if (typeof granted?.access_token !== 'string') throw refused('answers without an access_token');
  const seconds = typeof granted.expires_in === 'number' ? granted.expires_in : DEFAULT_LIFETIME_SECONDS;
  return { token: granted.access_token, lifetimeMs: seconds * 1000 };
}

/** Null for what is no JSON: it may be the login page of a proxy. */
function parsed(text: string): { access_token?: unknown; expires_in?: unknown } | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
