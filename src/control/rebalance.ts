/**
 * Whether slots should move, and which (`slot-plan.ts`): the fewest that bring every shard below `targetRatio` times its fair share.
 *
 * | rule | when | then |
 * |---|---|---|
 * | hot-shard | a shard's load > hotRatio * its fair share of the signal's load, keys that have a shard for themselves apart; > targetRatio * it within holdMs of a change about a hot key | move_slots; cannot_balance when not one slot can move |
 * | over-capacity | a shard's load > its capacity, and all have room enough together that moves can help | the same |
 *
 * What keeps a plan from being followed by its contrary: the gap between hotRatio and targetRatio, the slots that moved within `holdMs` and stay
 * where they are, and the churn budget, which moves of the last `churnWindowMs` have used up in part.
 */
import type { Config } from '../config.ts';
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import type { Signal } from '../signals.ts';
import { churnLeft, keysChangedWithin, slotsMovedWithin } from './churn.ts';
import type { RebalanceProposal } from './decision.ts';
import { distributionOf, loadsOf } from './distribution.ts';
import { sharesBesideKeys } from './hot-key.ts';
import type { SignalView } from './load-view.ts';
import { slotLoadOf } from './slot-loads.ts';
import { type PlannedShard, planSlotMoves } from './slot-plan.ts';

/** How far of the way from the fair share to the target the moves fill a shard. */
const AIMED_SHARE = 0.8;

export type RebalancePolicy = Config['control']['rebalance'];

/** Slots and keys of a signal that changed their owner, for whatever reason. */
export interface PastMoves {
  /** Unix ms at which they were decided. */
  readonly at: number;
  readonly slots: readonly number[];
  /** Hashes of keys that were given an override, or lost it. */
  readonly keys?: readonly string[];
}

export interface RebalanceState {
  readonly signal: Signal;
  readonly ring: SignalRing;
  readonly view: SignalView;
  readonly windowMs: number;
  /** Bytes/s that a shard of weight 1 can carry. */
  readonly unitCapacity: number;
  /** Of the longer of holdMs and churnWindowMs, at least. */
  readonly pastMoves: readonly PastMoves[];
}

/** null: no shard is hot, or the signal has too little load to judge. */
export function rebalanceWish(
  { signal, ring, view, windowMs, unitCapacity, pastMoves }: RebalanceState,
  policy: RebalancePolicy,
  score: ScoreKernel,
  now: number,
): RebalanceProposal | null {
  const { loads, total } = loadsOf(ring.shards, view);
  if (ring.shards.length < 2 || total === 0 || total < policy.minBytesPerSecond) return null;
  const shares = sharesBesideKeys(ring, view);
  const fair = shares.map(({ share }) => share);
  const hotRatio = keysChangedWithin(pastMoves, policy.holdMs, now).size > 0 ? policy.targetRatio : policy.hotRatio;
  // Beside a key that has its shard for itself there is room for no more than what the target allows.
  const spare = (policy.targetRatio - 1) * (total / ring.shards.length);
  const hotTimes = shares.map(({ share, byKey }) => (byKey ? 1 + spare / share : hotRatio));
  const capacity = ring.shards.map(({ weight }) => weight * unitCapacity);
  // Beyond that, shards that are even would be above their capacity, too: what helps then is another one (`capacity.ts`).
  const movesHelp = hasRoom(total, capacity, policy);
  const hotFrom = fair.map((share, i) => Math.min(hotTimes[i]! * share, movesHelp ? capacity[i]! : Infinity));
  const hot = ring.shards
    .map(({ id }, i) => ({
      ...{ shard: id, load: loads[i]!, times: loads[i]! / fair[i]! },
      ...{ capacity: capacity[i]!, threshold: hotTimes[i]! },
    }))
    .filter(({ load }, i) => load > hotFrom[i]!)
    .sort((a, b) => b.times - a.times || a.shard - b.shard);
  if (hot.length === 0) return null;

  const aimRatio = 1 + AIMED_SHARE * (policy.targetRatio - 1);
  const budget = churnLeft(pastMoves, policy, now);
  const shards = ring.shards.map(
    ({ id }, i): PlannedShard => ({
      shard: id,
      load: loads[i]!,
      limit: Math.min(policy.targetRatio, hotTimes[i]!) * fair[i]!,
      aim: (shares[i]!.byKey ? 1 : aimRatio) * fair[i]!,
      hotFrom: hotFrom[i]!,
      keptFrom: Math.min(policy.hotRatio * fair[i]!, movesHelp ? capacity[i]! : Infinity),
    }),
  );
  const { moves, unmovable } = planSlotMoves(shards, {
    ring,
    slotLoad: slotLoadOf(ring, view),
    held: slotsMovedWithin(pastMoves, policy.holdMs, now),
    maxMoves: Math.min(policy.maxMoves, budget),
    whyNoMore:
      budget < policy.maxMoves
        ? 'the churn budget is used up (control.rebalance.churnSlots in churnWindowMs)'
        : 'the moves allowed in one decision are used up (control.rebalance.maxMoves)',
    score,
  });
  const before = distributionOf(loads, fair);
  const after = distributionOf(
    shards.map(({ load }) => load),
    fair,
  );
  return {
    kind: 'rebalance',
    subject: signal,
    action: moves.length > 0 ? 'move_slots' : 'cannot_balance',
    priority: 'normal',
    from: before.maxOverMean,
    to: after.maxOverMean,
    distribution: { before, after },
    hotShards: hot.map(({ shard }) => shard),
    slotsMoved: moves.reduce((count, move) => count + move.slots.length, 0),
    moves,
    unmovable,
    reasons: hot.map(({ shard, load, times, capacity: full, threshold }) => {
      const has = `shard ${shard} has ${Math.round(load)} B/s, ${times.toFixed(2)} times its fair share among ${shards.length} shards`;
      if (times > threshold) return { rule: 'hot-shard', observed: times, threshold, window: windowMs, text: has };
      const text = `${has}, and more than the ${Math.round(full)} B/s that it can carry; the others have room`;
      return { rule: 'over-capacity', observed: load, threshold: full, window: windowMs, text };
    }),
  };
}

/** Whether moves among the shards can bring every one below its capacity: they bring them to targetRatio times the fair share. */
export function hasRoom(
  total: number,
  capacity: readonly number[],
  { targetRatio }: Pick<RebalancePolicy, 'targetRatio'>,
): boolean {
  return total * targetRatio <= capacity.reduce((sum, one) => sum + one, 0);
}

/** The hot shards, under which slots' owners they are (`epoch` is the ring epoch). */
export function rebalanceFingerprint(wish: RebalanceProposal, epoch: number): string {
  return `epoch ${epoch} hot ${[...wish.hotShards].sort((a, b) => a - b).join(',')}`;
}

/** Whether there is a hot shard that the last decision, whose condition still holds, did not name. */
export function rebalanceIsNews(wish: RebalanceProposal, epoch: number, lastFingerprint: string): boolean {
  const last = /^epoch (\d+) hot ([\d,]+)$/.exec(lastFingerprint);
  if (!last || Number(last[1]) !== epoch) return true;
  const named = new Set(last[2]!.split(',').map(Number));
  return wish.hotShards.some((shard) => !named.has(shard));
}
