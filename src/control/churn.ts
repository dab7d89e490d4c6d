/** What past changes of a signal's ring leave room for: the churn budget, and what has changed so lately that it is left alone. */
import type { PastMoves, RebalancePolicy } from './rebalance.ts';

const within = (past: readonly PastMoves[], ms: number, now: number) => past.filter(({ at }) => now - at < ms);

/** Slots, or keys, that may still change their owner. */
export function churnLeft(past: readonly PastMoves[], policy: RebalancePolicy, now: number): number {
  const spent = within(past, policy.churnWindowMs, now);
  return Math.max(
    0,
    policy.churnSlots - spent.reduce((sum, { slots, keys = [] }) => sum + slots.length + keys.length, 0),
  );
}

export function slotsMovedWithin(past: readonly PastMoves[], ms: number, now: number): ReadonlySet<number> {
  return new Set(within(past, ms, now).flatMap(({ slots }) => slots));
}

/** By hash, 16 hex digits. */
export function keysChangedWithin(past: readonly PastMoves[], ms: number, now: number): ReadonlySet<string> {
  return new Set(within(past, ms, now).flatMap(({ keys = [] }) => keys));
}
