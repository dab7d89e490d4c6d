/** TLS, client certificates, credentials and tenants, with the official exporters and real certificates. */
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import grpc from '@grpc/grpc-js';
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/config.ts';
import type { Signal } from '../../src/signals.ts';
import { type Certificate, makeAuthority, makeCertificate } from '../support/certificates.ts';
import { eventually, PATIENCE_MS } from '../support/eventually.ts';
import { request } from './requests.ts';
import { decodeStatus, type Rig, startRig } from './rig.ts';
import { sampleLogs, sampleSpans } from './sdk-samples.ts';

const PROTOBUF = { 'content-type': 'application/x-protobuf' };
const ACME = 'acme-token-0123456789';
const GLOBEX = 'globex-token-0123456789';

const folder = mkdtempSync(join(tmpdir(), 'weir-security-'));
const at = (name: string) => join(folder, name);
let authority: Certificate;
let server: Certificate;
let client: Certificate;
let stranger: Certificate;
beforeAll(async () => {
  authority = await makeAuthority(folder, 'authority');
  server = await makeCertificate(folder, 'server', authority, 'DNS:localhost,IP:127.0.0.1');
  client = await makeCertificate(folder, 'client', authority);
  stranger = await makeCertificate(folder, 'stranger', await makeAuthority(folder, 'other'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const rigs: Rig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});
async function start(bridge: NonNullable<ConfigInput['bridge']>, config: ConfigInput = {}): Promise<Rig> {
  const rig = await startRig({ config: { ...config, bridge } });
  rigs.push(rig);
  return rig;
}

const tls = () => ({ enabled: true, certFile: server.certFile, keyFile: server.keyFile });
const ca = () => readFileSync(authority.certFile);

function credentials(text: string, name = 'credentials.yaml'): string {
  // As Kubernetes and editors do it: the file is replaced, not written to.
  writeFileSync(at('new'), text);
  renameSync(at('new'), at(name));
  return at(name);
}
const TWO_TENANTS = `
tokens:
  - { token: ${ACME}, tenant: acme }
  - { token: ${GLOBEX}, tenant: globex }
  - { token: nobody-token-0123456789 }
users:
  - { name: alice, password: correct horse, tenant: wonderland }
`;

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: Buffer;
}
function post(rig: Rig, headers: Record<string, string>, shown?: Certificate): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpsRequest(
      `https://${rig.bridge.httpAddress}/v1/traces`,
      {
        method: 'POST',
        agent: false,
        headers: { ...PROTOBUF, ...headers },
        ca: ca(),
        ...(shown && { cert: readFileSync(shown.certFile), key: readFileSync(shown.keyFile) }),
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(chunks) }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(request('x'));
  });
}

function callGrpc(
  rig: Rig,
  { metadata = {}, channel }: { metadata?: Record<string, string>; channel?: grpc.ChannelCredentials } = {},
): Promise<{ code: number; details: string }> {
  const caller = new grpc.Client(rig.bridge.grpcAddress, channel ?? grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  const sent = new grpc.Metadata();
  for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
  const identity = (bytes: Buffer) => bytes;
  return new Promise((resolve) => {
    const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
    const deadline = Date.now() + PATIENCE_MS;
    caller.makeUnaryRequest(path, identity, identity, request('x'), sent, { deadline }, (error) => {
      caller.close();
      resolve({ code: error?.code ?? 0, details: error?.details ?? '' });
    });
  });
}

const tenants = async (rig: Rig, signal: Signal = 'traces') =>
  (await rig.stored(signal)).map(({ headers }) => new Map(headers).get('tenant'));

function exported(exporter: { export(batch: never, done: (result: { error?: Error }) => void): void }, batch: unknown) {
  return new Promise<string>((resolve) => {
    exporter.export(batch as never, ({ error }) => resolve(error?.message ?? 'ok'));
  });
}

describe('over TLS with tokens', () => {
  it('the official exporters of each protocol send, and each record has the tenant of the token', async () => {
    const rig = await start({ tls: tls(), auth: { credentialsFile: credentials(TWO_TENANTS) } });
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${ACME}`);
    const byGrpc = new GrpcTraces({
      url: `https://${rig.bridge.grpcAddress}`,
      credentials: grpc.credentials.createSsl(ca()),
      metadata,
    });
    const headers = { authorization: `Bearer ${GLOBEX}` };
    const httpAgentOptions = { ca: ca() };
    const byProto = new ProtoTraces({ url: `https://${rig.bridge.httpAddress}/v1/traces`, headers, httpAgentOptions });
    const byJson = new JsonLogs({ url: `https://${rig.bridge.httpAddress}/v1/logs`, headers, httpAgentOptions });
    expect(await exported(byGrpc, await sampleSpans())).toBe('ok');
    expect(await exported(byProto, await sampleSpans())).toBe('ok');
    expect(await exported(byJson, await sampleLogs())).toBe('ok');
    for (const exporter of [byGrpc, byProto, byJson]) await exporter.shutdown();
    expect((await tenants(rig)).sort()).toEqual(['acme', 'globex']);
    expect(await tenants(rig, 'logs')).toEqual(['globex']);
  });

  it('TLS 1.1, and a client that does not trust the authority, do not get in; plain text neither', async () => {
    const rig = await start({ tls: tls() });
    const [host, port] = rig.bridge.grpcAddress.split(':');
    const failure = await new Promise((resolve) => {
      const socket = tlsConnect({ host, port: Number(port), ca: ca(), maxVersion: 'TLSv1.1', minVersion: 'TLSv1' });
      socket.on('secureConnect', () => resolve('connected'));
      socket.on('error', (error) => resolve(error.message));
    });
    expect(failure).not.toBe('connected');
    expect((await callGrpc(rig, { channel: grpc.credentials.createSsl() })).code).toBe(grpc.status.UNAVAILABLE);
    expect((await callGrpc(rig)).code).not.toBe(0);
    await expect(rig.post('/v1/traces', request('x'), PROTOBUF)).rejects.toThrow();
  });
});

