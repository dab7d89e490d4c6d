/** `weir` as a child process, the way a user runs it: the built program, settings by environment, seen through its API. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePort } from '../../src/kafka/embedded.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'dist', 'main.js');

export interface WeirProcess {
  readonly child: ChildProcess;
  readonly apiPort: number;
  /** What it has written to stdout and stderr. */
  output(): string;
  /** Sum of a metric over its labels; 0 while there is none. */
  metric(name: string): Promise<number>;
  /** Resolves when `reached` holds, rejects when the process ends before. */
  waitForMetric(name: string, reached: (value: number) => boolean): Promise<void>;
  /** SIGKILL, at once. */
  kill(): Promise<void>;
  /** SIGTERM unless told otherwise; resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export async function startWeir(args: readonly string[], env: Readonly<Record<string, string>>): Promise<WeirProcess> {
  const apiPort = await freePort();
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, WEIR_API_PORT: String(apiPort), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const written: string[] = [];
  child.stdout.on('data', (chunk) => written.push(String(chunk)));
  child.stderr.on('data', (chunk) => written.push(String(chunk)));
  const output = () => written.join('');
  const ended = once(child, 'exit');

  async function metric(name: string): Promise<number> {
    const text = await fetch(`http://127.0.0.1:${apiPort}/metrics`).then(
      (response) => response.text(),
      () => '',
    );
    const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
    return values.reduce((sum, match) => sum + Number(match[1]), 0);
  }

  return {
    child,
    apiPort,
    output,
    metric,
    async waitForMetric(name, reached) {
      while (!reached(await metric(name))) {
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`weir ${args.join(' ')} ended while waiting for ${name}:\n${output()}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      await ended;
      return child.exitCode;
    },
  };
}

/** Runs a command to its end. */
export async function runWeir(args: readonly string[], env: Readonly<Record<string, string>>) {
  const weir = await startWeir(args, env);
  if (weir.child.exitCode === null) await once(weir.child, 'exit');
  return { code: weir.child.exitCode, output: weir.output() };
}
