/** A running bridge as an exporter meets it, before the in-process log. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../src/kafka/embedded.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { eventually } from '../support/eventually.ts';
import { decodeItems } from '../support/otlp-schema.ts';
import { exportByGrpc } from './grpc-client.ts';
import { request } from './requests.ts';
import { decodeStatus, HeldProducer, type Rig, type RigOptions, startRig } from './rig.ts';

const PROTOBUF = { 'content-type': 'application/x-protobuf' };
const JSON_TYPE = { 'content-type': 'application/json' };
/** The least delay, with jitter: there is no backlog to speak of. */
const SOON_MS = expect.toSatisfy((ms: number) => ms >= 1_000 && ms <= 1_250);

const values = async (rig: Rig, signal: Signal) => (await rig.stored(signal)).map(({ value }) => value.toString('hex'));

/** For each of these tests a bridge of its own, closed when the test is over. */
const rigs: Rig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});
async function ownRig(options: RigOptions = {}): Promise<Rig> {
  const rig = await startRig(options);
  rigs.push(rig);
  return rig;
}

describe('a request by gRPC', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ config: { bridge: { maxRequestBytes: 100_000 } } });
  });
  afterAll(() => rig.close());

  it.each(SIGNALS)('of %s is stored byte for byte and answered with an empty response', async (signal) => {
    const plain = request(`grpc ${signal}`);
    const zipped = request(`grpc gzip ${signal}`, 'x'.repeat(1_000));
    expect(await exportByGrpc(rig, signal, plain)).toMatchObject({ code: grpc.status.OK, reply: Buffer.alloc(0) });
    expect(await exportByGrpc(rig, signal, zipped, { gzip: true })).toMatchObject({ code: grpc.status.OK });
    expect(await values(rig, signal)).toEqual(expect.arrayContaining([plain.toString('hex'), zipped.toString('hex')]));
    expect(await rig.counted()).toMatchObject({ [`${signal} grpc ok`]: 2 });
  });

  it('that is empty succeeds and stores nothing', async () => {
    const before = await values(rig, 'logs');
    expect(await exportByGrpc(rig, 'logs', Buffer.alloc(0))).toMatchObject({ code: grpc.status.OK });
    expect(await values(rig, 'logs')).toEqual(before);
  });

  it('that is no protobuf is INVALID_ARGUMENT and is not stored', async () => {
    const before = await values(rig, 'traces');
    const answer = await exportByGrpc(rig, 'traces', Buffer.from('hello'));
    expect(answer).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, retryAfterMs: null });
    expect(answer.status).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, message: answer.details });
    expect(answer.details).toContain('at byte 2 of 5, no field begins there');
    expect(await values(rig, 'traces')).toEqual(before);
  });

  it.each([false, true])(
    'that is too large (gzip: %s) is RESOURCE_EXHAUSTED without RetryInfo, and counted',
    async (gzip) => {
      const answer = await exportByGrpc(rig, 'metrics', request('big', 'x'.repeat(200_000)), { gzip });
      expect(answer).toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED, status: null });
      expect(answer.details).toContain('bridge.maxRequestBytes (100000)');
      expect((await rig.counted())['metrics grpc too_large']).toBeGreaterThanOrEqual(1);
    },
  );

  it('for an unknown service is UNIMPLEMENTED', async () => {
    const path = '/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export';
    expect(await exportByGrpc(rig, 'traces', request('x'), { path })).toMatchObject({
      code: grpc.status.UNIMPLEMENTED,
    });
  });
});

