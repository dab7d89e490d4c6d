/**
 * When an exporter that is turned away may come again: once the backlog will have drained, at the rate at which Kafka has
 * lately taken bytes while there were any. Of a Kafka that is silent the measured rate falls, and the delay grows with it.
 */

/** Below it exporters would be back before anything has changed; above it they drop what they hold (Python and Go give up after a minute). */
const LEAST_MS = 1_000;
const MOST_MS = 30_000;
/** What was measured this long ago counts half. */
const HALF_LIFE_MS = 5_000;
/** Exporters that were turned away together must not come back together. */
const JITTER = 0.25;

export interface RetryDelay {
  /** The backlog is now of so many bytes, of which Kafka has just taken `takenBytes`. */
  changed(backlogBytes: number, takenBytes: number): void;
  /** For one exporter. */
  nextMs(): number;
}

export function createRetryDelay(
  now: () => number = () => performance.now(),
  random: () => number = Math.random,
): RetryDelay {
  let backlogBytes = 0;
  /** Both decayed by their age: what was taken, and how long there was something to take. */
  let takenBytes = 0;
  let busyMs = 0;
  let at = now();

  function age(): void {
    const elapsedMs = now() - at;
    at += elapsedMs;
    if (backlogBytes === 0) return; // an idle stretch says nothing about the rate
    const left = 0.5 ** (elapsedMs / HALF_LIFE_MS);
    takenBytes *= left;
    busyMs = busyMs * left + elapsedMs;
  }

  return {
    changed(backlog, taken) {
      age();
      backlogBytes = backlog;
      takenBytes += taken;
    },
    nextMs() {
      age();
      // Before anything was ever taken there is no rate, only how long Kafka has been silent.
      const drainMs = takenBytes === 0 ? busyMs : (backlogBytes * busyMs) / takenBytes;
      const delayMs = Math.min(Math.max(drainMs, LEAST_MS), MOST_MS);
      return Math.round(delayMs * (1 + JITTER * random()));
    },
  };
}
