/** The ring epochs as the partitions of a processor see them: read from the control log, prepared for the kernel once each. */
import type { Logger } from 'pino';
import type { ControlLogFollower } from '../coordination/control-log.ts';
import { type RingEpoch, routingOf } from '../coordination/ring-epoch.ts';
import type { ControlState } from '../coordination/state.ts';
import type { Routing } from '../kernels/split/kernel.ts';
import { bySignal, type Signal } from '../signals.ts';

/** What polls are routed by under one ring epoch. One object an epoch: by its identity the kernel knows whether its tables are up to date. */
export interface PollRing {
  readonly epoch: number;
  readonly routing: Readonly<Record<Signal, Routing>>;
  /** Shards that lost or gained slots or keys by this epoch. */
  readonly touched: RingEpoch['touched'];
}

export interface RingSource {
  /** Of the newest epoch that is known: the proposed one while a change is in flight. Its epoch never goes down. */
  readonly newest: PollRing;
  /** The epoch in force as far as the log is read; below `newest` while a change is in flight. */
  readonly activeEpoch: number;
  /**
   * To be awaited when a partition is opened, before anything is routed. Resolves once the log is folded up to epoch `atLeast`,
   * which the committed offset names. null (no committed offset): up to where the log ends now, so that a change that became
   * active before this partition was known to anyone is not missed.
   */
  reach(atLeast: number | null, signal: AbortSignal): Promise<void>;
}

const PATIENCE_MS = 2_000;

/** `log` holds a ring epoch already. */
export function followRings(log: ControlLogFollower, logger: Pick<Logger, 'warn'>): RingSource {
  let newest = pollRing(newestRing(log.state)!);
  return {
    get newest() {
      const ring = newestRing(log.state)!;
      if (ring.epoch !== newest.epoch) newest = pollRing(ring);
      return newest;
    },
    get activeEpoch() {
      return log.state.ring!.epoch;
    },
    async reach(atLeast, signal) {
      if (atLeast === null) {
        await log.catchUp({ signal });
        return;
      }
      const late = setTimeout(() => {
        logger.warn(
          `an offset was committed under ring epoch ${atLeast}: waiting until the control log is read as far`,
        );
      }, PATIENCE_MS);
      const reached = log.waitFor((state) => (newestRing(state)?.epoch ?? 0) >= atLeast, { signal });
      await reached.finally(() => clearTimeout(late));
    },
  };
}

/** The proposed ring epoch, or without one that in force. */
function newestRing({ proposed, ring }: ControlState): RingEpoch | null {
  return proposed?.ring ?? ring;
}

function pollRing({ epoch, signals, touched }: RingEpoch): PollRing {
  return { epoch, routing: bySignal((signal) => routingOf(signals[signal])), touched };
}
