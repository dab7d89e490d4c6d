/** grpc.health.v1 by grpc-js with the published proto. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { afterEach, describe, expect, it } from 'vitest';
import { request } from './requests.ts';
import { HeldProducer, type Rig, startRig } from './rig.ts';

const health = protobuf.parse(`
  syntax = "proto3";
  message HealthCheckRequest { string service = 1; }
  message HealthCheckResponse {
    enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
    ServingStatus status = 1;
  }
  message HealthListRequest {}
  message HealthListResponse { map<string, HealthCheckResponse> statuses = 1; }
`).root;

const encode = (type: string) => (value: object) =>
  Buffer.from(health.lookupType(type).encode(health.lookupType(type).fromObject(value)).finish());
const decode = (type: string) => (bytes: Buffer) =>
  health.lookupType(type).toObject(health.lookupType(type).decode(bytes), { enums: String });

const SERVICES = ['trace.v1.TraceService', 'metrics.v1.MetricsService', 'logs.v1.LogsService'].map(
  (name) => `opentelemetry.proto.collector.${name}`,
);

const opened: Array<{ close(): unknown }> = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

function clientOf(rig: Rig) {
  const client = new grpc.Client(rig.bridge.grpcAddress, grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  opened.push(client);
  const path = (method: string) => `/grpc.health.v1.Health/${method}`;
  const unary = (method: string, [asked, answered]: [string, string], value: object) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      client.makeUnaryRequest(path(method), encode(asked), decode(answered), value, (error, answer) =>
        error ? reject(error) : resolve(answer ?? {}),
      );
    });
  return {
    check: (service: string) => unary('Check', ['HealthCheckRequest', 'HealthCheckResponse'], { service }),
    list: () => unary('List', ['HealthListRequest', 'HealthListResponse'], {}),
    watch: (service: string) =>
      client.makeServerStreamRequest(path('Watch'), encode('HealthCheckRequest'), decode('HealthCheckResponse'), {
        service,
      }),
  };
}

describe('health', () => {
  it('is SERVING for the server and each OTLP service, NOT_FOUND for others, and lists them', async () => {
    const rig = await startRig();
    opened.push(rig);
    const client = clientOf(rig);
    for (const service of ['', ...SERVICES]) expect(await client.check(service)).toEqual({ status: 'SERVING' });
    await expect(client.check('no.such.Service')).rejects.toMatchObject({ code: grpc.status.NOT_FOUND });
    const { statuses } = (await client.list()) as { statuses: Record<string, unknown> };
    expect(Object.keys(statuses)).toEqual(expect.arrayContaining(['', ...SERVICES]));
    expect(new Set(Object.values(statuses).map((value) => JSON.stringify(value)))).toEqual(
      new Set(['{"status":"SERVING"}']),
    );
  });

  it('becomes NOT_SERVING while the bridge drains, also for those who watch, whose calls then end', async () => {
    const held = new HeldProducer();
    const rig = await startRig({ wrap: () => held });
    const client = clientOf(rig);
    const watch = client.watch(SERVICES[0]!);
    const unknown = client.watch('no.such.Service');
    const seen = { watched: [] as unknown[], unknown: [] as unknown[] };
    const ended = [watch, unknown].map(
      (call) => new Promise<number>((resolve) => call.on('error', (error: grpc.ServiceError) => resolve(error.code))),
    );
    const first = new Promise((resolve) => watch.once('data', resolve));
    watch.on('data', (answer) => seen.watched.push(answer));
    unknown.on('data', (answer) => seen.unknown.push(answer));
    await first;
    const accepted = rig.post('/v1/traces', request('x'), { 'content-type': 'application/x-protobuf' });
    await held.called(1);
    const closed = rig.close();
    expect(await client.check('')).toEqual({ status: 'NOT_SERVING' });
    held.calls[0]!.answer();
    expect((await accepted).status).toBe(200);
    await closed;
    expect(await Promise.all(ended)).toEqual([grpc.status.UNAVAILABLE, grpc.status.UNAVAILABLE]);
    expect(seen.watched).toEqual([{ status: 'SERVING' }, { status: 'NOT_SERVING' }]);
    expect(seen.unknown[0]).toEqual({ status: 'SERVICE_UNKNOWN' });
  });

  it('needs no credentials, and a request of nonsense harms nobody', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-health-'));
    opened.push({ close: () => rmSync(folder, { recursive: true }) });
    const credentialsFile = join(folder, 'credentials.yaml');
    writeFileSync(credentialsFile, 'tokens: [{ token: some-token-0123456789 }]');
    const rig = await startRig({ config: { bridge: { auth: { credentialsFile } } } });
    opened.push(rig);
    expect(await clientOf(rig).check('')).toEqual({ status: 'SERVING' });
    const client = new grpc.Client(rig.bridge.grpcAddress, grpc.credentials.createInsecure());
    opened.push(client);
    const code = await new Promise((resolve) => {
      const identity = (bytes: Buffer) => bytes;
      client.makeUnaryRequest('/grpc.health.v1.Health/Check', identity, identity, Buffer.from('hello'), (error) =>
        resolve(error?.code),
      );
    });
    expect(code).toBe(grpc.status.INVALID_ARGUMENT);
  });
});
