/** The bridge's end as an orchestrator sees it: SIGTERM to a process whose clients hold on to their connections. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../src/kafka/embedded.ts';
import { request } from '../bridge/requests.ts';
import { eventually } from '../support/eventually.ts';
import { startWeir, type WeirProcess } from '../support/weir-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-bridge-'));
let weir: WeirProcess | undefined;
afterEach(async () => {
  if (weir && weir.child.exitCode === null && weir.child.signalCode === null) await weir.kill();
  rmSync(folder, { recursive: true });
});

it('SIGTERM ends a bridge within 10 s with exit code 0, whatever its clients hold open', async () => {
  const credentialsFile = join(folder, 'credentials.yaml');
  const token = 'some-token-0123456789';
  writeFileSync(credentialsFile, `tokens: [{ token: ${token}, tenant: acme }]`);
  const [grpcPort, httpPort] = [await freePort(), await freePort()];
  weir = await startWeir(['up', '--kafka', 'memory'], {
    WEIR_GRPC_PORT: String(grpcPort),
    WEIR_HTTP_PORT: String(httpPort),
    WEIR_BRIDGE_AUTH_CREDENTIALS_FILE: credentialsFile,
  });
  await eventually(() => expect(weir?.output()).toContain('Weir is running'));
  const accepted = await fetch(`http://127.0.0.1:${httpPort}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf', authorization: `Bearer ${token}` },
    body: request('x'),
  });
  expect(accepted.status).toBe(200);

  const http2 = connectHttp2(`http://127.0.0.1:${grpcPort}`);
  http2.on('error', () => undefined);
  const watch = http2.request({
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Watch',
    'content-type': 'application/grpc',
  });
  watch.on('error', () => undefined);
  watch.end(Buffer.alloc(5));
  const half = connect(httpPort, '127.0.0.1');
  half.on('error', () => undefined);
  half.write('POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n');
  await once(watch, 'data');

  const askedAt = performance.now();
  expect(await weir.stop('SIGTERM'), weir.output()).toBe(0);
  expect(performance.now() - askedAt).toBeLessThan(10_000);
  expect(weir.output()).not.toContain(token);
  // The demo shop has no token: it is left out, and the screen says how to send.
  expect(weir.output()).toContain(`OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${httpPort}`);
});
