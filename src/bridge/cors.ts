/** CORS: which pages' scripts a browser lets send here. Off unless origins are configured. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '../config.ts';

export interface Cors {
  /** Sets what a browser wants to see on any answer. True: it was a preflight, and is answered. */
  answered(request: IncomingMessage, response: ServerResponse): boolean;
}

/** `*` stands for any run of characters: alone for every origin, or as in https://*.example.com. */
export function createCors({ allowedOrigins, allowedHeaders, maxAgeSeconds }: Config['bridge']['cors']): Cors | null {
  if (allowedOrigins.length === 0) return null;
  const anyOrigin = allowedOrigins.includes('*');
  const patterns = allowedOrigins.map(patternOf);

  return {
    answered(request, response) {
      const { origin } = request.headers;
      if (!anyOrigin) response.setHeader('vary', 'origin');
      if (origin === undefined || !patterns.some((pattern) => pattern.test(origin))) return false;
      response.setHeader('access-control-allow-origin', anyOrigin ? '*' : origin);
      // Scripts that send as a page unloads (sendBeacon) always ask for it.
      if (!anyOrigin) response.setHeader('access-control-allow-credentials', 'true');
      response.setHeader('access-control-expose-headers', 'retry-after');
      const preflight = request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
      if (!preflight) return false;
      response.writeHead(204, {
        'access-control-allow-methods': 'POST',
        'access-control-allow-headers': allowedHeaders.join(', '),
        'access-control-max-age': String(maxAgeSeconds),
      });
      response.end();
      return true;
    },
  };
}

function patternOf(origin: string): RegExp {
  const literal = (text: string) => text.replaceAll(/[^\w]/g, '\\$&');
  return new RegExp(`^${origin.split('*').map(literal).join('.+')}$`, 'i');
}