describe('a request by HTTP', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ config: { bridge: { maxRequestBytes: 100_000 } } });
  });
  afterAll(() => rig.close());

  it.each(SIGNALS)('of %s as protobuf is stored byte for byte, compressed or not', async (signal) => {
    const plain = request(`http ${signal}`);
    const zipped = request(`http gzip ${signal}`);
    const deflated = request(`http deflate ${signal}`);
    for (const [body, headers] of [
      [plain, PROTOBUF],
      [gzipSync(zipped), { 'content-type': 'Application/X-Protobuf; v=1', 'content-encoding': 'gzip' }],
      [deflateSync(deflated), { ...PROTOBUF, 'content-encoding': 'deflate' }],
    ] as const) {
      const answer = await rig.post(`/v1/${signal}`, body, headers);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toBe('application/x-protobuf');
      expect(answer.body).toHaveLength(0);
    }
    const sent = [plain, zipped, deflated].map((body) => body.toString('hex'));
    expect(await values(rig, signal)).toEqual(expect.arrayContaining(sent));
    expect(await rig.counted()).toMatchObject({ [`${signal} http/protobuf ok`]: 3 });
  });

  it('as JSON is stored as protobuf and answered in JSON', async () => {
    const json = JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'hi' } }] }] }] });
    const answer = await rig.post('/v1/logs?source=test', gzipSync(json), { ...JSON_TYPE, 'content-encoding': 'gzip' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(JSON.parse(answer.body.toString())).toEqual({});
    const items = (await rig.stored('logs')).flatMap(({ value }) => decodeItems('logs', value).map(({ item }) => item));
    expect(items).toContain('{"body":{"stringValue":"hi"}}');
    expect(await rig.counted()).toMatchObject({ 'logs http/json ok': 1 });
  });

  it('that is empty succeeds and stores nothing', async () => {
    const before = await values(rig, 'metrics');
    expect((await rig.post('/v1/metrics', '', PROTOBUF)).status).toBe(200);
    expect((await rig.post('/v1/metrics', '{"resourceMetrics":[]}', JSON_TYPE)).status).toBe(200);
    expect(await values(rig, 'metrics')).toEqual(before);
  });

  it('that is malformed is 400 with a google.rpc.Status in its content type, saying where', async () => {
    const asJson = await rig.post('/v1/traces', '{"resourceSpans":[{"scopeSpans":7}]}', JSON_TYPE);
    expect(asJson.status).toBe(400);
    expect(asJson.headers.get('content-type')).toBe('application/json');
    expect(JSON.parse(asJson.body.toString())).toEqual({
      code: grpc.status.INVALID_ARGUMENT,
      message: expect.stringContaining('resourceSpans[0].scopeSpans, byte 32: expected an array, found a number'),
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.BadRequest',
          fieldViolations: [{ field: 'body', description: expect.stringContaining('byte 32') }],
        },
      ],
    });
    const asProtobuf = await rig.post('/v1/traces', 'hello', PROTOBUF);
    expect(asProtobuf.status).toBe(400);
    expect(asProtobuf.headers.get('content-type')).toBe('application/x-protobuf');
    expect(decodeStatus(asProtobuf.body)).toEqual({
      code: grpc.status.INVALID_ARGUMENT,
      message: expect.stringContaining('at byte 2 of 5, no field begins there'),
      retryAfterMs: null,
    });
  });

  it.each([
    ['not gzip at all', Buffer.from('hello')],
    ['cut', gzipSync(request('cut')).subarray(0, 20)],
  ])('that says gzip but is %s is 400', async (_, body) => {
    const answer = await rig.post('/v1/traces', body, { ...PROTOBUF, 'content-encoding': 'gzip' });
    expect(answer.status).toBe(400);
    expect(decodeStatus(answer.body).message).toContain('not gzip');
  });

  it.each<[string, Buffer, Record<string, string>]>([
    ['as sent', request('big', 'x'.repeat(200_000)), {}],
    ['once inflated', gzipSync(request('big', 'x'.repeat(20_000_000))), { 'content-encoding': 'gzip' }],
  ])('that is too large %s is 413, without a hint to retry', async (_, body, headers) => {
    const answer = await rig.post('/v1/metrics', body, { ...PROTOBUF, ...headers });
    expect(answer.status).toBe(413);
    expect(answer.headers.get('retry-after')).toBeNull();
    expect(decodeStatus(answer.body)).toEqual({
      code: grpc.status.RESOURCE_EXHAUSTED,
      message: expect.stringContaining('bridge.maxRequestBytes (100000)'),
      retryAfterMs: null,
    });
  });

  it('that is too large is answered though its length was not declared, and the connection goes on', async () => {
    const [host, port] = rig.bridge.httpAddress.split(':');
    const socket = connect(Number(port), host);
    const chunk = `c350\r\n${'x'.repeat(50_000)}\r\n`; // 50,000 bytes
    const head =
      'POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n';
    socket.write(`${head}${chunk.repeat(3)}0\r\n\r\n`);
    socket.write(
      'POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}',
    );
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes;
    });
    await once(socket, 'close');
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200']);
  });

  it('elsewhere, otherwise or of another type is 404, 405, 415', async () => {
    const elsewhere = await rig.post('/v1/profiles', request('x'), PROTOBUF);
    expect(elsewhere.status).toBe(404);
    expect(decodeStatus(elsewhere.body).message).toContain('/v1/traces');
    const got = await fetch(`http://${rig.bridge.httpAddress}/v1/traces`);
    expect(got.status).toBe(405);
    expect(got.headers.get('allow')).toBe('POST');
    const otherType = await rig.post('/v1/traces', 'x', { 'content-type': 'text/plain' });
    expect(otherType.status).toBe(415);
    expect(JSON.parse(otherType.body.toString()).message).toContain('application/x-protobuf');
    const otherEncoding = await rig.post('/v1/traces', request('x'), { ...PROTOBUF, 'content-encoding': 'br' });
    expect(otherEncoding.status).toBe(415);
    expect(await rig.counted()).toMatchObject({
      'none http/protobuf not_found': 1,
      'traces http/protobuf wrong_method': 1,
      'traces http/protobuf unsupported': 2,
    });
  });
});