describe('a TLS handshake', () => {
  it.each(['grpcAddress', 'httpAddress'] as const)(
    'at %s that never begins, or stops half-way, is cut off after bridge.headersTimeoutMs',
    async (address) => {
      const rig = await start({ tls: tls(), headersTimeoutMs: 200 });
      const [host, port] = rig.bridge[address].split(':');
      // The head of a record that announces a ClientHello of 512 bytes.
      for (const begun of ['', Buffer.from([22, 3, 1, 2, 0, 1])]) {
        const socket = connect(Number(port), host);
        socket.on('error', () => undefined);
        socket.resume();
        const connectedAt = performance.now();
        socket.write(begun);
        await once(socket, 'close');
        expect(performance.now() - connectedAt).toBeGreaterThan(150);
      }
      await eventually(async () => {
        const { values } = await rig.metrics.bridgeConnections.get();
        expect(values.reduce((sum, { value }) => sum + value, 0)).toBe(0);
      });
      expect(await rig.counted()).toEqual({});
    },
  );
});

describe('a client certificate', () => {
  const channel = (shown?: Certificate) =>
    shown
      ? grpc.credentials.createSsl(ca(), readFileSync(shown.keyFile), readFileSync(shown.certFile))
      : grpc.credentials.createSsl(ca());

  it('is asked of everybody, where required', async () => {
    const rig = await start({ tls: { ...tls(), clientCaFile: authority.certFile } });
    expect(await callGrpc(rig, { channel: channel(client) })).toMatchObject({ code: 0 });
    expect((await callGrpc(rig, { channel: channel() })).code).not.toBe(0);
    expect((await callGrpc(rig, { channel: channel(stranger) })).code).not.toBe(0);
    expect((await post(rig, {}, client)).status).toBe(200);
    await expect(post(rig, {})).rejects.toThrow();
    await expect(post(rig, {}, stranger)).rejects.toThrow();
  });

  it('stands in for a token, where it is not; one of a stranger does not', async () => {
    const rig = await start({
      tls: { ...tls(), clientCaFile: authority.certFile, requireClientCert: false },
      auth: { credentialsFile: credentials(TWO_TENANTS) },
    });
    expect(await callGrpc(rig, { channel: channel(client) })).toMatchObject({ code: 0 });
    for (const shown of [undefined, stranger]) {
      expect(await callGrpc(rig, { channel: channel(shown) })).toMatchObject({ code: grpc.status.UNAUTHENTICATED });
      expect((await post(rig, {}, shown)).status).toBe(401);
    }
    expect((await post(rig, { authorization: `Bearer ${ACME}` })).status).toBe(200);
    expect((await tenants(rig)).sort()).toEqual(['acme', undefined]);
  });
});

