/** Waiting for what is promised, however slow the machine. */
import { vi } from 'vitest';

/** Before the time that a test has (vitest.config.ts), so that what does not hold is named. Where all is well it costs nothing. */
export const PATIENCE_MS = 60_000;

/** Calls `check` until it does not throw; answers what it does then. */
export const eventually = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: PATIENCE_MS, interval: 20 });
