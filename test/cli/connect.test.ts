import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { openKafka, openRunningKafka } from '../../src/kafka/connect.ts';
import { identify } from '../../src/kafka/embedded/lock.ts';
import { findRunningBroker } from '../../src/kafka/embedded/running.ts';
import { createLog } from '../../src/log.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-connect-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

const configFor = (brokers: string) => defaultConfig({ kafka: { brokers, embedded: { dataDir: folder } } });
const lines: string[] = [];
const log = createLog({ level: 'info', stream: { write: (line) => lines.push(line) } });

/** As on a machine without Java. */
function withoutJava(): void {
  vi.stubEnv('PATH', folder);
  vi.stubEnv('JAVA_HOME', '');
}

describe('opening Kafka', () => {
  it('gives the in-process log where it is asked for, and says that it is not Kafka', async () => {
    const kafka = await openKafka(configFor('memory'), log);
    expect([kafka.kind, kafka.embedded, kafka.brokers]).toEqual(['memory', false, 'memory']);
    expect(kafka.port.description).toContain('not Kafka');
    await kafka.close();
  });

  it('falls back to the in-process log where there is no Java, loudly', async () => {
    withoutJava();
    const kafka = await openKafka(configFor('auto'), log);
    expect(kafka.kind).toBe('memory');
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({
      level: 'warn',
      msg: expect.stringMatching(/^NOT KAFKA: .*no Java on the PATH.*data lives in this process and ends with it/),
    });
    await kafka.close();
  });

  it('refuses the embedded broker where there is no Java, with what to install', async () => {
    withoutJava();
    await expect(openKafka(configFor('embedded'), log)).rejects.toMatchObject({
      code: 'EMBEDDED_UNAVAILABLE',
      message: expect.stringMatching(/no Java on the PATH\. Install Java 17 or later, or run on your own Kafka/),
    });
  });

  it('never starts a broker for a command that only looks', async () => {
    await expect(openRunningKafka(configFor('auto'), log)).rejects.toMatchObject({
      code: 'KAFKA_UNREACHABLE',
      message: expect.stringContaining('start one with `weir up`'),
    });
    await expect(openRunningKafka(configFor('memory'), log)).rejects.toMatchObject({
      message: expect.stringContaining('ask its API'),
    });
  });
});

describe('the embedded broker that runs already', () => {
  const lock = (text: string) => writeFileSync(join(folder, 'weir.lock'), text);
  writeFileSync(
    join(folder, 'server.properties'),
    'node.id=1\nlisteners=PLAINTEXT://127.0.0.1:12345,CONTROLLER://127.0.0.1:2\n',
  );

  it('is found by the process that the lock names', async () => {
    const me = await identify(process.pid);
    lock(JSON.stringify({ owner: me, broker: me }));
    expect(await findRunningBroker(folder)).toMatchObject({ brokers: '127.0.0.1:12345' });
  });

  it.each([
    [
      'the lock names another process of that pid',
      JSON.stringify({ broker: { pid: process.pid, started: 'long ago' } }),
    ],
    ['the broker is not named yet', JSON.stringify({ owner: { pid: process.pid, started: '1' } })],
    ['the lock is damaged', '{'],
  ])('is not found where %s', async (_, text) => {
    lock(text);
    expect(await findRunningBroker(folder)).toBeUndefined();
  });

  it('is not found in an empty folder', async () => {
    expect(await findRunningBroker(join(folder, 'new'))).toBeUndefined();
  });
});
