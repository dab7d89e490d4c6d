/**
 * Whether a signal needs another shard, or could do with one less. A shard can carry its weight times `bytesPerSecond`.
 *
 * | rule | when | then |
 * |---|---|---|
 * | over-capacity | a shard's load > what it can carry, and slot moves cannot help | split: a new one takes from the fullest; cannot_split |
 * | under-capacity | two shards' load <= half of what one of them can carry, and all that is left would be half full at most | merge: the lightest is shared out among the others |
 *
 * Slot moves come before a split: they can help as long as all shards at `targetRatio` times their fair share are below their capacity (`rebalance.ts`).
 * What keeps a plan from being followed by its contrary: between a merge and a split the load has to double; a shard that came to
 * be or gave to one that did within `holdMs` is not merged; nor is one whose slots came from another within `rebalance.holdMs`, as they might go back; and nothing is
 * judged by what was measured before the last change (`decide.ts`).
 *
 * A shard that an override leads to is not merged: a key has it for itself. A signal with next to no load is not merged either: that is
 * what an outage looks like.
 */

import type { ScoreKernel } from '../kernels/score/kernel.ts';
import { type CapacityPolicy, type CapacityState, fillOf, type Planning } from './capacity-planning.ts';
import { slotsMovedWithin } from './churn.ts';
import type { CapacityProposal } from './decision.ts';
import { loadsOf } from './distribution.ts';
import { mergeWish } from './merge-wish.ts';
import type { LoadedShard } from './reshape-plan.ts';
import { splitWish } from './split-wish.ts';

/** null: the shards are as many as they should be, or slot moves are to help first. */
export function capacityWish(
  state: CapacityState,
  policy: CapacityPolicy,
  score: ScoreKernel,
  now: number,
): CapacityProposal | null {
  const { ring, view } = state;
  const { loads, total } = loadsOf(ring.shards, view);
  const shards = ring.shards.map((shard, i): LoadedShard => {
    return { ...shard, load: loads[i]!, capacity: shard.weight * policy.capacity.bytesPerSecond };
  });
  if (total === 0 || total < policy.rebalance.minBytesPerSecond) return null;
  const full = shards
    .filter(({ load, capacity }) => load > capacity)
    .sort((a, b) => fillOf(b) - fillOf(a) || a.id - b.id);
  const planning: Planning = {
    ...{ state, policy, score, now, shards, total, full },
    held: slotsMovedWithin(state.pastMoves, policy.rebalance.holdMs, now),
  };
  return full.length > 0 ? splitWish(planning) : mergeWish(planning);
}

/** The shards that it is about, under which ring epoch. */
export function capacityFingerprint(wish: CapacityProposal, epoch: number): string {
  const about = wish.action === 'merge' ? [wish.shard] : [...wish.overCapacity].sort((a, b) => a - b);
  return `epoch ${epoch} ${wish.action} ${about.join(',')}`;
}

/** Another epoch or action, or a shard above its capacity that the last decision did not name. Which two to merge may waver. */
export function capacityIsNews(wish: CapacityProposal, epoch: number, lastFingerprint: string): boolean {
  const last = /^epoch (\d+) (\w+) ([\d,]+)$/.exec(lastFingerprint);
  if (!last || Number(last[1]) !== epoch || last[2] !== wish.action) return true;
  const named = new Set(last[3]!.split(',').map(Number));
  return wish.overCapacity.some((shard) => !named.has(shard));
}
