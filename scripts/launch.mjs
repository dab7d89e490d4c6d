#!/usr/bin/env node
/**
 * `npm start`, `npm test` and the like, and the `weir` command: sees to a Node that is new enough, to the packages and to
 * the build, then runs what was asked for. Plain JS without dependencies, as it runs before there are any, on Node >= 18.
 */
import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';
import { install } from './install.mjs';
import { nodeForWeir } from './node.mjs';
import { Interrupted, LaunchError } from './progress.mjs';

const root = resolve(dirname(realpathSync(fileURLToPath(import.meta.url))), '..');

/** What npm's scripts run, as lists of [program in the checkout, ...arguments]; all are run, the worst exit code counts. */
const TASKS = {
  build: () => [],
  lint: (args) => [
    ['node_modules/@biomejs/biome/bin/biome', 'check', ...args],
    ['node_modules/typescript/bin/tsc', '-p', '.', '--noEmit'],
  ],
  test: (args) => [['scripts/test.mjs', ...args]],
  'test:long': (args) => [['scripts/test.mjs', '--long', ...args]],
  bench: (args) => [['bench/run.ts', ...args]],
  fuzz: (args) => [['scripts/fuzz.mjs', ...args]],
  simulate: (args) => [['scripts/simulate.ts', ...args]],
};

/**
 * @param {readonly string[]} args
 * @returns {{ needsBuild: boolean, commands: string[][] }}
 */
export function commandsFor(args) {
  if (args[0] === '--task') {
    const task = TASKS[args[1]];
    if (!task) throw new LaunchError(`There is no task ${args[1]}. There are: ${Object.keys(TASKS).join(', ')}.`);
    return { needsBuild: args[1] !== 'lint', commands: task(args.slice(2)) };
  }
  const [first] = args;
  const aboutWeir = ['-h', '--help', '-V', '--version'].includes(first);
  // `npm start -- --no-demo` means `weir up --no-demo`.
  const isUp = first === undefined || (first.startsWith('-') && !aboutWeir);
  return { needsBuild: true, commands: [['dist/main.js', ...(isUp ? ['up'] : []), ...args]] };
}

async function main(args) {
  const { needsBuild, commands } = commandsFor(args);
  const node = await nodeForWeir();
  // Whatever is started from here on finds this Node first.
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ''}` };
  await install(root, node, env);
  if (needsBuild) await build(root, node);
  let worst = 0;
  for (const [program, ...rest] of commands) {
    worst = Math.max(worst, await run(node, [join(root, program), ...rest], env, cwdFor(args)));
  }
  return worst;
}

/** Weir itself runs where the user is (a config file's path is relative to that); the tasks are about the checkout. */
function cwdFor(args) {
  if (args[0] === '--task') return root;
  const { npm_lifecycle_event: isByNpm, INIT_CWD: whereNpmRan } = process.env;
  // npm runs scripts in the checkout, also from a folder below it or with --prefix; elsewhere the variables are inherited.
  return isByNpm && whereNpmRan && process.cwd() === root ? whereNpmRan : process.cwd();
}

/** Runs to the end in the foreground; the exit code, 128 + its number for a signal. */
function run(node, args, env, cwd) {
  return new Promise((done, fail) => {
    const child = spawn(node, args, { stdio: 'inherit', env, cwd });
    // A terminal's Ctrl-C reaches the child by itself, as it is in the same process group; sent on as well it would come
    // twice, and a second one means "at once". Here it must only not end the launcher, which waits for the child's drain.
    // Without a terminal a SIGINT is for the launcher alone, as a SIGTERM always is.
    // npm sends on what a whole process group got already: what comes within a second is one signal.
    let lastSentMs = 0;
    const sendOn = (signal) => {
      if (Date.now() - lastSentMs < 1_000) return;
      lastSentMs = Date.now();
      child.kill(signal);
    };
    const onInterrupt = () => process.stdin.isTTY || sendOn('SIGINT');
    process.on('SIGINT', onInterrupt);
    process.on('SIGTERM', sendOn);
    process.on('SIGHUP', sendOn);
    const parentWatch = watchParent(() => sendOn('SIGTERM'));
    child.once('error', fail);
    child.once('exit', (code, signal) => {
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', sendOn);
      process.off('SIGHUP', sendOn);
      clearInterval(parentWatch);
      done(code ?? 128 + constants.signals[signal]);
    });
  });
}

/**
 * npm runs us in a shell, and sends signals on to that shell alone, which dies of them without a word to us: that it is gone
 * is all there is to see.
 */
function watchParent(onGone) {
  if (process.env.npm_lifecycle_event === undefined) return undefined;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onGone();
  }, 250);
  return timer;
}

function isProgram() {
  return (
    process.argv[1] !== undefined && realpathSync(process.argv[1]) === realpathSync(fileURLToPath(import.meta.url))
  );
}

if (isProgram()) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    // As the signal would have done, once the step was cleaned up: the shell, or npm, sees why it ended.
    if (error instanceof Interrupted) process.kill(process.pid, error.signal);
    else if (!(error instanceof LaunchError)) throw error;
    else process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
