/** Waiting and trying again, bounded by time and not by count: how long a coordinator loads does not depend on our step. */
import { pause } from '../../abortable.ts';

/** Tries until it works, `again` says no, the deadline is over or the signal is aborted; the last error is thrown. */
export async function retry<T>(
  work: () => Promise<T>,
  options: {
    /** `performance.now()` clock, in ms. */
    deadline: number;
    firstStepMs: number;
    maxStepMs: number;
    again(error: unknown): boolean;
    signal?: AbortSignal;
  },
): Promise<T> {
  for (let stepMs = options.firstStepMs; ; stepMs = Math.min(stepMs * 2, options.maxStepMs)) {
    try {
      return await work();
    } catch (error) {
      if (!options.again(error) || options.signal?.aborted || performance.now() + stepMs > options.deadline)
        throw error;
      await pause(stepMs, options.signal);
      if (options.signal?.aborted) throw error;
    }
  }
}

/** Passes a message on at most every `intervalMs`: trouble that lasts is told, not poured out. */
export function sparsely(intervalMs: number, tell: (cause: Error) => void): (cause: Error) => void {
  let last = Number.NEGATIVE_INFINITY;
  return (cause) => {
    const now = performance.now();
    if (now - last < intervalMs) return;
    last = now;
    tell(cause);
  };
}
