/** `weir` as a child process, as a user runs it. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const main = join(import.meta.dirname, '../../src/main.ts');
const folder = mkdtempSync(join(tmpdir(), 'weir-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

function weir(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const startedAt = performance.now();
  // Of the environment only what running needs: a developer's own WEIR_… would change what is tested.
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env.PATH ?? '', HOME: folder, ...env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) =>
    child.on('close', (code) => resolve({ code, stdout, stderr, ms: performance.now() - startedAt })),
  );
}

const fileOf = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe('weir --help', () => {
  it('lists every command, gives examples, and is quick', async () => {
    const bare = await new Promise<number>((resolve) => {
      const startedAt = performance.now();
      spawn(process.execPath, ['-e', '0']).on('close', () => resolve(performance.now() - startedAt));
    });
    const { code, stdout, ms } = await weir(['--help']);
    expect(code).toBe(0);
    for (const command of ['up', 'bridge', 'process', 'control', 'inspect', 'topics', 'config', 'load', 'version'])
      expect(stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    expect(stdout).toContain('Examples:');
    // Beyond a bare Node, as the machine may be busy: 80 ms when idle.
    expect(ms - bare).toBeLessThan(1_000);
  });

  it('tells the flags of a command', async () => {
    const { code, stdout } = await weir(['bridge', '--help']);
    expect(code).toBe(0);
    for (const flag of [
      '--config',
      '--kafka',
      '--grpc-port',
      '--http-port',
      '--api-port',
      '--host',
      '--prefix',
      '--log-level',
    ])
      expect(stdout).toContain(flag);
  });

  it('prints the version', async () => {
    expect((await weir(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await weir(['version'])).stdout).toMatch(/^weir \d+\.\d+\.\d+ on Node /);
  });
});

describe('a command line that is not understood', () => {
  it.each([
    [['flow'], "weir: unknown command 'flow'"],
    [['bridge', '--grcp-port', '1'], "weir: unknown option '--grcp-port'\n(Did you mean --grpc-port?)"],
    [['inspect', 'shard'], "weir: unknown command 'shard'\n(Did you mean shards?)"],
    [['topics', '--print', '--create'], 'cannot be used with'],
    [['load', '--rate', 'fast'], "argument 'fast' is invalid. Allowed: an integer from 0."],
    [['load', '--signal', 'spans'], 'Allowed choices are traces, metrics, logs.'],
  ])('%s exits with 2 and a hint', async (args, said) => {
    const { code, stdout, stderr } = await weir(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(said);
    expect(stderr).toContain('(`weir --help` and `weir COMMAND --help` tell what there is)');
  });
});

describe('weir config check', () => {
  it('prints OK and the settings that differ from their defaults, with where they stand', async () => {
    const file = fileOf('good.yaml', 'prefix: prod.\nkafka:\n  brokers: kafka-1:9092\n');
    const { code, stdout, stderr } = await weir(['config', 'check', file], { WEIR_ROUTING_TRACES_SHARDS: '4' });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toBe(
      [
        'OK; not at their defaults:',
        `  prefix                 "prod."         (${file}:1)`,
        `  kafka.brokers          "kafka-1:9092"  (${file}:3)`,
        '  routing.traces.shards  4               (WEIR_ROUTING_TRACES_SHARDS)',
        '',
      ].join('\n'),
    );
  });

  it('prints every problem and exits with 1', async () => {
    const file = fileOf('bad.yaml', 'grpcPort: x\nkafka: {broker: a}\n');
    const { code, stdout, stderr } = await weir(['config', 'check', file]);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toBe(
      `weir: the settings have 2 problems:\n  ${file}:1: grpcPort: found "x"; allowed: an integer from 0 to 65535\n` +
        `  ${file}:2: unknown key kafka.broker; did you mean kafka.brokers?\n`,
    );
  });
});

describe('an error that the user can see to', () => {
  it('is one sentence without a stack trace, and exit code 1', async () => {
    const { code, stderr } = await weir(['process', '--kafka', 'somewhere']);
    expect(code).toBe(1);
    expect(stderr).toBe(
      'weir: --kafka (kafka.brokers): found "somewhere"; allowed: HOST:PORT[,HOST:PORT...], embedded, memory or auto\n',
    );
  });

  it('says where to look when the log is in another process, and when no broker runs', async () => {
    expect((await weir(['inspect', 'shards', '--kafka', 'memory'])).stderr).toMatch(
      /^weir: the in-process log .* ask its API/,
    );
    expect((await weir(['inspect', 'lag', '--data-dir', join(folder, 'none')])).stderr).toBe(
      'weir: no embedded broker runs here; start one with `weir up`, or name your Kafka with --kafka HOST:PORT\n',
    );
  });

  it('says what to install when the embedded broker is asked for and there is no Java', async () => {
    const { code, stderr } = await weir(['process', '--kafka', 'embedded', '--api-port', '0'], {
      PATH: folder,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/weir: the embedded broker cannot run: there is no Java on the PATH\. Install Java 17/);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it('names a taken port', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    const { code, stderr } = await weir(['process', '--kafka', 'memory', '--api-port', String(port)]);
    taken.close();
    expect(code).toBe(1);
    expect(stderr).toContain(
      `weir: the API cannot listen on 127.0.0.1:${port}: the port is in use; choose another with --api-port N (0 picks a free one)\n`,
    );
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

describe('weir topics --print', () => {
  it('prints commands that a shell takes, without asking a broker', async () => {
    const { code, stdout } = await weir(['topics', '--print', '--kafka', 'kafka-1:9092', '--prefix', 't.']);
    expect(code).toBe(0);
    const script = stdout.replace('kafka-topics.sh', 'echo');
    const echoed = await new Promise<string>((resolve) => {
      const shell = spawn('/bin/sh', ['-eu', '-c', script]);
      let text = '';
      shell.stdout.on('data', (chunk) => {
        text += chunk;
      });
      shell.on('close', () => resolve(text));
    });
    expect(echoed.trim().split('\n')).toHaveLength(57);
    expect(echoed).toContain(
      '--bootstrap-server kafka-1:9092 --create --if-not-exists --topic t.weir.control --partitions 1',
    );
  });

  it('prints JSON on demand', async () => {
    const topics = JSON.parse((await weir(['topics', '--json'])).stdout);
    expect(topics).toHaveLength(57);
    expect(topics[0]).toMatchObject({ name: 'otlp_spans', partitions: 12, purpose: 'ingest', signal: 'traces' });
  });
});

describe('output that nobody reads on', () => {
  it('is no error', async () => {
    const command = `"${process.execPath}" "${main}" topics --print | head -n 1; exit 0`;
    const child = spawn('/bin/bash', ['-c', `set -o pipefail; ${command}`]);
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    await new Promise((resolve) => child.on('close', resolve));
    expect(stderr).toBe('');
  });
});