describe('credentials', () => {
  const wrong = ['Bearer wrong-token-0123456789', `Bearer ${ACME}x`, `Basic ${ACME}`, 'Bearer', ''];

  it('that are missing or wrong are UNAUTHENTICATED and 401 with a challenge, and are echoed nowhere', async () => {
    const rig = await start({ auth: { credentialsFile: credentials(TWO_TENANTS) } });
    for (const authorization of [undefined, ...wrong]) {
      const sent = authorization === undefined ? {} : { authorization };
      const byGrpc = await callGrpc(rig, { metadata: sent as Record<string, string> });
      expect(byGrpc.code).toBe(grpc.status.UNAUTHENTICATED);
      const byHttp = await rig.post('/v1/traces', request('x'), { ...PROTOBUF, ...sent } as Record<string, string>);
      expect(byHttp.status).toBe(401);
      expect(byHttp.headers.get('www-authenticate')).toBe('Bearer realm="weir", Basic realm="weir"');
      expect(decodeStatus(byHttp.body)).toMatchObject({ code: grpc.status.UNAUTHENTICATED, retryAfterMs: null });
      expect(byGrpc.details + byHttp.body).not.toMatch(/wrong-token|acme-token/);
    }
    const json = await rig.post('/v1/logs', '{}', { 'content-type': 'application/json' });
    expect(JSON.parse(json.body.toString())).toMatchObject({ code: grpc.status.UNAUTHENTICATED });
    expect(await rig.stored('traces')).toEqual([]);
    expect(JSON.stringify(rig.logLines)).not.toMatch(/token-0123456789|correct horse/);
    expect(await rig.counted()).toMatchObject({ 'traces grpc unauthenticated': 6 });
  });

  it('by basic authentication are taken too', async () => {
    const rig = await start({ auth: { credentialsFile: credentials(TWO_TENANTS) } });
    const authorization = `basic ${Buffer.from('alice:correct horse').toString('base64')}`;
    expect((await rig.post('/v1/traces', request('x'), { ...PROTOBUF, authorization })).status).toBe(200);
    expect(await callGrpc(rig, { metadata: { authorization } })).toMatchObject({ code: 0 });
    expect(await tenants(rig)).toEqual(['wonderland', 'wonderland']);
  });

  it('may change while the bridge runs; a broken file leaves the last good one in force and is said loudly', async () => {
    const credentialsFile = credentials(TWO_TENANTS, 'changing.yaml');
    const rig = await start({ auth: { credentialsFile } });
    const status = async (token: string) =>
      (await rig.post('/v1/traces', request('x'), { ...PROTOBUF, authorization: `Bearer ${token}` })).status;
    expect(await status(ACME)).toBe(200);
    credentials('tokens: [{ token: short }]', 'changing.yaml');
    await eventually(() => expect(rig.logLines.filter(({ level }) => level === 50)).toHaveLength(1));
    expect(JSON.stringify(rig.logLines.at(-1))).toContain('tokens[0].token');
    expect(await status(ACME)).toBe(200);
    credentials('tokens: [{ token: another-token-0123456789 }]', 'changing.yaml');
    await eventually(async () => expect(await status('another-token-0123456789')).toBe(200));
    expect(await status(ACME)).toBe(401);
  });

  it.each([
    ['no file', undefined, 'there is no such file'],
    ['no YAML', 'tokens: [{ token: "secret-token-0123456789 }', 'neither YAML nor JSON'],
    ['nobody', 'tokens: []', 'nobody could send'],
    ['a short password', 'users: [{ name: a, password: secret }]', 'users[0].password is not allowed'],
    ['an unknown key', 'token: secret-token-0123456789', 'a key that is not known'],
    [
      'a token twice',
      'tokens: [{ token: secret-token-0123456789 }, { token: secret-token-0123456789 }]',
      'tokens[1] stands there twice',
    ],
    ['a tenant of two lines', 'tokens: [{ token: secret-token-0123456789, tenant: "a\\nb" }]', 'tokens[0].tenant'],
  ])('in a file with %s stop the start with a sentence that shows nothing of them', async (_, text, sentence) => {
    const credentialsFile = text === undefined ? at('missing.yaml') : credentials(text, 'broken.yaml');
    const failure = await start({ auth: { credentialsFile } }).catch((error: unknown) => error as Error);
    expect(failure).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(sentence) });
    expect((failure as Error).message).not.toContain('secret');
  });
});

