/** Runs the embedded broker's JVM so that it cannot outlive this process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';

export interface BrokerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * The JVM runs beside a guard that reads from a pipe of ours. Nothing is ever written to it: the read ends when the last
 * holder of the other end, this process, is gone, and then the guard kills the JVM (and wipes $2, if given). The shell has
 * a session of its own, so that a Ctrl-C at the terminal reaches Weir, which drains first, and not the broker.
 */
const GUARD = `
log=$1 wipe=$2; shift 2
exec 3<&0
"$@" </dev/null 3<&- >>"$log" 2>&1 &
jvm=$!
(
  read -r _ <&3
  trap '' TERM
  kill -9 $jvm
  [ -z "$wipe" ] || { sleep 1; rm -rf "$wipe"; }
) >/dev/null 2>&1 &
guard=$!
exec 3<&-
echo $jvm
exec >/dev/null
wait $jvm
code=$?
kill $guard 2>/dev/null
exit $code
`;

export interface Guarded {
  /** Of the JVM. */
  readonly pid: number;
  readonly exit: Promise<BrokerExit>;
  /** Until then the child does not keep this process from ending. */
  keepAlive(): void;
}

/** Runs the command under the guard; its output goes to `log`. `wipe`: a folder to delete if this process is killed. */
export async function spawnGuarded(command: readonly string[], log: string, wipe: string): Promise<Guarded> {
  await writeFile(log, '');
  const shell: ChildProcess = spawn('/bin/sh', ['-c', GUARD, 'weir-broker-guard', log, wipe, ...command], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
    cwd: '/',
  });
  const exit = once(shell, 'exit').then(([code, signal]): BrokerExit => {
    // A shell reports a child that a signal ended as 128 + its number.
    if (code === 137) return { code: null, signal: 'SIGKILL' };
    if (code === 143) return { code: null, signal: 'SIGTERM' };
    return { code, signal };
  });
  const said = shell.stdout as Readable;
  const failed = exit.then(({ code }) => {
    throw new Error(`the broker's guard ended (${code}) before it named the broker`);
  });
  const [pid] = (await Promise.race([once(said, 'data'), failed])) as [Buffer];
  failed.catch(() => {}); // From here on the end is `exit`'s to tell.
  said.destroy();
  shell.unref();
  (shell.stdin as Writable & { unref?(): void }).unref?.();
  return { pid: Number(pid.toString().trim()), exit, keepAlive: () => shell.ref() };
}
