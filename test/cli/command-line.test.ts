/** `weir` as a child process, as a user runs it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';

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
    const bare = () =>
      new Promise<number>((resolve) => {
        const startedAt = performance.now();
        spawn(process.execPath, ['-e', '0']).on('close', () => resolve(performance.now() - startedAt));
      });
    const { code, stdout } = await weir(['--help']);
    expect(code).toBe(0);
    for (const command of ['up', 'bridge', 'process', 'control', 'inspect', 'topics', 'config', 'load', 'version'])
      expect(stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    expect(stdout).toContain('Examples:');
    // Beyond a bare Node, and again, as the machine may be busy: 80 ms when idle.
    await eventually(async () => {
      const bareMs = await bare();
      expect((await weir(['--help'])).ms - bareMs).toBeLessThan(1_000);
    });
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

  it('shows a role only the flags that it uses, and takes all', async () => {
    const { code, stdout } = await weir(['bridge', '--workers', '2', '--no-demo', '--help']);
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/--workers|--no-demo/);
    expect((await weir(['process', '--help'])).stdout).toMatch(/--workers/);
    expect((await weir(['up', '--help'])).stdout).toMatch(/--no-demo/);
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
    [['load', '--target', 'http://127.0.0.1:4318'], 'Allowed: HOST:PORT, without http:// and without a path.'],
    [['inspect', 'decisions', '--last', '0'], 'Allowed: an integer from 1 to 200.'],
    [['route', ''], 'Allowed: a text that is not empty.'],
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

  it('is told by weir load when nobody takes its requests', async () => {
    const { code, stderr } = await weir([
      'load',
      '--protocol',
      'http',
      '--target',
      '127.0.0.1:1',
      '--seconds',
      '1',
      '--rate',
      '100',
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^weir: load: none of \d+ requests to http:\/\/127\.0\.0\.1:1 was accepted/);
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

describe('the end of a run', () => {
  const exit = join(import.meta.dirname, '../../src/cli/exit.ts');
  /** A program of its own around cli/exit.ts; `body` has its exports at hand. */
  function script(body: string) {
    const code = `import { exitAfter, stopSignal } from ${JSON.stringify(exit)};\n${body}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code]);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      child.emit('said', stdout);
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const ended = once(child, 'close').then(([status]) => ({ status, stdout, stderr }));
    const said = async (text: string) => {
      while (!stdout.includes(text)) await once(child, 'said');
    };
    return { child, ended, said };
  }

  it('is 70 with a stack for a bug, also for one that nobody awaits', async () => {
    for (const bug of [
      'throw new TypeError("oh")',
      'Promise.reject(new TypeError("oh")); await new Promise(() => {})',
    ]) {
      const { status, stderr } = await script(`await exitAfter(async () => { setInterval(() => {}, 1000); ${bug} });`)
        .ended;
      expect(status).toBe(70);
      expect(stderr).toMatch(/^weir: this is a bug, please report it:\nTypeError: oh\n\s+at /);
    }
  });

  it('waits until all output is written', async () => {
    const { stdout } = await script(
      "await exitAfter(async () => { process.stdout.write('x'.repeat(3_000_000)); return 0; });",
    ).ended;
    expect(stdout).toHaveLength(3_000_000);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('is at once on a second %s, but not on the first one that comes twice', async (name, code) => {
    const { child, said, ended } = script(`
      await exitAfter(async () => {
        setInterval(() => {}, 1000);
        stopSignal().addEventListener('abort', () => {
          console.log('draining');
          setTimeout(() => console.log('still draining'), 1_100);
        });
        console.log('ready');
        await new Promise(() => {});
      });`);
    await said('ready');
    child.kill(name);
    await said('draining');
    // As the launcher sends on what the process group has got already.
    child.kill(name);
    await said('still draining');
    child.kill(name);
    expect((await ended).status).toBe(code);
  });

  it('comes when nobody reads the output any more: at once, or after the drain of what wants to drain', async () => {
    const writing = "setInterval(() => console.log('more'), 5);";
    const plain = script(`await exitAfter(async () => { ${writing} await new Promise(() => {}); });`);
    await plain.said('more');
    plain.child.stdout.destroy();
    expect(await plain.ended).toMatchObject({ status: 0, stderr: '' });

    const role = script(`
      await exitAfter(async () => {
        ${writing}
        await new Promise((resolve) => stopSignal().addEventListener('abort', resolve));
        await new Promise((resolve) => setTimeout(resolve, 50));
        console.error('drained');
        return 0;
      });`);
    await role.said('more');
    role.child.stdout.destroy();
    expect(await role.ended).toMatchObject({ status: 0, stderr: 'drained\n' });
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('is 0 for a role that drained after %s', async (name) => {
    const args = ['process', '--kafka', 'memory', '--api-port', '0', '--log-level', 'debug'];
    const child = spawn(process.execPath, [main, ...args], { env: { PATH: process.env.PATH ?? '', HOME: folder } });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
      if (stderr.includes('waiting for ring epoch 1') && !child.killed) child.kill(name);
    });
    const [code] = await once(child, 'close');
    expect(code).toBe(0);
    expect(stderr).toContain(`${name}: draining; once more ends at once`);
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
