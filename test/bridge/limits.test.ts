/** What one stranger, or two hundred, can do to a bridge: no more than the settings let them. Real sockets. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/config.ts';
import { eventually } from '../support/eventually.ts';
import { openWire, prefixed, type Wire } from './grpc-wire.ts';
import { request } from './requests.ts';
import { decodeStatus, type Rig, startRig } from './rig.ts';

const PROTOBUF = { 'content-type': 'application/x-protobuf' };
const MiB = 1024 * 1024;
/** For what takes a moment: on a busy machine several seconds. */

const opened: Array<{ close(): unknown }> = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});
async function start(bridge: NonNullable<ConfigInput['bridge']> = {}): Promise<Rig> {
  const rig = await startRig({ config: { bridge } });
  opened.push(rig);
  return rig;
}
async function wireTo(rig: Rig): Promise<Wire> {
  const wire = await openWire(rig);
  opened.push(wire);
  return wire;
}
function socketTo(address: string): Socket {
  const [host, port] = address.split(':');
  const socket = connect(Number(port), host);
  socket.on('error', () => undefined);
  opened.push({ close: () => socket.destroy() });
  return socket;
}

/** What the bridge says to these bytes by HTTP until it closes the connection. */
async function answerTo(rig: Rig, bytes: string): Promise<{ status: number; head: string; body: Buffer }> {
  const socket = socketTo(rig.bridge.httpAddress);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(bytes);
  await once(socket, 'close');
  const answer = Buffer.concat(chunks);
  const end = answer.indexOf('\r\n\r\n');
  const head = String(answer.subarray(0, end));
  return { status: Number(head.split(' ')[1]), head, body: answer.subarray(end + 4) };
}

describe('a gzip bomb', () => {
  it.each([
    ['maxRequestBytes', 8 * MiB],
    ['maxInflationRatio', 10],
  ])('stops at bridge.%s by gRPC and HTTP, and the bridge stays small', async (setting, limit) => {
    const rig = await start({ [setting]: limit });
    // 1 GiB, in two layers of zeros that a compressor makes quickly.
    const bomb = Buffer.concat(Array(64).fill(gzipSync(Buffer.alloc(16 * MiB))));
    const before = process.memoryUsage.rss();
    const byHttp = await rig.post('/v1/traces', bomb, { ...PROTOBUF, 'content-encoding': 'gzip' });
    expect(byHttp.status).toBe(413);
    const message = expect.stringContaining(`bridge.${setting} (${limit})`);
    expect(decodeStatus(byHttp.body)).toEqual({ code: status.RESOURCE_EXHAUSTED, message, retryAfterMs: null });
    const wire = await wireTo(rig);
    const call = wire.call({ 'grpc-encoding': 'gzip' });
    call.end(prefixed(bomb, { flag: 1 }));
    const answer = await call.answer;
    expect(answer).toMatchObject({ code: status.RESOURCE_EXHAUSTED, message });
    expect(answer.headers['grpc-status-details-bin']).toBeUndefined();
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 * MiB);
  });
});

