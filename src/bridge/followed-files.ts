/**
 * Files that are read again when they change: certificates that are renewed, tokens that are rotated. By looking at them once
 * a second and not by file events, as those miss the symbolic links that Kubernetes swaps, and network file systems have none.
 */
import { stat } from 'node:fs/promises';

/** What the files say. */
export interface Followed<T> {
  readonly current: T;
  stop(): void;
}

export interface FollowOptions<T> {
  /** Throws where the files cannot be used. */
  read(): Promise<T>;
  onChange(changed: T): void;
  /** The changed files cannot be used: `current` stays what it was. */
  onUnusable(error: unknown): void;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 1_000;

/**
 * Reads the files, and again when one of them is not the one it was. Throws what the first reading throws. Of files that belong
 * together one may change before the other: what cannot be used is left alone, and read again when the rest has come.
 */
export async function followFiles<T>(
  paths: readonly string[],
  { read, onChange, onUnusable, intervalMs = INTERVAL_MS }: FollowOptions<T>,
): Promise<Followed<T>> {
  let stopped = false;
  let timer: NodeJS.Timeout;
  // Before the reading: what changes meanwhile is read again.
  let known = stamps(paths);
  let current = await read();
  const look = async () => {
    const before = await known;
    known = stamps(paths);
    if ((await known) !== before && !stopped) await readAgain();
    if (!stopped) wait();
  };
  const readAgain = async () => {
    try {
      current = await read();
      onChange(current);
    } catch (error) {
      onUnusable(error);
    }
  };
  const wait = () => {
    timer = setTimeout(() => void look(), intervalMs);
    timer.unref();
  };
  wait();
  return {
    get current() {
      return current;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** A missing file is a stamp of its own: it may be about to be replaced. */
async function stamps(paths: readonly string[]): Promise<string> {
  const each = await Promise.all(
    paths.map((path) =>
      stat(path, { bigint: true }).then(
        ({ ino, mtimeNs, size }) => `${ino}/${mtimeNs}/${size}`,
        () => 'missing',
      ),
    ),
  );
  return each.join(' ');
}
