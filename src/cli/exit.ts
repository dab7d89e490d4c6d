/**
 * How a run ends: 0 done, 1 an error that the user can see to (one sentence, no stack trace), 2 a command line that is not
 * understood, 70 a bug (with its stack trace), 130 or 143 stopped by a second signal.
 */
import { WeirError } from '../errors.ts';

export const EXIT = { done: 0, failed: 1, usage: 2, bug: 70 } as const;

/** Runs a command and ends the process with its exit code, once all output is written. */
export async function exitAfter(command: () => Promise<number>): Promise<never> {
  // `weir inspect … | head`: nobody reads on, and that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.done);
  });
  process.on('uncaughtException', (error) => process.exit(tell(error)));
  const code = await command().catch(tell);
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
  process.exit(code);
}

/** Tells the user of an error on stderr; its exit code. */
function tell(error: unknown): number {
  const { text, code } = describeError(error);
  process.stderr.write(text);
  return code;
}

export function describeError(error: unknown): { text: string; code: number } {
  if (error instanceof WeirError) return { text: `weir: ${error.message}\n`, code: EXIT.failed };
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `\ncaused by ${error.cause.stack}` : '';
  return { text: `weir: this is a bug, please report it:\n${stack}${cause}\n`, code: EXIT.bug };
}

/** A signal to the process group reaches us directly and, a moment later, again through the launcher. */
const SAME_SIGNAL_MS = 1_000;

/**
 * Aborted by the first Ctrl-C, SIGTERM or SIGHUP: drain and stop. A second one, at least SAME_SIGNAL_MS later, ends the
 * process at once, with 128 + its number.
 */
export function stopSignal(onFirst?: (name: NodeJS.Signals) => void): AbortSignal {
  const stop = new AbortController();
  const numbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
  let firstAt = 0;
  for (const [name, number] of Object.entries(numbers))
    process.on(name, () => {
      if (stop.signal.aborted) {
        if (performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(128 + number);
        return;
      }
      firstAt = performance.now();
      onFirst?.(name as NodeJS.Signals);
      stop.abort();
    });
  return stop.signal;
}