describe('kept headers', () => {
  it('become record headers of the same name, by gRPC and HTTP, absent or empty ones none', async () => {
    const rig = await ownRig({ config: { routing: { keepHeaders: ['cluster', 'X-Zone'] } } });
    await exportByGrpc(rig, 'traces', request('a'), { metadata: { cluster: 'one', 'x-zone': 'eu' } });
    await rig.post('/v1/traces', request('b'), { ...PROTOBUF, cluster: 'two', 'x-zone': '' });
    await rig.post('/v1/traces', request('c'), { ...PROTOBUF, other: 'not kept' });
    const byValue = new Map((await rig.stored('traces')).map(({ value, headers }) => [value.toString(), headers]));
    expect(byValue.get(request('a').toString())).toEqual([
      ['cluster', 'one'],
      ['X-Zone', 'eu'],
    ]);
    expect(byValue.get(request('b').toString())).toEqual([['cluster', 'two']]);
    expect(byValue.get(request('c').toString())).toEqual([]);
  });

  it('that are too long are refused, not cut', async () => {
    const rig = await ownRig({ config: { routing: { keepHeaders: ['cluster'] } } });
    const answer = await rig.post('/v1/logs', request('x'), { ...PROTOBUF, cluster: 'c'.repeat(257) });
    expect(answer.status).toBe(400);
    expect(decodeStatus(answer.body).message).toContain('"cluster" has 257 bytes');
    expect(await rig.stored('logs')).toEqual([]);
  });
});

describe('order', () => {
  it("of one exporter's metrics and logs holds: its requests share a partition, others spread", async () => {
    const rig = await ownRig();
    for (const signal of ['metrics', 'logs'] as const) {
      for (let round = 0; round < 3; round++) {
        await Promise.all(
          Array.from({ length: 12 }, (_, exporter) =>
            rig.post(`/v1/${signal}`, request(`exporter-${exporter}`, `${round}`), PROTOBUF),
          ),
        );
      }
      const rounds = new Map<string, { partitions: Set<number>; payloads: number[] }>();
      for (const { partition, value } of await rig.stored(signal)) {
        const name = /exporter-\d+/.exec(value.toString())![0];
        const seen = rounds.get(name) ?? { partitions: new Set(), payloads: [] };
        rounds.set(name, seen);
        seen.partitions.add(partition);
        seen.payloads.push(Number(value.toString().at(-1)));
      }
      for (const { partitions, payloads } of rounds.values()) {
        expect(partitions.size).toBe(1);
        expect(payloads).toEqual([0, 1, 2]);
      }
      expect(new Set([...rounds.values()].flatMap(({ partitions }) => [...partitions])).size).toBeGreaterThan(1);
    }
  });
});

