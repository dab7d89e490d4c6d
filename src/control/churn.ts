/** What past changes of a signal's ring leave room for: the rest of the churn budget, and what changed so recently that it is left alone. */
import type { RebalancePolicy } from './policy.ts';

/** Slots and keys of a signal that changed their shard at one time, for whatever reason. */
export interface PastMoves {
  /** Unix ms at which the change was decided. */
  readonly at: number;
  readonly slots: readonly number[];
  /** Hashes (16 hex digits) of the keys that were given an override, or lost it. */
  readonly keys?: readonly string[];
}

const within = (past: readonly PastMoves[], ms: number, now: number) => past.filter(({ at }) => now - at < ms);

/** How many slots or keys may still change their shard in this churn window. */
export function churnLeft(past: readonly PastMoves[], policy: RebalancePolicy, now: number): number {
  const spent = within(past, policy.churnWindowMs, now).reduce(
    (sum, { slots, keys = [] }) => sum + slots.length + keys.length,
    0,
  );
  return Math.max(0, policy.churnSlots - spent);
}

export function slotsMovedWithin(past: readonly PastMoves[], ms: number, now: number): ReadonlySet<number> {
  return new Set(within(past, ms, now).flatMap(({ slots }) => slots));
}

/** Hashes, 16 hex digits each. */
export function keysChangedWithin(past: readonly PastMoves[], ms: number, now: number): ReadonlySet<string> {
  return new Set(within(past, ms, now).flatMap(({ keys = [] }) => keys));
}
