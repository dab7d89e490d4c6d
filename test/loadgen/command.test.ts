/** `weir load` against a running bridge: what it says it sent is what Kafka holds. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../src/kafka/embedded.ts';
import { describeSummary, type LoadOptions, runLoad } from '../../src/loadgen/command.ts';
import { type Rig, startRig } from '../bridge/rig.ts';
import { type Certificate, makeAuthority, makeCertificate } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { decodeItems } from '../support/otlp-schema.ts';

const OPTIONS: LoadOptions = {
  protocol: 'grpc',
  target: '',
  signal: 'traces',
  rate: 20_000,
  itemsPerRequest: 50,
  // Longer than the second after which the first line comes.
  seconds: 1.5,
  connections: 2,
  maxInFlight: 64,
  gzip: false,
  headers: {},
  tls: null,
  services: 12,
  skew: 0,
  seed: 1,
};

let rig: Rig | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

function screen() {
  const lines: string[] = [];
  const stdout = new Writable({
    write(chunk, _, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { lines, stdout, signal: new AbortController().signal };
}

describe('weir load', () => {
  for (const protocol of ['grpc', 'http'] as const) {
    for (const gzip of [false, true]) {
      it(`sends over ${protocol}${gzip ? ', compressed,' : ''} what it counts`, async () => {
        rig = await startRig({ config: { bridge: { tenantFromHeader: 'tenant' } } });
        const target = protocol === 'grpc' ? rig.bridge.grpcAddress : rig.bridge.httpAddress;
        const { lines, ...io } = screen();
        const summary = await runLoad({ ...OPTIONS, protocol, target, gzip, headers: { tenant: 'acme' } }, io);
        expect(summary.accepted).toBe(summary.sent);
        expect(summary.refusals.size).toBe(0);
        const stored = await rig.stored('traces');
        expect(stored).toHaveLength(summary.accepted);
        expect(stored.flatMap(({ value }) => decodeItems('traces', value))).toHaveLength(summary.items);
        expect(
          stored.every(({ headers }) => headers.some(([name, value]) => name === 'tenant' && value === 'acme')),
        ).toBe(true);
        // Never more than the rate; `keeps to its rate` tells of less.
        expect(summary.items).toBeLessThanOrEqual(OPTIONS.rate * summary.seconds + OPTIONS.itemsPerRequest);
        expect(summary.p99Ms).toBeGreaterThanOrEqual(summary.p50Ms);
        expect(lines.join('')).toMatch(/spans\/s/);
        expect(describeSummary(summary, 'traces')).toContain(
          `${summary.accepted} of ${summary.sent} requests accepted`,
        );
      });
    }
  }

  it('keeps to its rate, unless the machine is too busy to send it all, and counts that', async () => {
    rig = await startRig();
    const { lines: _, ...io } = screen();
    const target = rig.bridge.httpAddress;
    // Again where the machine stood still meanwhile.
    await eventually(async () => {
      const { items, missed } = await runLoad({ ...OPTIONS, protocol: 'http', target, seconds: 0.5 }, io);
      expect(items + missed * OPTIONS.itemsPerRequest).toBeGreaterThan(7_500);
    });
  });

  it('keeps within the requests that may be in flight, and as fast as they are answered, without a rate', async () => {
    rig = await startRig();
    const { lines: _, ...io } = screen();
    const target = rig.bridge.httpAddress;
    const asFastAsAnswered = { ...OPTIONS, protocol: 'http', target, rate: 0, maxInFlight: 2, seconds: 1 } as const;
    await eventually(async () => {
      const summary = await runLoad(asFastAsAnswered, io);
      expect(summary.missed).toBe(0);
      expect(summary.accepted).toBeGreaterThan(10);
    });
  });

  it('says what the server refused', async () => {
    rig = await startRig({ config: { bridge: { maxRequestBytes: 25_000 } } });
    const { lines: _, ...io } = screen();
    const failed = runLoad({ ...OPTIONS, protocol: 'http', target: rig.bridge.httpAddress, itemsPerRequest: 500 }, io);
    await expect(failed).rejects.toMatchObject({ code: 'LOAD_TARGET', message: expect.stringContaining('413') });
  });

  it('says in one sentence that nobody listens there', async () => {
    const target = `127.0.0.1:${await freePort()}`;
    for (const protocol of ['grpc', 'http'] as const) {
      const { lines: _, ...io } = screen();
      // Without an end of its own (0 s) as with one: it gives up by itself.
      const seconds = protocol === 'grpc' ? 0 : 1;
      await expect(runLoad({ ...OPTIONS, protocol, target, seconds }, io)).rejects.toMatchObject({
        code: 'LOAD_TARGET',
        message: expect.stringMatching(new RegExp(`${target} was accepted .*ECONNREFUSED`)),
      });
    }
  });
});

describe('weir load, to a bridge with TLS and credentials', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-load-tls-'));
  const TOKEN = 'acme-token-0123456789';
  const credentialsFile = join(folder, 'credentials.yaml');
  const few = { ...OPTIONS, rate: 500, seconds: 0.2 };
  let authority: Certificate;
  let client: Certificate;
  let bridgeTls: { enabled: true; certFile: string; keyFile: string; clientCaFile: string };
  beforeAll(async () => {
    authority = await makeAuthority(folder, 'authority');
    client = await makeCertificate(folder, 'client', authority);
    const { certFile, keyFile } = await makeCertificate(folder, 'server', authority, 'IP:127.0.0.1');
    bridgeTls = { enabled: true, certFile, keyFile, clientCaFile: authority.certFile };
    writeFileSync(credentialsFile, `tokens: [{ token: ${TOKEN}, tenant: acme }]`);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  for (const protocol of ['grpc', 'http'] as const) {
    it(`sends over ${protocol}, with its own certificate and a token`, async () => {
      rig = await startRig({ config: { bridge: { tls: bridgeTls, auth: { credentialsFile } } } });
      const target = protocol === 'grpc' ? rig.bridge.grpcAddress : rig.bridge.httpAddress;
      const { lines: _, ...io } = screen();
      const tls = { caFile: authority.certFile, certFile: client.certFile, keyFile: client.keyFile };
      const headers = { authorization: `Bearer ${TOKEN}` };
      const summary = await runLoad({ ...few, protocol, target, tls, headers }, io);
      expect(summary.refusals).toEqual(new Map());
      const stored = await rig.stored('traces');
      expect(stored).toHaveLength(summary.sent);
      expect(stored[0]!.headers).toEqual([['tenant', 'acme']]);

      const untrusting = runLoad({ ...few, protocol, target, tls: { ...tls, caFile: undefined }, headers }, io);
      await expect(untrusting).rejects.toMatchObject({
        code: 'LOAD_TARGET',
        message: expect.stringMatching(/UNAVAILABLE|SELF_SIGNED|UNABLE/),
      });
      const unknown = runLoad({ ...few, protocol, target, tls }, io);
      await expect(unknown).rejects.toMatchObject({
        code: 'LOAD_TARGET',
        message: expect.stringMatching(protocol === 'grpc' ? /UNAUTHENTICATED/ : /401/),
      });
    });
  }

  it('names a file that it cannot use, before anything is sent', async () => {
    const { lines: _, ...io } = screen();
    const { certFile } = client;
    const { keyFile } = authority;
    const cases = [
      [{ caFile: join(folder, 'nowhere.pem') }, '--tls-ca: .*nowhere.pem cannot be used: there is no such file'],
      [{ caFile: credentialsFile }, '--tls-ca: .*credentials.yaml cannot be used: it holds nothing in PEM'],
      [{ certFile }, '--tls-cert and --tls-key .* give both, or neither'],
      [{ certFile, keyFile }, 'cannot use .*client.pem, .*authority.key: .*key values mismatch'],
    ] as const;
    for (const [tls, message] of cases) {
      const failed = runLoad({ ...few, target: '127.0.0.1:1', tls }, io);
      await expect(failed).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(new RegExp(message)),
      });
    }
  });
});
