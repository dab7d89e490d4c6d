/** Where time comes from. Real by default; a simulation puts its own in and turns it by hand. */
export interface Clock {
  /** Unix ms. */
  now(): number;
  /**
   * Calls once, `delayMs` from now; the answer cancels it. A background timer (the broker's: sessions, transactions) must not
   * keep the process alive.
   */
  setTimer(callback: () => void, delayMs: number, background?: boolean): () => void;
  /**
   * Lets timers and sockets have their turn, as waiting for a broker's answer would. Without it a client that always finds
   * records would run on in microtasks, and nothing else in the process at all.
   */
  turn(): Promise<void>;
}

export const realClock: Clock = {
  now: () => Date.now(),
  setTimer(callback, delayMs, background = false) {
    const timer = setTimeout(callback, delayMs);
    if (background) timer.unref();
    return () => clearTimeout(timer);
  },
  turn: () => new Promise((resolve) => setImmediate(resolve)),
};

/** Waits `delayMs`, less when the signal is aborted before; never rejects. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.setTimer(end, delayMs);
    signal?.addEventListener('abort', end);
  });
}
