/** Children do not outlive a run: neither its errors nor a Ctrl-C leave a processor behind that waits for its broker for ever. */
import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';

/** Kills the child when this process ends before it. */
export function endWithRun(child: ChildProcess): void {
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
}

/** Signals end this process by way of its 'exit' event, which they otherwise pass over. */
export function exitOnSignals(): void {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(name, () => process.exit(128 + constants.signals[name]));
}