describe('Kafka', () => {
  it('has stored before the exporter is answered', async () => {
    const held = new HeldProducer();
    const rig = await ownRig({ wrap: () => held });
    let answered = 0;
    const answers = [
      exportByGrpc(rig, 'traces', request('g')).then((answer) => {
        answered++;
        return answer.code;
      }),
      rig.post('/v1/traces', request('h'), PROTOBUF).then((answer) => {
        answered++;
        return answer.status;
      }),
    ];
    let records = 0;
    for (let call = 0; records < 2; call++) {
      await held.called(call + 1);
      records += held.calls[call]!.records.length;
    }
    // The bridge has had both requests; a whole exchange later neither is answered.
    expect((await rig.post('/v1/traces', '', PROTOBUF)).status).toBe(200);
    expect(answered).toBe(0);
    for (const call of held.calls) call.answer();
    expect(await Promise.all(answers)).toEqual([grpc.status.OK, 200]);
    const ack = await rig.metrics.bridgeAckSeconds.get();
    const counts = ack.values.filter(({ metricName }) => metricName?.endsWith('_count'));
    expect(Object.fromEntries(counts.map(({ labels, value }) => [labels.transport, value]))).toEqual({
      grpc: 1,
      'http/protobuf': 1,
    });
  });

  it('not answering in time is UNAVAILABLE with RetryInfo, and 503 with Retry-After', async () => {
    const held = new HeldProducer();
    const rig = await ownRig({ wrap: () => held });
    const byGrpc = exportByGrpc(rig, 'logs', request('x'));
    await held.called(1);
    held.calls[0]!.answer({ kind: 'unknown', cause: new Error('no answer for 30000 ms') });
    const grpcAnswer = await byGrpc;
    expect(grpcAnswer).toMatchObject({ code: grpc.status.UNAVAILABLE, details: expect.stringContaining('30000 ms') });
    expect(grpcAnswer.status).toEqual({
      code: grpc.status.UNAVAILABLE,
      message: grpcAnswer.details,
      retryAfterMs: SOON_MS,
    });
    expect(grpcAnswer.retryAfterMs).toBe(grpcAnswer.status?.retryAfterMs);
    const byHttp = rig.post('/v1/logs', '{"resourceLogs":[{}]}', JSON_TYPE);
    await held.called(2);
    held.calls[1]!.answer({ kind: 'unknown', cause: new Error('no answer for 30000 ms') });
    const httpAnswer = await byHttp;
    expect(httpAnswer.status).toBe(503);
    expect(httpAnswer.headers.get('retry-after')).toMatch(/^[12]$/);
    expect(JSON.parse(httpAnswer.body.toString())).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: [
        { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: expect.stringMatching(/^1(\.\d+)?s$/) },
      ],
    });
    expect(await rig.counted()).toMatchObject({ 'logs grpc kafka_unknown': 1, 'logs http/json kafka_unknown': 1 });
  });

  it.each([
    ['not authorised', false, grpc.status.INVALID_ARGUMENT, 400],
    ['too large', true, grpc.status.RESOURCE_EXHAUSTED, 413],
  ])('refusing (%s) is answered without a hint to retry', async (why, tooLarge, code, status) => {
    const refused = { kind: 'refused', tooLarge, cause: new Error(why) } as const;
    const held = new HeldProducer();
    const rig = await ownRig({ wrap: () => held });
    const byGrpc = exportByGrpc(rig, 'logs', request('x'));
    await held.called(1);
    held.calls[0]!.answer(refused);
    expect(await byGrpc).toMatchObject({ code, status: null });
    const byHttp = rig.post('/v1/logs', request('x'), PROTOBUF);
    await held.called(2);
    held.calls[1]!.answer(refused);
    const answer = await byHttp;
    expect(answer.status).toBe(status);
    expect(answer.headers.get('retry-after')).toBeNull();
  });

  it('never gets the requests of an exporter that went away while they waited', async () => {
    const held = new HeldProducer();
    const rig = await ownRig({ wrap: () => held });
    // All of one resource and about one length: they wait for the first one's batch.
    const first = rig.post('/v1/logs', request('one', 'first'), PROTOBUF);
    await held.called(1);
    const before = await rig.queuedBytes();
    const [host, port] = rig.bridge.httpAddress.split(':');
    const socket = connect(Number(port), host);
    const body = request('one', 'by http');
    const head = `POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${body.length}\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), body]));
    const goAway = new AbortController();
    const byGrpc = exportByGrpc(rig, 'logs', request('one', 'by grpc'), { cancel: goAway.signal });
    await eventually(async () => expect(await rig.queuedBytes()).toBeGreaterThan(2.5 * before));
    socket.destroy();
    goAway.abort();
    expect((await byGrpc).code).toBe(grpc.status.CANCELLED);
    const last = rig.post('/v1/logs', request('one', 'last'), PROTOBUF);
    await eventually(async () => expect(await rig.queuedBytes()).toBeGreaterThan(3.5 * before));
    held.calls[0]!.answer();
    await held.called(2);
    expect(held.calls[1]!.records.map(({ value }) => Buffer.from(value!))).toEqual([request('one', 'last')]);
    held.calls[1]!.answer();
    expect([(await first).status, (await last).status]).toEqual([200, 200]);
    expect(await rig.counted()).toMatchObject({ 'logs http/protobuf abandoned': 1, 'logs grpc abandoned': 1 });
  });

  it('being slow fills the queue: then requests are turned away with a hint to retry, until it has caught up', async () => {
    const held = new HeldProducer();
    const rig = await ownRig({ wrap: () => held, config: { bridge: { queueBytes: 10_000 } } });
    const waiting = rig.post('/v1/traces', request('first', 'x'.repeat(9_000)), PROTOBUF);
    await held.called(1);
    expect(await rig.queuedBytes()).toBeGreaterThan(9_000);
    const turnedAway = await rig.post('/v1/traces', request('second', 'x'.repeat(2_000)), PROTOBUF);
    expect(turnedAway.status).toBe(503);
    expect(turnedAway.headers.get('retry-after')).toMatch(/^[12]$/);
    expect(decodeStatus(turnedAway.body)).toMatchObject({ code: grpc.status.UNAVAILABLE, retryAfterMs: SOON_MS });
    expect(await exportByGrpc(rig, 'logs', request('third', 'x'.repeat(2_000)))).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      status: { retryAfterMs: SOON_MS },
    });
    held.calls[0]!.answer();
    expect((await waiting).status).toBe(200);
    expect(await rig.queuedBytes()).toBe(0);
    const again = rig.post('/v1/traces', request('second', 'x'.repeat(2_000)), PROTOBUF);
    await held.called(2);
    held.calls[1]!.answer();
    expect((await again).status).toBe(200);
    expect(await rig.counted()).toMatchObject({ 'traces http/protobuf queue_full': 1, 'logs grpc queue_full': 1 });
  });
});

describe('close', () => {
  it('turns new requests away, finishes what it has accepted, then stops listening', async () => {
    const held = new HeldProducer();
    const rig = await startRig({ wrap: () => held });
    const accepted = rig.post('/v1/traces', request('accepted'), PROTOBUF);
    await held.called(1);
    const closed = rig.close();
    const late = await rig.post('/v1/traces', request('late'), PROTOBUF);
    expect(late.status).toBe(503);
    expect(late.headers.get('retry-after')).toMatch(/^[12]$/);
    expect(await exportByGrpc(rig, 'traces', request('late'))).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining('shutting down'),
      status: { retryAfterMs: SOON_MS },
    });
    held.calls[0]!.answer();
    expect((await accepted).status).toBe(200);
    await closed;
    expect(held.calls).toHaveLength(1);
    await expect(rig.post('/v1/traces', request('gone'), PROTOBUF)).rejects.toThrow();
    expect((await exportByGrpc(rig, 'traces', request('gone'))).code).toBe(grpc.status.UNAVAILABLE);
  });

  it('does not wait for Kafka for ever: the exporter hears that the outcome is unknown', async () => {
    const held = new HeldProducer();
    const rig = await startRig({ wrap: () => held, drainTimeoutMs: 20 });
    const accepted = exportByGrpc(rig, 'traces', request('accepted'));
    await held.called(1);
    await rig.close();
    expect(await accepted).toMatchObject({ code: grpc.status.UNAVAILABLE, status: { retryAfterMs: SOON_MS } });
    held.calls[0]!.answer();
  });
});

describe('a taken port', () => {
  it.each([
    ['grpcPort', 'grpcAddress', '--grpc-port'],
    ['httpPort', 'httpAddress', '--http-port'],
  ] as const)('%s is PORT_TAKEN, naming address and flag', async (setting, address, flag) => {
    const first = await ownRig();
    const taken = Number(first.bridge[address].split(':')[1]);
    const failure = startRig({ config: { [setting]: taken } });
    await expect(failure).rejects.toMatchObject({
      code: 'PORT_TAKEN',
      message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${taken}.*${flag}`)),
    });
  });

  it('of HTTP leaves no gRPC endpoint behind', async () => {
    const first = await ownRig();
    const grpcPort = await freePort();
    const httpPort = Number(first.bridge.httpAddress.split(':')[1]);
    await expect(startRig({ config: { grpcPort, httpPort } })).rejects.toMatchObject({ code: 'PORT_TAKEN' });
    const second = await ownRig({ config: { grpcPort } });
    expect(second.bridge.grpcAddress).toBe(`127.0.0.1:${grpcPort}`);
  });

  it("an address that is not this machine's names --host", async () => {
    await expect(startRig({ config: { host: '192.0.2.1', grpcPort: 0 } })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('--host'),
    });
  });
});

describe('the log', () => {
  it('has one line a second for each reason, however many are refused, and nothing of the payload', async () => {
    const rig = await ownRig();
    for (let round = 0; round < 5; round++) await rig.post('/v1/traces', 'secret', PROTOBUF);
    await rig.post('/v1/traces', '{"resourceSpans":"secret"}', JSON_TYPE);
    await rig.post('/v1/nowhere', 'secret', PROTOBUF);
    const refused = rig.logLines.filter(({ reason }) => reason !== undefined);
    expect(refused.map(({ reason }) => reason)).toEqual(['malformed', 'not_found']);
    expect(JSON.stringify(rig.logLines)).not.toContain('secret');
    expect(await rig.counted()).toMatchObject({ 'traces http/protobuf malformed': 5, 'traces http/json malformed': 1 });
  });
});
