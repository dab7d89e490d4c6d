/**
 * Files that are read again when they change: certificates that are renewed, tokens that are rotated. By looking at them once
 * a second and not by file events, as those miss the symbolic links that Kubernetes swaps, and network file systems have none.
 */
import { stat } from 'node:fs/promises';

export interface FollowedFiles {
  stop(): void;
}

const INTERVAL_MS = 1_000;

/**
 * Calls `onChange` when one of the files is not the one it was. Of files that belong together one may change before the
 * other: whoever cannot use what it finds keeps what it has, and is called again when the rest has come.
 */
export function followFiles(
  paths: readonly string[],
  onChange: () => Promise<void> | void,
  intervalMs = INTERVAL_MS,
): FollowedFiles {
  let stopped = false;
  let timer: NodeJS.Timeout;
  let known = stamps(paths);
  const look = async () => {
    const before = await known;
    known = stamps(paths);
    if ((await known) !== before && !stopped) await onChange();
    if (!stopped) wait();
  };
  const wait = () => {
    timer = setTimeout(() => void look(), intervalMs);
    timer.unref();
  };
  wait();
  return {
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
