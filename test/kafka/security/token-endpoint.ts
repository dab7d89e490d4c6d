/** An OAuth 2 token endpoint for the client credentials grant (RFC 6749, section 4.4), and the tokens that it grants. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TokenEndpoint {
  readonly url: string;
  /** Bodies of the requests that were granted, in order. */
  readonly granted: readonly URLSearchParams[];
  close(): Promise<void>;
}

/** An unsecured JWS (RFC 7515, appendix A.5), which Kafka's own validator takes where it is not configured otherwise. */
export function unsecuredToken(subject: string, lifetimeMs: number): string {
  const part = (of: object) => Buffer.from(JSON.stringify(of)).toString('base64url');
  const now = Date.now() / 1000;
  return `${part({ alg: 'none' })}.${part({ sub: subject, iat: now, exp: now + lifetimeMs / 1000 })}.`;
}

export async function startTokenEndpoint(options: {
  clientId: string;
  clientSecret: string;
  lifetimeMs: number;
}): Promise<TokenEndpoint> {
  const { clientId, clientSecret, lifetimeMs } = options;
  const granted: URLSearchParams[] = [];
  const expected = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`;
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const form = new URLSearchParams(Buffer.concat(await request.toArray()).toString());
    const [scheme, credentials = ''] = (request.headers.authorization ?? '').split(' ');
    if (scheme !== 'Basic' || Buffer.from(credentials, 'base64').toString() !== expected) {
      answer(401, { error: 'invalid_client' });
    } else if (request.method !== 'POST' || form.get('grant_type') !== 'client_credentials') {
      answer(400, { error: 'unsupported_grant_type' });
    } else {
      granted.push(form);
      answer(200, {
        access_token: unsecuredToken(clientId, lifetimeMs),
        token_type: 'Bearer',
        expires_in: Math.floor(lifetimeMs / 1000),
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    granted,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
