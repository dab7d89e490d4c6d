/** What a process has cost so far, seen from outside. From /proc, so on Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

export interface CpuSeconds {
  readonly user: number;
  readonly system: number;
}

/** Linux counts a process's time in ticks of 10 ms, whatever the kernel's own clock is. */
const TICKS_PER_SECOND = 100;

/** CPU time of the process, its threads and the children that are alive: workers count where they are processes, too. */
export function cpuSecondsOf(pid: number): CpuSeconds {
  return processTreeOf(pid).reduce<CpuSeconds>(
    (sum, one) => {
      const [user = 0, system = 0] = statOf(one).slice(11, 13).map(Number);
      return { user: sum.user + user / TICKS_PER_SECOND, system: sum.system + system / TICKS_PER_SECOND };
    },
    { user: 0, system: 0 },
  );
}

export const cpuBetween = (before: CpuSeconds, after: CpuSeconds): CpuSeconds => ({
  user: after.user - before.user,
  system: after.system - before.system,
});

/** Largest resident memory that the process has had, its living children's added: an upper bound where there are several. */
export function peakRssMb(pid: number): number {
  return processTreeOf(pid).reduce((sum, one) => sum + kilobytesOf(one, 'VmHWM') / 1e3, 0);
}

/** Resident memory now, likewise. */
export function rssMb(pid: number): number {
  return processTreeOf(pid).reduce((sum, one) => sum + kilobytesOf(one, 'VmRSS') / 1e3, 0);
}

function processTreeOf(pid: number): number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => Number(statOf(other)[1]) === pid);
  return [pid, ...children.flatMap(processTreeOf)];
}

/** The fields of /proc/PID/stat from the state on, which follows the program's name in brackets; none when it has ended. */
function statOf(pid: number): readonly string[] {
  const text = readProc(pid, 'stat');
  return text.slice(text.lastIndexOf(') ') + 2).split(' ');
}

function kilobytesOf(pid: number, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readProc(pid, 'status'))?.[1] ?? 0);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}