describe('bodies that are being read', () => {
  it('count towards bridge.queueBytes over all connections: others are told to come again, and room comes back', async () => {
    const rig = await start({ queueBytes: 4 * MiB });
    const wires = await Promise.all(Array.from({ length: 8 }, () => wireTo(rig)));
    const large = prefixed(request('large', 'x'.repeat(MiB)));
    // Each sends 1 MiB of what it says is more, and stops.
    const calls = wires.map((wire) => {
      const call = wire.call();
      call.write(Buffer.concat([prefixed(Buffer.alloc(0), { claimed: 2 * MiB }), large]));
      return call;
    });
    const refused = await Promise.race(calls.map(({ answer }) => answer));
    expect(refused.code).toBe(status.UNAVAILABLE);
    expect(decodeStatus(Buffer.from(String(refused.headers['grpc-status-details-bin']), 'base64'))).toMatchObject({
      code: status.UNAVAILABLE,
      retryAfterMs: expect.any(Number),
    });
    await eventually(async () => expect((await rig.counted())['traces grpc queue_full']).toBeGreaterThanOrEqual(4));
    for (const wire of wires) wire.close();
    await eventually(async () => {
      expect((await rig.post('/v1/traces', request('next', 'x'.repeat(3 * MiB)), PROTOBUF)).status).toBe(200);
    });
  });

  it('of connections that break off leave nothing held', async () => {
    const rig = await start({ queueBytes: MiB });
    for (let round = 0; round < 10; round++) {
      const wire = await openWire(rig);
      const call = wire.call();
      call.write(prefixed(Buffer.alloc(200_000), { claimed: 400_000 }));
      await new Promise((resolve) => wire.session.ping(resolve));
      wire.close();
      const socket = socketTo(rig.bridge.httpAddress);
      socket.write('POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n');
      socket.write(`content-length: 400000\r\n\r\n${'x'.repeat(200_000)}`, () => socket.destroy());
      await once(socket, 'close');
    }
    // 10 x 2 x 200 kB were read, and more than a fourth of that is not allowed at a time.
    await eventually(async () => {
      const wire = await wireTo(rig);
      const other = wire.call();
      other.write(prefixed(Buffer.alloc(500_000), { claimed: 1_000_000 }));
      const answer = await rig.post('/v1/traces', request('x', 'x'.repeat(200_000)), PROTOBUF);
      wire.close();
      expect(answer.status).toBe(200);
    });
  });
});

describe('a slow sender', () => {
  it('of headers or of a body by HTTP is answered 408 with a google.rpc.Status, counted, and cut off', async () => {
    const rig = await start({ headersTimeoutMs: 500, requestTimeoutMs: 1_000 });
    const head = 'POST /v1/traces HTTP/1.1\r\nhost: x\r\n';
    const body = `${head}content-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\nx`;
    const [toHead, toBody] = await Promise.all([answerTo(rig, head), answerTo(rig, body)]);
    expect(toHead.status).toBe(408);
    expect(JSON.parse(String(toHead.body))).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    expect(toBody.status).toBe(408);
    expect(toBody.head).toContain('application/x-protobuf');
    expect(decodeStatus(toBody.body)).toMatchObject({
      code: status.DEADLINE_EXCEEDED,
      retryAfterMs: expect.any(Number),
    });
    expect(await rig.counted()).toMatchObject({
      'none http/protobuf timed_out': 1,
      'traces http/protobuf timed_out': 1,
    });
  });
});

describe('connections', () => {
  it.each(['grpcAddress', 'httpAddress'] as const)(
    'over the limit of %s are dropped, counted and logged once',
    async (address) => {
      const rig = await start({ maxConnections: 2 });
      const sockets = [socketTo(rig.bridge[address]), socketTo(rig.bridge[address])];
      await Promise.all(sockets.map((socket) => once(socket, 'connect')));
      for (let more = 0; more < 3; more++) {
        const dropped = socketTo(rig.bridge[address]);
        dropped.resume();
        await once(dropped, 'close');
      }
      expect((await rig.metrics.bridgeConnectionsDropped.get()).values[0]!.value).toBe(3);
      expect(rig.logLines.filter(({ msg }) => String(msg).includes('bridge.maxConnections'))).toHaveLength(1);
      sockets[0]!.destroy();
      await eventually(async () => {
        const gauge = (await rig.metrics.bridgeConnections.get()).values;
        expect(gauge.reduce((sum, { value }) => sum + value, 0)).toBe(1);
      });
    },
  );

  it('with headers over the limit are answered 431, and what is no HTTP 400, with a google.rpc.Status each', async () => {
    const rig = await start({ maxHeaderBytes: 2_048 });
    const large = await answerTo(rig, `POST /v1/traces HTTP/1.1\r\nx-large: ${'x'.repeat(3_000)}\r\n\r\n`);
    expect(large.status).toBe(431);
    expect(JSON.parse(String(large.body))).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      message: expect.stringContaining('bridge.maxHeaderBytes (2048)'),
      details: [],
    });
    const garbage = await answerTo(rig, 'no HTTP\r\n\r\n');
    expect(garbage.status).toBe(400);
    expect(JSON.parse(String(garbage.body))).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(await rig.counted()).toMatchObject({
      'none http/protobuf headers_too_large': 1,
      'none http/protobuf malformed': 1,
    });
  });
});
