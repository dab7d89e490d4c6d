import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { ApiEvent, ApiView } from '../../src/api/api-view.ts';
import { type Api, type ApiDeps, createApiServer, startApi } from '../../src/api/server.ts';
import { WeirError } from '../../src/errors.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';

const logLines: string[] = [];
const log = createLog({ level: 'info', stream: { write: (line) => logLines.push(line) } });

/** A view that answers what it is given; events come by hand. */
function viewOf(answers: Partial<ApiView> = {}) {
  const listeners = new Set<(event: ApiEvent) => void>();
  const unasked = () => Promise.reject(new Error('this view was not to be asked'));
  const view: ApiView = {
    topology: unasked,
    shards: unasked,
    members: unasked,
    locks: unasked,
    services: unasked,
    decisions: unasked,
    lag: unasked,
    route: unasked,
    ask: unasked,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ...answers,
  };
  const emit = (event: ApiEvent) => {
    for (const listener of listeners) listener(event);
  };
  return { view, emit, listeners };
}

const deps = (over: Partial<ApiDeps> = {}): ApiDeps => ({
  config: { host: '127.0.0.1', apiPort: 0, api: {} },
  metrics: createMetrics(),
  log,
  ready: () => ({ ready: true, reasons: [] }),
  ...over,
});

const opened: Api[] = [];
async function start(over: Partial<ApiDeps> = {}): Promise<Api> {
  const api = await startApi(deps(over));
  opened.push(api);
  return api;
}
afterEach(async () => {
  for (const api of opened.splice(0)) await api.close();
});

