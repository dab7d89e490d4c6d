/** OpenTelemetry's Python exporters, from PyPI into a temporary virtual environment. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const VERSION = '1.45.2';
const SCRIPT = join(import.meta.dirname, 'python_exporter.py');
const run = promisify(execFile);

/** Why there are none: no Python, or one that cannot make virtual environments; null where they can be installed. */
export function pythonIsMissing(): string | null {
  try {
    execFileSync('python3', ['-c', 'import ensurepip, venv, sys; assert sys.version_info >= (3, 10)'], {
      stdio: 'pipe',
    });
    return null;
  } catch (cause) {
    return `python3, from 3.10 on, with venv: ${(cause as Error).message.split('\n').at(-1)}`;
  }
}

export interface Python {
  /** What the script prints, see python_exporter.py. */
  run(...args: string[]): Promise<unknown>;
  remove(): void;
}

/** Takes some 15 s. */
export async function installPython(): Promise<Python> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-python-'));
  const python = join(folder, 'bin', 'python');
  await run('python3', ['-m', 'venv', folder]);
  const packages = [`opentelemetry-sdk==${VERSION}`, `opentelemetry-exporter-otlp==${VERSION}`];
  await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages]);
  return {
    async run(...args) {
      const { stdout } = await run(python, [SCRIPT, ...args], { maxBuffer: 64 * 1024 * 1024 });
      return JSON.parse(stdout);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
