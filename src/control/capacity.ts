/**
 * Whether a signal needs another shard, or could do with one less. A shard can carry its weight times `bytesPerSecond`.
 *
 * | rule | when | then |
 * |---|---|---|
 * | over-capacity | a shard's load > what it can carry, and slot moves cannot help | split: a new one takes from the fullest; cannot_split |
 * | under-capacity | two shards' load <= half of what one of them can carry, and the shards that are left would be half full at most | merge: the lightest is shared out among the others |
 *
 * Slot moves come before a split. They can help as long as every shard is below its capacity at `targetRatio` times its fair share (`rebalance.ts`).
 *
 * A plan is not followed by its opposite because the load has to double between a merge and a split; because a shard that was made within `holdMs`, or gave slots
 * to one that was, is not merged; because a shard whose slots came from another within `rebalance.holdMs` is not merged, as they might go back; and because
 * nothing is judged by a window that began before the last change (`decide.ts`).
 *
 * A shard that an override leads to is not merged, as it belongs to a key. Shards of a signal with next to no load are not merged either: that is what an outage
 * looks like.
 */

import type { ScoreKernel } from '../kernels/score/kernel.ts';
import { type CapacityState, fillOf, type Planning } from './capacity-planning.ts';
import { slotsMovedWithin } from './churn.ts';
import type { CapacityProposal } from './decision.ts';
import { mergeWish } from './merge-wish.ts';
import type { CapacityPolicy } from './policy.ts';
import type { LoadedShard } from './reshape-plan.ts';
import { isEnoughToJudge } from './shard-loads.ts';
import { splitWish } from './split-wish.ts';

/** null: the number of shards is right, or slot moves should help first. */
export function capacityWish(
  state: CapacityState,
  policy: CapacityPolicy,
  score: ScoreKernel,
  now: number,
): CapacityProposal | null {
  const { ring, view } = state;
  const shards = ring.shards.map((shard): LoadedShard => {
    const load = view.shardBytesPerSecond.get(shard.id) ?? 0;
    return { ...shard, load, capacity: shard.weight * policy.capacity.bytesPerSecond };
  });
  const total = shards.reduce((sum, { load }) => sum + load, 0);
  if (!isEnoughToJudge(total, policy.rebalance)) return null;
  const full = shards
    .filter(({ load, capacity }) => load > capacity)
    .sort((a, b) => fillOf(b) - fillOf(a) || a.id - b.id);
  const held = slotsMovedWithin(state.pastMoves, policy.rebalance.holdMs, now);
  const planning: Planning = { state, policy, score, now, shards, total, full, held };
  return full.length > 0 ? splitWish(planning) : mergeWish(planning);
}

/** Which shards the wish is about, under which ring epoch. */
export function capacityFingerprint(wish: CapacityProposal, epoch: number): string {
  const about = wish.action === 'merge' ? [wish.shard] : [...wish.overCapacity].sort((a, b) => a - b);
  return `epoch ${epoch} ${wish.action} ${about.join(',')}`;
}

/** Whether the epoch or the action is another than that of the last decision, or a shard above its capacity was not named by it. Which two shards to merge may waver: that is not news. */
export function capacityIsNews(wish: CapacityProposal, epoch: number, lastFingerprint: string): boolean {
  const last = /^epoch (\d+) (\w+) ([\d,]+)$/.exec(lastFingerprint);
  if (!last || Number(last[1]) !== epoch || last[2] !== wish.action) return true;
  const named = new Set(last[3]!.split(',').map(Number));
  return wish.overCapacity.some((shard) => !named.has(shard));
}