describe('the tenant', () => {
  it('is taken from no header by itself, whoever sends it', async () => {
    const rig = await start({});
    await rig.post('/v1/traces', request('x'), { ...PROTOBUF, tenant: 'acme' });
    await callGrpc(rig, { metadata: { tenant: 'acme' } });
    expect(await tenants(rig)).toEqual([undefined, undefined]);
  });

  it("is that of the credential, whatever the request's headers say", async () => {
    const rig = await start({
      auth: { credentialsFile: credentials(TWO_TENANTS) },
      tenantFromHeader: 'X-Scope-OrgID',
    });
    const forged = { tenant: 'globex', 'x-scope-orgid': 'globex', authorization: `Bearer ${ACME}` };
    await rig.post('/v1/traces', request('x'), { ...PROTOBUF, ...forged });
    await callGrpc(rig, { metadata: forged });
    expect(await tenants(rig)).toEqual(['acme', 'acme']);
  });

  it('comes from the header that the setting names, where credentials have none', async () => {
    const rig = await start({
      auth: { credentialsFile: credentials(TWO_TENANTS) },
      tenantFromHeader: 'X-Scope-OrgID',
    });
    const gateway = { tenant: 'forged', 'x-scope-orgid': 'initech', authorization: 'Bearer nobody-token-0123456789' };
    await rig.post('/v1/traces', request('x'), { ...PROTOBUF, ...gateway });
    await callGrpc(rig, { metadata: gateway });
    expect(await tenants(rig)).toEqual(['initech', 'initech']);
  });
});

describe('certificates', () => {
  it('are renewed while connections go on; broken ones leave the old in use and are said loudly', async () => {
    const files = { certFile: at('live.pem'), keyFile: at('live.key') };
    const use = (of: Certificate) => {
      copyFileSync(of.certFile, files.certFile);
      copyFileSync(of.keyFile, files.keyFile);
    };
    use(server);
    const rig = await start({ tls: { enabled: true, ...files } });
    const subject = (address: string) =>
      new Promise<string>((resolve, reject) => {
        const [host, port] = address.split(':');
        const socket = tlsConnect({ host, port: Number(port), ca: ca(), ALPNProtocols: ['h2', 'http/1.1'] }, () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.end();
        });
        socket.on('error', reject);
      });
    expect(await subject(rig.bridge.grpcAddress)).toBe('server');
    const open = new grpc.Client(rig.bridge.grpcAddress, grpc.credentials.createSsl(ca()));
    await new Promise<void>((resolve, reject) => {
      open.waitForReady(Date.now() + PATIENCE_MS, (error) => (error ? reject(error) : resolve()));
    });

    writeFileSync(files.keyFile, 'no key');
    const errors = () => rig.logLines.filter(({ level }) => level === 50);
    await eventually(() => expect(errors()).toHaveLength(1));
    expect(await subject(rig.bridge.grpcAddress)).toBe('server');

    use(await makeCertificate(folder, 'renewed', authority, 'IP:127.0.0.1'));
    await eventually(async () => expect(await subject(rig.bridge.grpcAddress)).toBe('renewed'));
    expect(await subject(rig.bridge.httpAddress)).toBe('renewed');
    expect(open.getChannel().getConnectivityState(false)).toBe(grpc.connectivityState.READY);
    open.close();
  });

  it('that cannot be used stop the start, naming the files', async () => {
    const missing = start({ tls: { ...tls(), keyFile: at('nowhere.key') } });
    await expect(missing).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/bridge\.tls\.keyFile.*nowhere\.key.*no such file/),
    });
    const mismatched = start({ tls: { ...tls(), keyFile: client.keyFile } });
    await expect(mismatched).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('beyond loopback', () => {
  const warnings = (rig: Rig) => rig.logLines.filter(({ level }) => level === 40).map(({ msg }) => String(msg));

  it('an open door is warned of once at the start, a locked one is not', async () => {
    const open = await start({}, { host: '0.0.0.0' });
    expect(warnings(open)).toEqual([
      expect.stringContaining('takes telemetry from anyone'),
      expect.stringContaining('without encryption'),
    ]);
    const locked = await start(
      { tls: tls(), auth: { credentialsFile: credentials(TWO_TENANTS) } },
      { host: '0.0.0.0' },
    );
    expect(warnings(locked)).toEqual([]);
    expect(warnings(await start({}))).toEqual([]);
  });
});
