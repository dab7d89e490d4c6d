/** `weir up` as a user runs it: the built program, the demo's official SDK exporters, a real broker where there is Java. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { DecisionsDocument, ShardsDocument } from '../../src/api/documents.ts';
import { freePort } from '../../src/kafka/embedded.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { runWeir, startWeir, type WeirProcess } from '../support/weir-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-up-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const anyPorts = { WEIR_GRPC_PORT: '0', WEIR_HTTP_PORT: '0' };

let weir: WeirProcess | undefined;
afterEach(async () => {
  if (weir && weir.child.exitCode === null && weir.child.signalCode === null) await weir.kill();
});

async function until<T>(read: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (weir?.child.exitCode !== null) throw new Error(`weir up ended:\n${weir?.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const api = async <T>(path: string) => (await fetch(`http://127.0.0.1:${weir?.apiPort}${path}`)).json() as Promise<T>;

describeOnKafka('weir up', () => {
  it('decides within a minute on what the demo shop sends, shows it, and drains on SIGINT', {
    timeout: 240_000,
  }, async () => {
    weir = await startWeir(['up'], { ...anyPorts, WEIR_DATA_DIR: folder });
    await until(
      async () => weir!.output(),
      (text) => text.includes('Weir is running on Apache Kafka at 127.0.0.1:'),
    );
    const runningAt = performance.now();
    const { decisions } = await until(
      () => api<DecisionsDocument>('/api/v1/decisions'),
      (document) => document.decisions.length > 0,
    );
    // It is a matter of windows and not of speed; some time for a machine that stands still.
    expect((performance.now() - runningAt) / 1e3).toBeLessThan(90);
    expect(decisions[0]?.reasons[0]).toMatchObject({ rule: expect.any(String), threshold: expect.any(Number) });

    for (const signal of ['traces', 'metrics', 'logs']) {
      await until(
        () => api<ShardsDocument>('/api/v1/shards'),
        ({ shards }) => shards.some((shard) => shard.signal === signal && shard.current_load.items_per_second > 0),
      );
    }
    expect(await weir.metric('weir_dead_letter_total')).toBe(0);

    const inspected = await runWeir(['inspect', 'shards'], { WEIR_DATA_DIR: folder });
    expect(inspected.code, inspected.output).toBe(0);
    expect(inspected.output).toContain('otlp_spans_shard_0015');

    expect(await weir.stop('SIGINT'), weir.output()).toBe(0);
    expect(weir.output()).toContain('Stopped.');
    expect(weir.output()).not.toMatch(/bug|"level":"error"/);
  });
});

describe('weir up, where it cannot start', () => {
  const sentence = (output: string) => output.split('\n').filter((line) => line.startsWith('weir: '));

  it('says which port is taken and what to do', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    const { code, output } = await runWeir(
      ['up', '--kafka', 'memory', '--http-port', String(port), '--grpc-port', '0'],
      {},
    );
    server.close();
    expect(code).toBe(1);
    expect(sentence(output)).toEqual([expect.stringMatching(`${port}.*--http-port`)]);
    expect(output).not.toContain('    at ');
  });

  it('says that no broker answers', async () => {
    const port = await freePort();
    const { code, output } = await runWeir(['up', '--kafka', `127.0.0.1:${port}`], {
      ...anyPorts,
      WEIR_KAFKA_CONNECT_TIMEOUT_MS: '1000',
    });
    expect(code).toBe(1);
    expect(sentence(output)).toEqual([expect.stringContaining(`127.0.0.1:${port}`)]);
    expect(output).not.toContain('    at ');
  });

  it('says that the embedded broker needs Java', async () => {
    const { code, output } = await runWeir(['up', '--kafka', 'embedded'], { ...anyPorts, PATH: folder, JAVA_HOME: '' });
    expect(code).toBe(1);
    expect(sentence(output)).toEqual([expect.stringContaining('Java')]);
    expect(output).not.toContain('    at ');
  });
});

describe('weir up without Kafka', () => {
  it('runs on the in-process log, says so, and brings every item of the demo to a shard', async () => {
    weir = await startWeir(['up', '--kafka', 'memory'], anyPorts);
    await weir.waitForMetric('weir_items_routed_total', (items) => items > 100);
    expect(weir.output()).toContain('not Kafka');
    expect(await weir.stop('SIGTERM'), weir.output()).toBe(0);
  });
});
