/**
 * Who owns a data folder of the embedded broker, told by a file in it. A pid alone says nothing (pids come round again),
 * so a process is named by its pid and its start time, and a broker also by its command line.
 */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { WeirError } from '../../errors.ts';
import { unusable } from './folder.ts';

const run = promisify(execFile);

/** One process for good: no other has this pid and this start time. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; of the platform's own resolution (10 ms on Linux, 1 s elsewhere). */
  readonly started: string;
}

interface LockText {
  /** The Weir that started the broker. */
  readonly owner: ProcessIdentity;
  /** The broker's JVM, once it runs. */
  readonly broker?: ProcessIdentity;
}

export interface DataDirLock {
  /** Writes down which JVM is ours, for the next start to end if we cannot. */
  nameBroker(broker: ProcessIdentity): Promise<void>;
  /** Gives the folder free. A second call does nothing. */
  release(): Promise<void>;
}

const LOCK_FILE = 'weir.lock';

/** An argument of the broker's JVM, so its command line says whose it is. */
export const brokerConfigFile = (dataDir: string) => join(dataDir, 'server.properties');

/**
 * Takes the folder. A lock whose owner is gone is taken over, and the broker that it names is ended if it still runs.
 * Throws EMBEDDED_FAILED when a living Weir holds the folder, and where nothing can be written.
 */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  const file = join(dataDir, LOCK_FILE);
  const owner = await identify(process.pid);
  if (owner === undefined) throw new Error(`process ${process.pid} has no start time`);
  const mine = JSON.stringify({ owner } satisfies LockText);
  for (;;) {
    const locked = await linkInto(file, mine).catch((cause) => {
      throw unusable(dataDir, cause);
    });
    if (locked) break;
    const found = await readLock(file);
    if (found === undefined) continue;
    const { text, lock } = found;
    if (lock !== undefined && (await isAlive(lock.owner))) {
      const who = lock.owner.pid === process.pid ? 'this process' : `process ${lock.owner.pid}`;
      throw new WeirError(
        'EMBEDDED_FAILED',
        `Starting the embedded broker on ${dataDir}: ${who} already runs one there. ` +
          `Stop it, or choose another folder with kafka.embedded.dataDir.`,
      );
    }
    if (lock?.broker !== undefined) await endLeftover(lock.broker, dataDir);
    if (await succeed(file, text, mine)) break;
  }

  let released = false;
  return {
    async nameBroker(broker) {
      const fresh = `${file}.${process.pid}`;
      await writeFile(fresh, JSON.stringify({ owner, broker } satisfies LockText));
      await rename(fresh, file);
    },
    async release() {
      if (released) return;
      released = true;
      await rm(file, { force: true });
    },
  };
}

/** Creates the file with all of its text at once, so that nobody reads half a lock; false when there is one already. */
async function linkInto(file: string, text: string): Promise<boolean> {
  const fresh = `${file}.${randomUUID()}`;
  await writeFile(fresh, text);
  try {
    await link(fresh, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(fresh);
  }
}

/** The lock as it stands; `lock` is undefined when what is there is none of ours. */
async function readLock(file: string): Promise<{ text: string; lock: LockText | undefined } | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const lock = JSON.parse(text) as LockText;
    return { text, lock: typeof lock?.owner?.pid === 'number' ? lock : undefined };
  } catch {
    // Not JSON: a disk that filled up, or a hand. It names no process, so it holds nothing.
    return { text, lock: undefined };
  }
}

/**
 * Takes over a lock that was judged dead; false: look again. Only one start can hold the claim to succeed this very lock, and
 * only the holder replaces it; one that comes late, with the lock replaced already, sees so and gives its claim up.
 */
async function succeed(file: string, dead: string, mine: string): Promise<boolean> {
  const claim = `${file}.${createHash('sha256').update(dead).digest('hex').slice(0, 16)}`;
  if (!(await linkInto(claim, mine))) {
    const other = await readLock(claim);
    const holder = other?.lock?.owner;
    // A claim whose holder was killed within the few milliseconds between here and the rename below is void.
    if (other !== undefined && (holder === undefined || !(await isAlive(holder)))) await rm(claim, { force: true });
    await delay(20);
    return false;
  }
  if ((await readLock(file))?.text !== dead) {
    await rm(claim);
    return false;
  }
  await rename(claim, file);
  return true;
}

/** Ends a broker that outlived its Weir; any other process that has its pid by now is left alone. */
async function endLeftover(broker: ProcessIdentity, dataDir: string): Promise<void> {
  if (!(await isAlive(broker))) return;
  if (!(await commandLine(broker.pid)).includes(brokerConfigFile(dataDir))) return;
  killIfThere(broker.pid, 'SIGKILL');
  for (let waitedMs = 0; await isAlive(broker); waitedMs += 50) {
    if (waitedMs > 10_000) {
      throw new WeirError(
        'EMBEDDED_FAILED',
        `Starting the embedded broker on ${dataDir}: an earlier broker (process ${broker.pid}) does not end. End it by hand.`,
      );
    }
    await delay(50);
  }
}

/** Undefined when no such process runs (a zombie does not run). */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    if (stat === undefined) return undefined;
    // proc(5): the command name, field 2, is in brackets and may hold blanks and brackets. Then: state (3), … starttime (22).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : { pid, started: fields[19] ?? '' };
  }
  const { stdout } = await ps(pid, 'lstart=');
  return stdout.trim() === '' ? undefined : { pid, started: stdout.trim() };
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await identify(identity.pid))?.started === identity.started;
}

async function commandLine(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
  }
  return (await ps(pid, 'command=')).stdout;
}

/** ps exits with 1 when there is no such process. */
const ps = (pid: number, format: string) =>
  run('ps', ['-o', format, '-p', String(pid)], { env: { ...process.env, LC_ALL: 'C' } }).catch(() => ({ stdout: '' }));

export function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
