/**
 * How a run ends: 0 done, 1 an error that the user can see to (one sentence, no stack trace), 2 a command line that is not
 * understood, 70 a bug (with its stack trace), 130 or 143 stopped by a second signal.
 */
import { WeirError } from '../errors.ts';

export const EXIT = { done: 0, failed: 1, usage: 2, bug: 70 } as const;

/** What a command has left open may not keep the process longer. */
const LEFT_OPEN_MS = 500;

/** Runs a command, after which the process ends with its exit code, once all output is written. */
export async function exitAfter(command: () => Promise<number>): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', onLostReader);
  process.on('uncaughtException', (error) => process.exit(tell(error)));
  const code = await command().catch(tell);
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
  // The event loop runs dry, and V8 is shut down in order. process.exit() waits for V8's threads without that: for ever where
  // one of them, which compiles, waits for the main thread to collect garbage (nodejs/node#54918).
  process.exitCode = code;
  setTimeout(() => process.exit(), LEFT_OPEN_MS).unref();
}

/**
 * `weir inspect … | head`, or a terminal that is gone (EIO): nobody reads on, and that is no error. What drains on a signal
 * does so now; the rest has nothing left to do.
 */
function onLostReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  if (!drain) process.exit(EXIT.done);
  drain();
}

/** Set while something runs that wants to drain. */
let drain: (() => void) | undefined;

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
 * Aborted by the first Ctrl-C, SIGTERM or SIGHUP, and when nobody reads the output any more: drain and stop. A second
 * signal, at least SAME_SIGNAL_MS later, ends the process at once, with 128 + its number.
 */
export function stopSignal(onFirst?: (name: NodeJS.Signals) => void): AbortSignal {
  const stop = new AbortController();
  const numbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
  let firstAt = 0;
  const begin = () => {
    if (stop.signal.aborted) return;
    firstAt = performance.now();
    stop.abort();
  };
  drain = begin;
  for (const [name, number] of Object.entries(numbers))
    process.on(name, () => {
      if (stop.signal.aborted) {
        if (performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(128 + number);
        return;
      }
      onFirst?.(name as NodeJS.Signals);
      begin();
    });
  return stop.signal;
}
