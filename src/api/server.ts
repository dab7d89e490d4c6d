/** The HTTP API: health, readiness, metrics, the state of the installation as JSON and server-sent events, and what is asked of the leader. */
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import type { Config } from '../config.ts';
import { WISH_KINDS, wishSchema } from '../coordination/wishes.ts';
import { WeirError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import type { ApiView } from './api-view.ts';
import { refusalOf } from './authorise.ts';
import { MAX_DECISIONS } from './documents.ts';
import { EventStreams } from './event-streams.ts';
import { indexPage } from './index-page.ts';

export interface ApiDeps {
  readonly config: Pick<Config, 'host' | 'apiPort' | 'api'>;
  readonly metrics: Metrics;
  /** The text of /metrics; absent: that of `metrics`. */
  exposition?(): Promise<string>;
  readonly log: Log;
  /** `reasons` say what is waited for; empty when ready. */
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] };
  /** undefined: not yet (503 until ready), or never in this role (404 that says where to ask). */
  view?(): ApiView | undefined;
}

export interface Api {
  /** The port that was bound (apiPort 0 picks one). */
  readonly port: number;
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
  close(): Promise<void>;
}

/** Throws PORT_TAKEN. */
export async function startApi(deps: ApiDeps): Promise<Api> {
  const { host, apiPort } = deps.config;
  const server = createApiServer(deps);
  try {
    await server.listen({ host, port: apiPort });
  } catch (cause) {
    await server.close();
    const why = LISTEN_FAULTS[(cause as NodeJS.ErrnoException).code ?? ''];
    if (!why) throw cause;
    throw new WeirError('PORT_TAKEN', `the API cannot listen on ${host}:${apiPort}: ${why}`, { cause });
  }
  const address = server.server.address();
  const port = typeof address === 'object' && address ? address.port : apiPort;
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return {
    port,
    url: `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`,
    close: () => server.close(),
  };
}

const LISTEN_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use; choose another with --api-port N (0 picks a free one)',
  EACCES: 'the port needs more rights; choose one from 1024 with --api-port N',
  EADDRNOTAVAIL: 'this machine does not have the address; choose another with --host ADDRESS',
  ENOTFOUND: 'there is no such host; choose another with --host ADDRESS',
};

/** Not listening: for tests, by `inject`. */
export function createApiServer({
  config,
  metrics,
  exposition = () => metrics.registry.metrics(),
  log,
  ready,
  view = () => undefined,
}: Omit<ApiDeps, 'config'> & { config: Pick<Config, 'api'> }): FastifyInstance {
  // Streams never end by themselves: without forcing them, close() would wait for ever.
  const server = Fastify({ logger: false, forceCloseConnections: true });

  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get('/readyz', async (_, reply) => {
    const state = ready();
    return reply.code(state.ready ? 200 : 503).send({ ready: state.ready, reasons: state.reasons });
  });
  server.get('/metrics', async (_, reply) => reply.type(metrics.registry.contentType).send(await exposition()));
  server.get('/', async (_, reply) => reply.type('text/html; charset=utf-8').send(indexPage(view() !== undefined)));

  const viewThere = () => {
    const there = view();
    if (there) return there;
    const message = 'this role does not serve /api/v1; ask `weir control` or `weir up`';
    throw ready().ready
      ? new Refused(404, message)
      : new Refused(503, 'still starting; /readyz says what is waited for');
  };
  serveView(server, log, viewThere);
  serveWishes(server, config.api.token, viewThere);

  server.setNotFoundHandler(async ({ method, url }, reply) =>
    fail(reply, 404, `there is no ${method} ${url.split('?')[0]}; GET / lists what there is`),
  );
  server.setErrorHandler(async (error: Error & { statusCode?: number }, { method, url }, reply) => {
    if (error.statusCode === 415) return fail(reply, 415, NO_JSON);
    if (error instanceof WeirError)
      return fail(reply, error.code === 'REQUEST_REFUSED' ? 409 : 503, error.message, error.code);
    if (error instanceof Refused || (error.statusCode !== undefined && error.statusCode < 500))
      return fail(reply, error.statusCode ?? 400, error.message);
    log.error({ err: error, method, url }, 'an API request failed');
    return fail(reply, 500, 'this request failed; the log says why');
  });
  return server;
}

class Refused extends Error {
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

function serveView(server: FastifyInstance, log: Log, view: () => ApiView): void {
  server.get('/api/v1/topology', () => view().topology());
  server.get('/api/v1/shards', () => view().shards());
  server.get('/api/v1/members', () => view().members());
  server.get('/api/v1/locks', () => view().locks());
  server.get('/api/v1/services', () => view().services());
  server.get('/api/v1/lag', () => view().lag());
  server.get<{ Querystring: { last: number } }>(
    '/api/v1/decisions',
    {
      schema: {
        querystring: {
          type: 'object',
          properties: { last: { type: 'integer', minimum: 1, maximum: MAX_DECISIONS, default: 50 } },
        },
      },
    },
    ({ query }) => view().decisions(query.last),
  );

  server.get<{ Querystring: { key: string; signal: Signal } }>(
    '/api/v1/route',
    {
      schema: {
        querystring: {
          type: 'object',
          required: ['key'],
          properties: { key: { type: 'string', minLength: 1 }, signal: { enum: SIGNALS, default: 'traces' } },
        },
      },
    },
    ({ query }) => view().route(query.signal, query.key),
  );

  const streams = new EventStreams(log);
  server.addHook('preClose', async () => streams.close());
  server.get('/api/v1/events', (_, reply) => {
    const from = view();
    if (streams.full) return fail(reply, 503, 'too many event streams are open');
    reply.hijack();
    streams.add(reply.raw, from);
  });
}

function serveWishes(server: FastifyInstance, token: string | undefined, view: () => ApiView): void {
  server.post<{ Params: { kind: string } }>('/api/v1/shards/:kind', async (request, reply) => {
    const refusal = refusalOf({ address: request.socket.remoteAddress, headers: request.headers }, token);
    if (refusal !== null) throw new Refused(token === undefined ? 403 : 401, refusal);
    const body: unknown = request.body ?? {};
    // JSON is what a page of another origin cannot send without asking.
    if (typeof body !== 'object') throw new Refused(415, NO_JSON);
    const { kind } = request.params;
    if (!WISH_KINDS.some((known) => known === kind))
      throw new Refused(404, `shards: there is no ${kind}; there are ${WISH_KINDS.join(', ')}`);
    const wish = wishSchema.safeParse({ ...body, kind });
    if (!wish.success) throw new Refused(400, `${kind}: ${wish.error.issues.map(issueText).join('; ')}`);
    return reply.code(202).send(await view().ask(wish.data));
  });
}

const NO_JSON = 'the body is to be a JSON object, sent as content-type: application/json';

function issueText({ path, message }: { readonly path: readonly PropertyKey[]; readonly message: string }): string {
  return path.length === 0 ? message : `${path.join('.')}: ${message}`;
}

/** Every error of the API has this shape. */
function fail(reply: FastifyReply, status: number, message: string, code?: string): FastifyReply {
  return reply.code(status).send({ error: { message, ...(code && { code }) } });
}
