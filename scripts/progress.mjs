/** How the launcher speaks: one line on stderr when a long step begins, one when it is done, one sentence when it fails. */
import { spawn } from 'node:child_process';

/** Something the user can mend. The message is one sentence, or two, with what to do; no stack trace is shown. */
export class LaunchError extends Error {}

/** A Ctrl-C, SIGTERM or SIGHUP came while a step ran; what the step ran has ended. */
export class Interrupted extends Error {
  constructor(signal) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** What does not end by itself when asked to is killed after this. */
const PATIENCE_MS = 1_000;

/**
 * @template T
 * @param {string} text such as `Fetching Node 24.21.0 (190 MB)`
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function step(text, work) {
  const beganMs = Date.now();
  process.stderr.write(`${text} …\n`);
  const result = await work();
  process.stderr.write(`  done in ${((Date.now() - beganMs) / 1_000).toFixed(1)} s\n`);
  return result;
}

/**
 * Runs a program to its end and keeps what it says. A signal ends the program, and only then rejects with Interrupted: an
 * npm that goes on in the folder into which the next start installs would spoil both, and callers clean up behind it.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<{ code: number | null, said: string }>}
 */
export function capture(program, args, options = {}) {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        said += text;
      });
    }
    let interruptedBy;
    let patience;
    const interrupt = (signal) => {
      if (interruptedBy) return;
      interruptedBy = signal;
      child.kill('SIGTERM');
      patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
    };
    const over = () => {
      clearTimeout(patience);
      for (const signal of SIGNALS) process.off(signal, interrupt);
    };
    for (const signal of SIGNALS) process.on(signal, interrupt);
    child.once('error', (error) => {
      over();
      fail(error);
    });
    child.once('close', (code) => {
      over();
      if (interruptedBy) fail(new Interrupted(interruptedBy));
      else done({ code, said });
    });
  });
}