describe('health and metrics', () => {
  it('says that the process runs', async () => {
    const answer = await createApiServer(deps()).inject('/healthz');
    expect([answer.statusCode, answer.json()]).toEqual([200, { status: 'ok' }]);
  });

  it('is not ready, with reasons, until it is', async () => {
    let reasons = ['waiting for ring epoch 1'];
    const server = createApiServer(deps({ ready: () => ({ ready: reasons.length === 0, reasons }) }));
    const before = await server.inject('/readyz');
    expect([before.statusCode, before.json()]).toEqual([503, { ready: false, reasons: ['waiting for ring epoch 1'] }]);
    reasons = [];
    const after = await server.inject('/readyz');
    expect([after.statusCode, after.json()]).toEqual([200, { ready: true, reasons: [] }]);
  });

  it('serves the metrics to Prometheus', async () => {
    const metrics = createMetrics();
    metrics.itemsIn.inc({ signal: 'traces' }, 5);
    const answer = await createApiServer(deps({ metrics })).inject('/metrics');
    expect(answer.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(answer.body).toContain('weir_items_in_total{signal="traces"} 5');
  });
});

describe('/api/v1', () => {
  it('serves the documents of the view', async () => {
    const lag = { group: 'g', totalRecords: 0, partitions: [] };
    const asked: number[] = [];
    const { view } = viewOf({
      lag: async () => lag,
      decisions: async (last) => {
        asked.push(last);
        return { decisions: [] };
      },
    });
    const server = createApiServer(deps({ view: () => view }));
    expect((await server.inject('/api/v1/lag')).json()).toEqual(lag);
    expect((await server.inject('/api/v1/decisions')).json()).toEqual({ decisions: [] });
    await server.inject('/api/v1/decisions?last=3');
    expect(asked).toEqual([50, 3]);
  });

  it('refuses a number that it cannot mean', async () => {
    const server = createApiServer(deps({ view: () => viewOf().view }));
    const answer = await server.inject('/api/v1/decisions?last=many');
    expect([answer.statusCode, answer.json()]).toEqual([
      400,
      { error: { message: 'querystring/last must be integer' } },
    ]);
  });

  it('is not found in a role that has none, and says where to ask', async () => {
    const answer = await createApiServer(deps()).inject('/api/v1/shards');
    expect(answer.statusCode).toBe(404);
    expect(answer.json().error.message).toContain('ask `weir control`');
  });

  it('is unavailable while the role starts', async () => {
    const answer = await createApiServer(deps({ ready: () => ({ ready: false, reasons: ['starting'] }) })).inject(
      '/api/v1/shards',
    );
    expect(answer.statusCode).toBe(503);
  });

  it('is unavailable while Kafka is, with the reason, and hides a bug behind the log', async () => {
    const { view } = viewOf({
      lag: () => Promise.reject(new WeirError('KAFKA_UNREACHABLE', 'no broker answers')),
      shards: () => Promise.reject(new TypeError('secret insides')),
    });
    const server = createApiServer(deps({ view: () => view }));
    const lag = await server.inject('/api/v1/lag');
    expect([lag.statusCode, lag.json()]).toEqual([
      503,
      { error: { message: 'no broker answers', code: 'KAFKA_UNREACHABLE' } },
    ]);
    const shards = await server.inject('/api/v1/shards');
    expect([shards.statusCode, shards.body.includes('insides')]).toEqual([500, false]);
    expect(logLines.at(-1)).toContain('secret insides');
  });
});

describe('the index', () => {
  it('links every endpoint that is there', async () => {
    const server = createApiServer(deps({ view: () => viewOf().view }));
    const { body } = await server.inject('/');
    const links = [...body.matchAll(/href="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(links).toContain('/api/v1/events');
    const answers = await Promise.all(
      links.filter((link) => !link.endsWith('/events')).map(async (link) => (await server.inject(link)).statusCode),
    );
    expect(answers).not.toContain(404);
    expect((await createApiServer(deps()).inject('/')).body).not.toContain('/api/v1');
  });

  it('says what there is not', async () => {
    const answer = await createApiServer(deps()).inject('/nothing?x=1');
    expect([answer.statusCode, answer.json().error.message]).toEqual([
      404,
      'there is no GET /nothing; GET / lists what there is',
    ]);
  });
});

describe('listening', () => {
  it('picks a free port for 0 and tells it', async () => {
    const { port, url } = await start();
    expect(url).toBe(`http://127.0.0.1:${port}`);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  it('tells a taken port in a sentence', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const error = await start({ config: { host: '127.0.0.1', apiPort: port, api: {} } }).catch(
      (cause: unknown) => cause,
    );
    taken.close();
    expect(error).toMatchObject({
      code: 'PORT_TAKEN',
      message: `the API cannot listen on 127.0.0.1:${port}: the port is in use; choose another with --api-port N (0 picks a free one)`,
    });
  });
});

describe('what is asked of the leader', () => {
  const accepted = { text: 'shard a is retired', ringEpoch: 2 };
  const wishes: unknown[] = [];
  const { view } = viewOf({
    ask: async (wish) => {
      wishes.push(wish);
      return accepted;
    },
  });
  const server = (token?: string) => createApiServer({ ...deps({ view: () => view }), config: { api: { token } } });
  const post = (options: object, token?: string) =>
    server(token).inject({
      ...{ method: 'POST', url: '/api/v1/shards/retire', payload: { shard: 'a' }, headers: { host: 'localhost:8080' } },
      ...options,
    });
  afterEach(() => {
    wishes.length = 0;
  });

  it('is passed on from this machine', async () => {
    const response = await post({});
    expect([response.statusCode, response.json()]).toEqual([202, accepted]);
    expect(wishes).toEqual([{ kind: 'retire', shard: 'a' }]);
  });

  const token = 'a token of 16 or more';
  it.each<[string, number, object, string?]>([
    ['from another machine without a token', 403, { remoteAddress: '10.0.0.9' }],
    ['from another machine with no token shown', 401, { remoteAddress: '10.0.0.9' }, token],
    ['with another token', 401, { headers: { host: 'localhost', authorization: 'Bearer no' } }, token],
    ['by a name that somebody has pointed here', 403, { headers: { host: 'evil.example:8080' } }],
    [
      'as a form could send it',
      415,
      { payload: 'shard=a', headers: { host: 'localhost', 'content-type': 'text/plain' } },
    ],
    ['with a field that is none', 400, { payload: { shard: 'a', force: true } }],
    ['for something that is none', 404, { url: '/api/v1/shards/delete' }],
  ])('is refused %s', async (_what, status, options, configured) => {
    expect((await post(options, configured)).statusCode).toBe(status);
    expect(wishes).toEqual([]);
  });

  it.each<[string, object, string]>([
    [
      'has a form',
      { headers: { host: 'localhost', 'content-type': 'application/x-www-form-urlencoded' } },
      'sent as content-type: application/json',
    ],
    ['lacks a field', { payload: {} }, 'retire: shard: '],
    ['has a field too many', { payload: { shard: 'a', force: true } }, 'retire: Unrecognized key: "force"'],
    [
      'is none',
      { url: '/api/v1/shards/delete' },
      'there is no delete; there are create, split, merge, retire, move, abandon, cancel',
    ],
  ])('is told in one line what is wrong when it %s', async (_what, options, message) => {
    const { error } = (await post(options)).json<{ error: { message: string } }>();
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('\n');
  });

  it('is passed on from another machine with the token', async () => {
    const headers = { host: 'weir.example', authorization: `Bearer ${token}` };
    expect((await post({ remoteAddress: '10.0.0.9', headers }, token)).statusCode).toBe(202);
  });

  it('is answered with the reason when the leader refuses', async () => {
    const refusing = viewOf({ ask: () => Promise.reject(new WeirError('REQUEST_REFUSED', 'the last one')) }).view;
    const response = await createApiServer(deps({ view: () => refusing })).inject({
      ...{ method: 'POST', url: '/api/v1/shards/abandon', headers: { host: '127.0.0.1:1' } },
    });
    expect([response.statusCode, response.json()]).toEqual([
      409,
      { error: { message: 'the last one', code: 'REQUEST_REFUSED' } },
    ]);
  });
});

const ring = (ringEpoch: number): ApiEvent => ({ event: 'ring', data: { ringEpoch } });

describe('the stream of events', () => {
  it('sends each event as it comes, and ends when the server closes', async () => {
    const { view, emit } = viewOf();
    const api = await start({ view: () => view });
    const answer = await fetch(`${api.url}/api/v1/events`);
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    emit(ring(1));
    emit({ event: 'leader', data: { member: 'm', leaderEpoch: 4, since: '2026-01-01T00:00:00.000Z' } });
    await opened.splice(opened.indexOf(api), 1)[0]?.close();
    expect(await answer.text()).toBe(
      ': weir\nretry: 2000\n\nevent: ring\ndata: {"ringEpoch":1}\n\n' +
        'event: leader\ndata: {"member":"m","leaderEpoch":4,"since":"2026-01-01T00:00:00.000Z"}\n\n',
    );
  });

  it('asks the view once for all readers, and no longer after closing', async () => {
    const { view, listeners } = viewOf();
    const api = await start({ view: () => view });
    const answers = await Promise.all([1, 2, 3].map(() => fetch(`${api.url}/api/v1/events`)));
    expect(listeners.size).toBe(1);
    await api.close();
    await Promise.all(answers.map((answer) => answer.text()));
    expect(listeners.size).toBe(0);
  });

  it('cuts off a reader that does not read, and goes on with the others', async () => {
    const { view, emit } = viewOf();
    const api = await start({ view: () => view });
    const stuck = connect(api.port, '127.0.0.1');
    stuck.write('GET /api/v1/events HTTP/1.1\r\nHost: weir\r\n\r\n');
    await once(stuck, 'readable');
    const reading = await fetch(`${api.url}/api/v1/events`);
    const reader = reading.body!.getReader();
    const read = async () => Buffer.from((await reader.read()).value ?? new Uint8Array()).toString();
    await read();

    const large: ApiEvent = { event: 'leader', data: { member: 'm'.repeat(100_000), leaderEpoch: 1, since: '' } };
    // Beside our own limit the sockets of both ends hold a few MB.
    for (let sent = 0; sent < 400 && !logLines.some((line) => line.includes('cut off')); sent++) {
      emit(large);
      for (let got = 0; got < 100_000; ) got += (await read()).length;
    }
    expect(logLines.some((line) => line.includes('an event stream is not read: cut off'))).toBe(true);
    emit(ring(9));
    let text = '';
    while (!text.includes('"ringEpoch":9')) text = (text + (await read())).slice(-100);
    stuck.destroy();
    await reader.cancel();
  });

  it('has a limit of readers', async () => {
    const { view } = viewOf();
    const api = await start({ view: () => view });
    const all = await Promise.all(Array.from({ length: 100 }, () => fetch(`${api.url}/api/v1/events`)));
    expect((await fetch(`${api.url}/api/v1/events`)).status).toBe(503);
    await Promise.all(all.map((answer) => answer.body?.cancel()));
  });
});
