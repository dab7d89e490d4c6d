import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Kafka, logLevel } from 'kafkajs';
import { afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { WeirError } from '../../src/errors.ts';
import { openDataDir } from '../../src/kafka/embedded/folder.ts';
import { identify, lockDataDir } from '../../src/kafka/embedded/lock.ts';
import { properties } from '../../src/kafka/embedded/settings.ts';
import { type EmbeddedBroker, embeddedAvailability, freePort, startEmbedded } from '../../src/kafka/embedded.ts';
import { eventually } from '../support/eventually.ts';
import { createTopics } from '../support/kafkajs-topics.ts';
import { describeOnKafka } from '../support/real-kafka.ts';

const MiB = 1024 * 1024;

async function temporaryFolder(): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'weir-embedded-test-')));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function started(options: Parameters<typeof startEmbedded>[0]): Promise<EmbeddedBroker> {
  const broker = await startEmbedded(options);
  onTestFinished(() => broker.kill());
  return broker;
}

const client = (brokers: string) =>
  new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, retries: 20 } });

async function createTopic(brokers: string, topic: string, config: Record<string, string> = {}): Promise<void> {
  const admin = client(brokers).admin();
  await admin.connect();
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  await createTopics(admin, [{ topic, numPartitions: 1, configEntries }]);
  await admin.disconnect();
}

async function send(brokers: string, topic: string, ...values: (string | Buffer)[]): Promise<void> {
  const producer = client(brokers).producer();
  await producer.connect();
  for (const value of values) await producer.send({ topic, messages: [{ value }] });
  await producer.disconnect();
}

async function offsets(brokers: string, topic: string): Promise<{ low: number; high: number }> {
  const admin = client(brokers).admin();
  await admin.connect();
  const [partition] = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  return { low: Number(partition!.low), high: Number(partition!.high) };
}

const embeddedModule = JSON.stringify(resolve(import.meta.dirname, '../../src/kafka/embedded.ts'));

