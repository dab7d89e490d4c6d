/** gRPC as it is on the wire, well formed and not: what a client library would never send, a stranger may. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually, PATIENCE_MS } from '../support/eventually.ts';
import { openWire, prefixed, TRACES, type Wire } from './grpc-wire.ts';
import { request } from './requests.ts';
import { HeldProducer, type Rig, type RigOptions, startRig } from './rig.ts';

const opened: Array<{ close(): unknown }> = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});
async function start(options: RigOptions = {}): Promise<{ rig: Rig; wire: Wire }> {
  const rig = await startRig(options);
  opened.push(rig);
  const wire = await openWire(rig);
  opened.push(wire);
  return { rig, wire };
}
const stored = async (rig: Rig) => (await rig.stored('traces')).map(({ value }) => value);

describe('a message', () => {
  it('may come in any pieces, its prefix too', async () => {
    const { rig, wire } = await start({ config: { bridge: { minPingIntervalMs: 0 } } });
    const body = request('pieces', 'x'.repeat(100));
    const bytes = prefixed(body);
    for (const sizes of [[1, 1, 1, 1, 1, 1], [4, 2], [5], [6], []]) {
      const call = wire.call();
      let at = 0;
      for (const size of sizes) {
        call.write(bytes.subarray(at, at + size));
        at += size;
        // A ping there and back, so that what was written has gone out in a frame of its own.
        await new Promise((resolve) => wire.session.ping(resolve));
      }
      call.end(bytes.subarray(at));
      expect(await call.answer).toMatchObject({ status: 200, code: status.OK, body: Buffer.alloc(5) });
    }
    expect(await stored(rig)).toEqual(Array(5).fill(body));
  });

  it('of many frames arrives whole, and many at once do not mix, also when memory is used again', async () => {
    const { rig, wire } = await start();
    const sent: string[] = [];
    for (let round = 0; round < 3; round++) {
      const calls = Array.from({ length: 20 }, (_, index) => {
        const body = request(`r${round}-${index}`, String.fromCharCode(97 + index).repeat(index * 15_000));
        sent.push(body.toString('latin1'));
        const call = wire.call();
        call.end(prefixed(body));
        return call.answer;
      });
      for (const answer of await Promise.all(calls)) expect(answer.code).toBe(status.OK);
    }
    expect((await stored(rig)).map((value) => value.toString('latin1')).sort()).toEqual(sent.sort());
  });

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ] as const)('may be compressed by %s, or not though grpc-encoding names it', async (encoding, compress) => {
    const { rig, wire } = await start();
    const body = request('compressed', 'x'.repeat(3_000_000));
    const compressed = wire.call({ 'grpc-encoding': encoding });
    compressed.end(prefixed(compress(body), { flag: 1 }));
    expect(await compressed.answer).toMatchObject({ code: status.OK });
    const plain = wire.call({ 'grpc-encoding': encoding });
    plain.end(prefixed(body));
    expect(await plain.answer).toMatchObject({ code: status.OK });
    expect((await stored(rig)).map((value) => value.equals(body))).toEqual([true, true]);
  });

  it.each<[string, Buffer, number]>([
    ['that is missing', Buffer.alloc(0), status.INTERNAL],
    ['that is cut off', prefixed(request('x'), { claimed: 1_000 }), status.INTERNAL],
    ['that is two', Buffer.concat([prefixed(request('x')), prefixed(request('y'))]), status.INTERNAL],
    ['with a flag that nobody knows', prefixed(request('x'), { flag: 2 }), status.INTERNAL],
    ['that says it is compressed, without grpc-encoding', prefixed(gzipSync('x'), { flag: 1 }), status.INTERNAL],
    ['that claims 4 GiB', prefixed(request('x'), { claimed: 0xffff_ffff }), status.RESOURCE_EXHAUSTED],
  ])('%s is refused, counted and not stored', async (_, bytes, code) => {
    const { rig, wire } = await start();
    const call = wire.call();
    call.end(bytes);
    expect(await call.answer).toMatchObject({ status: 200, code });
    expect(await stored(rig)).toEqual([]);
    expect(Object.values(await rig.counted())).toEqual([1]);
    // The connection goes on.
    const next = wire.call();
    next.end(prefixed(request('next')));
    expect(await next.answer).toMatchObject({ code: status.OK });
  });

  it('that is too large is refused by its prefix, before it is sent', async () => {
    const { wire } = await start({ config: { bridge: { maxRequestBytes: 1_000 } } });
    const call = wire.call();
    call.write(prefixed(Buffer.alloc(0), { claimed: 1_001 }));
    expect(await call.answer).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  });
});

describe('a request', () => {
  it('of an unknown method, by an unknown compression or with a senseless timeout has the status that says so', async () => {
    const { wire } = await start();
    const codeOf = async (headers: Record<string, string>) => {
      const call = wire.call(headers);
      call.end(prefixed(request('x')));
      return (await call.answer).code;
    };
    expect(await codeOf({ ':path': '/no.such.Service/Export' })).toBe(status.UNIMPLEMENTED);
    expect(await codeOf({ ':path': TRACES.replace('Export', 'Import') })).toBe(status.UNIMPLEMENTED);
    expect(await codeOf({ 'grpc-encoding': 'snappy' })).toBe(status.UNIMPLEMENTED);
    expect(await codeOf({ 'grpc-timeout': 'soon' })).toBe(status.INTERNAL);
    expect(await codeOf({ 'content-type': 'application/grpc+proto' })).toBe(status.OK);
  });

  it('that is not gRPC gets an HTTP status, not a gRPC one', async () => {
    const { wire } = await start();
    for (const headers of [{ 'content-type': 'application/json' }, { 'content-type': 'application/grpc-web' }]) {
      const call = wire.call(headers);
      call.end();
      expect(await call.answer).toMatchObject({ status: 415, code: null });
    }
    const got = wire.call({ ':method': 'GET' });
    got.end();
    expect(await got.answer).toMatchObject({ status: 415 });
  });

  it('that is refused has its message percent-encoded', async () => {
    const { wire } = await start();
    const service = Buffer.from('Größe 100%\n');
    const call = wire.call({ ':path': '/grpc.health.v1.Health/Check' });
    call.end(prefixed(Buffer.concat([Buffer.from([0x0a, service.length]), service])));
    const { code, headers, message } = await call.answer;
    expect(code).toBe(status.NOT_FOUND);
    expect(headers['grpc-message']).toContain('Gr%C3%B6%C3%9Fe 100%25%0A');
    expect(message).toBe('there is no service Größe 100%\n here');
  });

  it('whose deadline passes while Kafka is slow ends with it', async () => {
    const held = new HeldProducer();
    const { rig, wire } = await start({ wrap: () => held });
    const first = wire.call();
    first.end(prefixed(request('first')));
    await held.called(1);
    const late = wire.call({ 'grpc-timeout': '50m' });
    late.end(prefixed(request('late')));
    expect(await late.answer).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    for (const call of held.calls) call.answer();
    expect(await first.answer).toMatchObject({ code: status.OK });
    // It was with Kafka by then, and Kafka has it.
    expect(await rig.counted()).toEqual({ 'traces grpc ok': 2 });
  });
});

describe('a connection', () => {
  it('that sends half a request and then nothing loses the request, not itself', async () => {
    const { wire, rig } = await start({ config: { bridge: { requestTimeoutMs: 500 } } });
    const slow = wire.call();
    slow.write(prefixed(request('slow')).subarray(0, 10));
    expect(await slow.answer).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    const silent = wire.call();
    expect(await silent.answer).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    expect(await rig.counted()).toMatchObject({ 'traces grpc timed_out': 2 });
    const next = wire.call();
    next.end(prefixed(request('next')));
    expect(await next.answer).toMatchObject({ code: status.OK });
  });

  it('that never says hello is closed', async () => {
    const { rig } = await start({ config: { bridge: { headersTimeoutMs: 100 } } });
    const [host, port] = rig.bridge.grpcAddress.split(':');
    const socket = connect(Number(port), host);
    socket.resume();
    await once(socket, 'close');
    const http = connect(Number(rig.bridge.httpAddress.split(':')[1]), host);
    http.write('POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-slow');
    const [answer] = await once(http, 'data');
    expect(String(answer)).toContain('HTTP/1.1 408');
    await once(http, 'close');
  });

  it('that is idle is asked to leave by GOAWAY', async () => {
    const { wire } = await start({ config: { bridge: { idleTimeoutMs: 100 } } });
    const [code] = await once(wire.session, 'goaway');
    expect(code).toBe(0);
  });

  it('that leaves a ping unanswered is cut off', async () => {
    const { rig } = await start({ config: { bridge: { keepAliveMs: 50, keepAliveTimeoutMs: 100 } } });
    const [host, port] = rig.bridge.grpcAddress.split(':');
    const socket = connect(Number(port), host);
    // The preface and an empty SETTINGS frame, then not a word more, as of a machine that lost its power.
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    socket.resume();
    await once(socket, 'close');
  });

  it('that answers pings stays', async () => {
    const { wire } = await start({ config: { bridge: { keepAliveMs: 20, keepAliveTimeoutMs: PATIENCE_MS } } });
    let pings = 0;
    wire.session.on('ping', () => pings++);
    await eventually(() => expect(pings).toBeGreaterThan(2));
    const call = wire.call();
    call.end(prefixed(request('here')));
    expect(await call.answer).toMatchObject({ code: status.OK });
  });

  it('that pings all the time is told too_many_pings and cut off', async () => {
    const { wire } = await start();
    const goaway = once(wire.session, 'goaway');
    const closed = new Promise((resolve) => wire.session.once('close', resolve));
    for (let ping = 0; ping < 4; ping++) wire.session.ping(() => undefined);
    const [code, , text] = await goaway;
    expect(code).toBe(11);
    expect(String(text)).toBe('too_many_pings');
    await closed;
  });

  it('takes no more requests at a time, and no larger headers, than it says', async () => {
    const held = new HeldProducer();
    const { wire } = await start({
      wrap: () => held,
      config: { bridge: { maxConcurrentStreams: 3, maxHeaderBytes: 2_048 } },
    });
    expect(wire.session.remoteSettings.maxConcurrentStreams).toBe(3);
    expect(wire.session.remoteSettings.maxHeaderListSize).toBe(2_048);
    await expect(wire.call({ 'x-large': 'x'.repeat(4_000) }).answer).rejects.toThrow();
  });
});
