/** Faults to order, for one client: what is lost next, or how long everything stands still. */
import type { Fate, Intercept, Request } from './wire.ts';

export interface Faults {
  readonly intercept: Intercept;
  /** The next request that fits meets this fate; orders are met one each, in order. */
  next(fits: (request: Request) => boolean, fate: Exclude<Fate, 'deliver'>): void;
  /** Holds up every request that fits (all by default) until the answer is called: a client that is paused. */
  stall(fits?: (request: Request) => boolean): () => void;
}

export function createFaults(): Faults {
  const orders: { fits: (request: Request) => boolean; fate: Fate }[] = [];
  const stalls = new Set<{ fits: (request: Request) => boolean; over: Promise<void> }>();
  return {
    async intercept(request) {
      for (;;) {
        const stall = [...stalls].find(({ fits }) => fits(request));
        if (!stall) break;
        await stall.over;
      }
      const met = orders.findIndex(({ fits }) => fits(request));
      return met < 0 ? 'deliver' : orders.splice(met, 1)[0]!.fate;
    },
    next(fits, fate) {
      orders.push({ fits, fate });
    },
    stall(fits = () => true) {
      const { promise: over, resolve } = Promise.withResolvers<void>();
      const stall = { fits, over };
      stalls.add(stall);
      return () => {
        stalls.delete(stall);
        resolve();
      };
    },
  };
}