/** Another Weir: a process that starts a broker, says where, and lives until it is killed. */
async function startInAnotherProcess(options: object): Promise<{
  process: ChildProcess;
  broker: { pid: number; dataDir: string; brokers: string };
}> {
  const script = `
    import { startEmbedded } from ${embeddedModule};
    const { pid, dataDir, brokers } = await startEmbedded(${JSON.stringify(options)});
    console.log(JSON.stringify({ pid, dataDir, brokers }));
    setInterval(() => {}, 1_000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let jvm = 0;
  onTestFinished(async () => {
    child.kill('SIGKILL');
    if (jvm !== 0) await untilGone(jvm);
  });
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string];
  const broker = JSON.parse(line);
  jvm = broker.pid;
  return { process: child, broker };
}

async function untilGone(pid: number): Promise<void> {
  await eventually(async () => expect(await identify(pid)).toBeUndefined());
}

function cpuSecondsOf(pid: number): number {
  const [hours, minutes, seconds] = execFileSync('ps', ['-o', 'time=', '-p', String(pid)], { encoding: 'utf8' })
    .trim()
    .split(':')
    .map(Number);
  return hours! * 3_600 + minutes! * 60 + seconds!;
}

/** Rows of the process table. */
function processes(): { pid: number; parent: number; group: number }[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,pgid='], { encoding: 'utf8' });
  return table.split('\n').flatMap((line) => {
    const [pid, parent, group] = line.trim().split(/\s+/).map(Number);
    return pid ? [{ pid, parent: parent!, group: group! }] : [];
  });
}

describe('embeddedAvailability', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('names the missing Java, and what to do', async () => {
    vi.stubEnv('JAVA_HOME', '');
    vi.stubEnv('PATH', '/nowhere');
    expect(await embeddedAvailability()).toEqual({
      ok: false,
      reason: 'there is no Java on the PATH',
      remedy: expect.stringMatching(/^Install Java 17 or later, or run on your own Kafka with --kafka HOST:PORT/),
    });
  });

  it('refuses a Java that is too old, by its version', async () => {
    const home = await temporaryFolder();
    await mkdir(join(home, 'bin'));
    await writeFile(join(home, 'bin', 'java'), '#!/bin/sh\necho \'openjdk version "1.8.0_402"\' >&2\n', {
      mode: 0o755,
    });
    vi.stubEnv('JAVA_HOME', home);
    const found = await embeddedAvailability();
    expect(found).toMatchObject({ ok: false, reason: expect.stringContaining('is Java 8, and Apache Kafka') });
  });

  it('needs Maven only while the jars are not cached', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'bin'));
    await writeFile(join(folder, 'bin', 'java'), '#!/bin/sh\necho \'openjdk version "21.0.2"\' >&2\n', { mode: 0o755 });
    vi.stubEnv('JAVA_HOME', folder);
    vi.stubEnv('PATH', '/nowhere');
    vi.stubEnv('WEIR_CACHE_DIR', join(folder, 'cache'));
    expect(await embeddedAvailability()).toMatchObject({ ok: false, reason: expect.stringContaining('no Maven') });
    await mkdir(join(folder, 'cache', 'kafka-4.1.1', 'libs'), { recursive: true });
    expect(await embeddedAvailability()).toEqual({ ok: true });
  });
});

describe('fetching the jars', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('leaves no half cache behind when Maven fails, and says what Maven said', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'bin'));
    await writeFile(join(folder, 'bin', 'java'), '#!/bin/sh\necho \'openjdk version "21.0.2"\' >&2\n', { mode: 0o755 });
    const failing = '#!/bin/sh\nmkdir -p libs; echo half > libs/half.jar; echo "[ERROR] Unknown host repo"; exit 1\n';
    await writeFile(join(folder, 'bin', 'mvn'), failing, { mode: 0o755 });
    vi.stubEnv('JAVA_HOME', folder);
    vi.stubEnv('PATH', `${join(folder, 'bin')}:${process.env.PATH}`);
    vi.stubEnv('WEIR_CACHE_DIR', join(folder, 'cache'));
    const failure = await startEmbedded({ dataDir: join(folder, 'data') }).catch((error) => error);
    expect(failure).toBeInstanceOf(WeirError);
    expect(failure.code).toBe('EMBEDDED_UNAVAILABLE');
    expect(failure.message).toContain('Unknown host repo');
    expect(existsSync(join(folder, 'cache', 'kafka-4.1.1'))).toBe(false);
    expect(execFileSync('ls', [join(folder, 'cache')], { encoding: 'utf8' })).toBe('');
  });
});

describe('properties', () => {
  it('escapes what a Java properties file would read otherwise', () => {
    expect(properties({ a: 'C:\\data', b: 'Größe' })).toBe('a=C:\\\\data\nb=Gr\\u00f6\\u00dfe\n');
  });
});

describe.runIf(existsSync('/proc/self'))('a data folder that cannot be had', () => {
  it.each(['/proc/weir/data', '/proc'])('is refused by name: %s', async (dataDir) => {
    const opened = openDataDir(dataDir).then(lockDataDir);
    await expect(opened).rejects.toMatchObject({
      code: 'EMBEDDED_FAILED',
      message: expect.stringMatching(`cannot keep its data in ${dataDir}: .*--data-dir`),
    });
  });
});

describe('lockDataDir', () => {
  it('refuses a folder that this process holds, and gives it again once released', async () => {
    const dataDir = await temporaryFolder();
    const lock = await lockDataDir(dataDir);
    await expect(lockDataDir(dataDir)).rejects.toThrow(`${dataDir}: this process already runs one there`);
    await lock.release();
    await (await lockDataDir(dataDir)).release();
  });

  it('is won by exactly one of many that find a dead lock at once', async () => {
    const dataDir = await temporaryFolder();
    for (let round = 0; round < 20; round++) {
      await writeFile(join(dataDir, 'weir.lock'), JSON.stringify({ owner: { pid: 1, started: `never ${round}` } }));
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataDir(dataDir)));
      const won = results.filter((result) => result.status === 'fulfilled');
      expect(won).toHaveLength(1);
      expect(await readdir(dataDir)).toEqual(['weir.lock']);
      await won[0]!.value.release();
    }
  });

  it.each([
    ['another start time', async (pid: number) => ({ pid, started: 'earlier' })],
    ['another command line', async (pid: number) => identify(pid)],
  ])('leaves a process alone that has the pid of a dead broker but %s', async (_, named) => {
    const dataDir = await temporaryFolder();
    const innocent = spawn('sleep', ['60']);
    onTestFinished(() => {
      innocent.kill('SIGKILL');
    });
    const broker = await named(innocent.pid!);
    await writeFile(join(dataDir, 'weir.lock'), JSON.stringify({ owner: { pid: 1, started: 'never' }, broker }));
    await (await lockDataDir(dataDir)).release();
    expect(await identify(innocent.pid!)).toBeDefined();
  });
});

describeOnKafka('the embedded broker', () => {
  // The first start on a machine writes the class data archive when it ends; the suite times the starts after it.
  beforeAll(async () => (await startEmbedded({ ephemeral: true })).stop());

  it('is ready within 10 s, and keeps its data over an orderly stop and a kill', { timeout: 300_000 }, async () => {
    const dataDir = await temporaryFolder();
    const starts: { readyMs: number; cpuSeconds: number }[] = [];
    const startTimed = async (port?: number) => {
      const beganMs = performance.now();
      const broker = await started({ dataDir, ...(port && { port }) });
      starts.push({ readyMs: performance.now() - beganMs, cpuSeconds: cpuSecondsOf(broker.pid) });
      return broker;
    };
    const first = await startTimed();
    await createTopic(first.brokers, 'kept');
    await send(first.brokers, 'kept', 'one', 'two');
    await first.stop();
    expect(await first.exited).toEqual({ code: null, signal: 'SIGTERM' });

    const second = await startTimed(first.port);
    expect(second.brokers).toBe(first.brokers);
    expect(await offsets(second.brokers, 'kept')).toEqual({ low: 0, high: 2 });
    await send(second.brokers, 'kept', 'three');
    await second.kill();
    expect(await second.exited).toEqual({ code: null, signal: 'SIGKILL' });

    const third = await startTimed(first.port);
    expect(await offsets(third.brokers, 'kept')).toEqual({ low: 0, high: 3 });
    await third.stop();

    const readyMs = Math.min(...starts.map((start) => start.readyMs));
    const cpuSeconds = Math.min(...starts.map((start) => start.cpuSeconds));
    console.log(`embedded broker: ready after ${Math.round(readyMs)} ms, by then ${cpuSeconds} s of CPU time`);
    // On a machine that has something else to do it waits for its turn: what it needs itself is CPU time.
    expect(Math.min(readyMs / 1_000, cpuSeconds)).toBeLessThan(10);
  });

  it('ends with its parent when that is killed, and its ephemeral data goes too', async () => {
    const other = await startInAnotherProcess({ ephemeral: true });
    expect(await identify(other.broker.pid)).toBeDefined();
    other.process.kill('SIGKILL');
    await untilGone(other.broker.pid);
    await eventually(() => expect(existsSync(other.broker.dataDir)).toBe(false));
  });

  it('is out of reach of a Ctrl-C at the terminal of its parent', async () => {
    const other = await startInAnotherProcess({ ephemeral: true });
    const groupOf = (pid: number) => processes().find((row) => row.pid === pid)?.group;
    expect(groupOf(other.broker.pid)).toBeDefined();
    expect(groupOf(other.broker.pid)).not.toBe(groupOf(other.process.pid!));
  });

  it('is cleaned up by the next start when parent and guard were killed', async () => {
    const dataDir = await temporaryFolder();
    const other = await startInAnotherProcess({ dataDir });
    await createTopic(other.broker.brokers, 'kept');
    await send(other.broker.brokers, 'kept', 'one');
    const table = processes();
    const shell = table.find((row) => row.pid === other.broker.pid)!.parent;
    const guards = table.filter((row) => row.parent === shell && row.pid !== other.broker.pid);
    expect(guards).toHaveLength(1);
    for (const pid of [guards[0]!.pid, shell, other.process.pid!]) process.kill(pid, 'SIGKILL');
    await untilGone(other.process.pid!);
    expect(await identify(other.broker.pid), 'a leftover to clean up').toBeDefined();

    const next = await started({ dataDir });
    expect(await identify(other.broker.pid)).toBeUndefined();
    expect(await offsets(next.brokers, 'kept')).toEqual({ low: 0, high: 1 });
  });

  it('is refused on a folder where a living Weir runs one, naming process and folder', async () => {
    const dataDir = await temporaryFolder();
    const other = await startInAnotherProcess({ dataDir });
    await expect(startEmbedded({ dataDir })).rejects.toMatchObject({
      code: 'EMBEDDED_FAILED',
      message: expect.stringContaining(`${dataDir}: process ${other.process.pid} already runs one there`),
    });
    expect(await identify(other.broker.pid), 'the other goes on').toBeDefined();
  });

  it('does not touch the data of another Kafka, nor of a newer one', async () => {
    const dataDir = await temporaryFolder();
    await mkdir(join(dataDir, 'kafka'));
    await writeFile(join(dataDir, 'kafka', 'meta.properties'), 'version=1\ncluster.id=someone-elses\nnode.id=1\n');
    await expect(startEmbedded({ dataDir })).rejects.toMatchObject({
      code: 'EMBEDDED_FAILED',
      message: expect.stringContaining('of another Kafka (cluster someone-elses'),
    });
    expect(existsSync(join(dataDir, 'weir-embedded.json'))).toBe(false);

    const newer = { clusterId: 'someone-elses', kafkaVersion: '99.0.0' };
    await writeFile(join(dataDir, 'weir-embedded.json'), JSON.stringify(newer));
    await expect(startEmbedded({ dataDir })).rejects.toThrow('Kafka 99.0.0 wrote it');
    expect(existsSync(join(dataDir, 'weir.lock')), 'the folder is free again').toBe(false);
  });

  it('says which port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => {
      server.close();
    });
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await expect(startEmbedded({ dataDir: await temporaryFolder(), port })).rejects.toMatchObject({
      code: 'PORT_TAKEN',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
  });

  it('quotes its log when it cannot start, and gives the folder free', async () => {
    const dataDir = await temporaryFolder();
    await expect(startEmbedded({ dataDir, settings: { 'num.io.threads': 'many' } })).rejects.toMatchObject({
      code: 'EMBEDDED_FAILED',
      message: expect.stringMatching(/ended while starting[\s\S]*many for configuration num\.io\.threads/),
    });
    const broker = await started({ dataDir });
    expect(await readFile(join(dataDir, 'logs', 'broker.log'), 'utf8')).toContain('Kafka Server started');
    await broker.stop();
  });

  it('sends clients of an extra listener to its advertised address', async () => {
    const listenPort = await freePort();
    const advertisedPort = await freePort([listenPort]);
    const broker = await started({
      ephemeral: true,
      extraListeners: [{ name: 'PROXIED', listenPort, advertisedPort }],
    });
    await createTopic(broker.brokers, 'through');
    const passed = { connections: 0 };
    const proxy: Server = createServer((incoming) => {
      passed.connections++;
      const onward = connect({ host: '127.0.0.1', port: listenPort });
      incoming.pipe(onward).pipe(incoming);
      for (const socket of [incoming, onward]) socket.on('error', () => socket.destroy());
    });
    proxy.listen(advertisedPort, '127.0.0.1');
    onTestFinished(() => {
      proxy.close();
    });
    await once(proxy, 'listening');
    await send(`127.0.0.1:${listenPort}`, 'through', 'one');
    expect(passed.connections).toBeGreaterThan(0);
    expect(await offsets(broker.brokers, 'through')).toEqual({ low: 0, high: 1 });
  });

  it('takes a record of 60 MiB where a topic allows it, and bounds what a partition keeps', async () => {
    const broker = await started({
      ephemeral: true,
      settings: { 'log.retention.check.interval.ms': '500', 'log.initial.task.delay.ms': '500' },
    });
    await createTopic(broker.brokers, 'large', {
      'max.message.bytes': String(64 * MiB),
      'segment.bytes': String(70 * MiB),
    });
    await send(broker.brokers, 'large', Buffer.alloc(60 * MiB, 7));
    expect(await offsets(broker.brokers, 'large')).toEqual({ low: 0, high: 1 });

    await createTopic(broker.brokers, 'bounded');
    await send(broker.brokers, 'bounded', ...Array.from({ length: 15 }, () => Buffer.alloc(4 * MiB, 7)));
    await eventually(async () => {
      const { low, high } = await offsets(broker.brokers, 'bounded');
      expect(high).toBe(15);
      expect((high - low) * 4, 'MiB kept').toBeLessThanOrEqual(20);
    });
  });
});
