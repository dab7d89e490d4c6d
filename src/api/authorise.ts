/** Who may change something through the API: whoever shows `api.token`, and who calls from this machine. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface Caller {
  readonly address: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** null: they may; else why not. */
export function refusalOf({ address, headers }: Caller, token: string | undefined): string | null {
  const shown = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
  if (shown !== undefined)
    return token !== undefined && same(shown, token) ? null : 'the token is not the one of api.token';
  if (!isLoopback(address)) return 'from another machine this needs `Authorization: Bearer` and the value of api.token';
  // A page in a browser on this machine reaches this port, too: by a name that it has pointed here, with its name as the host.
  if (!/^(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/.test(headers.host ?? ''))
    return `without a token this is for http://127.0.0.1 and http://localhost, not for ${headers.host}`;
  return null;
}

function isLoopback(address: string | undefined): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address ?? '');
}

function same(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
