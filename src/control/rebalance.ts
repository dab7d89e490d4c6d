/**
 * Whether slots should move, and which (`slot-plan.ts`): the fewest that bring every shard below `targetRatio` times its fair share.
 *
 * | rule | when | then |
 * |---|---|---|
 * | hot-shard | a shard's load > hotRatio * its fair share (`shard-loads.ts`); for `holdMs` after a change about a hot key already > targetRatio * its fair share | move_slots; cannot_balance when not one slot can move |
 * | over-capacity | a shard's load > its capacity, and all shards together have enough room for moves to help | the same |
 *
 * A plan is not followed by its opposite because hotRatio is above targetRatio, because slots that moved within `holdMs` stay where they are, and
 * because moves within the last `churnWindowMs` have used up part of the churn budget.
 */
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import { churnLeft, keysChangedWithin, slotsMovedWithin } from './churn.ts';
import type { Reason, RebalanceProposal } from './decision.ts';
import { distributionOf } from './distribution.ts';
import { rate } from './figures.ts';
import type { RebalancePolicy } from './policy.ts';
import {
  isEnoughToJudge,
  loadDistribution,
  relativeLoad,
  type ShardLoad,
  type ShardLoads,
  shardLoads,
} from './shard-loads.ts';
import type { SignalState } from './signal-state.ts';
import { slotLoadOf } from './slot-loads.ts';
import { type PlannedShard, planSlotMoves } from './slot-plan.ts';

/** Moves fill a shard this far from its fair share towards the target. */
const AIMED_SHARE = 0.8;

export interface RebalanceState extends SignalState {
  /** Bytes/s that a shard of weight 1 can carry. */
  readonly unitCapacity: number;
}

/** null: no shard is hot, or the signal has too little load to judge. */
export function rebalanceWish(
  state: RebalanceState,
  policy: RebalancePolicy,
  score: ScoreKernel,
  now: number,
): RebalanceProposal | null {
  const { signal, ring, view, pastMoves, windowMs } = state;
  const measured = shardLoads(ring, view);
  if (ring.shards.length < 2 || !isEnoughToJudge(measured.total, policy)) return null;
  const shards = judge(measured, state, policy, now);
  const hot = shards
    .filter(({ load, hotFrom }) => load > hotFrom)
    .sort((a, b) => relativeLoad(b) - relativeLoad(a) || a.shard.id - b.shard.id);
  if (hot.length === 0) return null;

  const budget = churnLeft(pastMoves, policy, now);
  const planned = shards.map((shard) => plannedShard(shard, policy));
  const { moves, unmovable } = planSlotMoves(planned, {
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
  const before = loadDistribution(measured);
  const after = distributionOf(planned.map(({ load }, i) => load / shards[i]!.share));
  return {
    kind: 'rebalance',
    subject: signal,
    action: moves.length > 0 ? 'move_slots' : 'cannot_balance',
    priority: 'normal',
    from: before.maxOverMean,
    to: after.maxOverMean,
    distribution: { before, after },
    hotShards: hot.map(({ shard }) => shard.id),
    slotsMoved: moves.reduce((count, move) => count + move.slots.length, 0),
    moves,
    unmovable,
    reasons: hot.map((shard) => reasonOf(shard, shards.length, windowMs)),
  };
}

/** Where each shard's limits are. */
interface JudgedShard extends ShardLoad {
  /** Times its fair share from which on it is hot. */
  readonly hotTimes: number;
  /** Bytes/s that it can carry. */
  readonly capacity: number;
  /** Bytes/s up to which moves can relieve it: its capacity; Infinity where moves cannot help with that. */
  readonly ceiling: number;
  /** Bytes/s from which on it has to give slots away. */
  readonly hotFrom: number;
}

function judge(
  { shards, total }: ShardLoads,
  { unitCapacity, pastMoves }: RebalanceState,
  policy: RebalancePolicy,
  now: number,
): JudgedShard[] {
  const hotRatio = keysChangedWithin(pastMoves, policy.holdMs, now).size > 0 ? policy.targetRatio : policy.hotRatio;
  // Beside a key that fills its shard there is only room for what the target allows.
  const spare = (policy.targetRatio - 1) * (total / shards.length);
  const capacities = shards.map(({ shard }) => shard.weight * unitCapacity);
  // Otherwise even an even load would be above the shards' capacity: another shard helps then (`capacity.ts`).
  const movesHelp = hasRoom(total, capacities, policy);
  return shards.map((measured, i) => {
    const { share, filledByKey } = measured;
    const capacity = capacities[i]!;
    const hotTimes = filledByKey ? 1 + spare / share : hotRatio;
    const ceiling = movesHelp ? capacity : Infinity;
    return { ...measured, hotTimes, capacity, ceiling, hotFrom: Math.min(hotTimes * share, ceiling) };
  });
}

function plannedShard(judged: JudgedShard, { targetRatio, hotRatio }: RebalancePolicy): PlannedShard {
  const { shard, load, share, filledByKey, hotTimes, hotFrom, ceiling } = judged;
  const aimedTimes = filledByKey ? 1 : 1 + AIMED_SHARE * (targetRatio - 1);
  return {
    shard: shard.id,
    load,
    limit: Math.min(targetRatio, hotTimes) * share,
    aim: aimedTimes * share,
    hotFrom,
    keptFrom: Math.min(hotRatio * share, ceiling),
  };
}

function reasonOf(judged: JudgedShard, shardCount: number, windowMs: number): Reason {
  const { shard, load, capacity, hotTimes } = judged;
  const times = relativeLoad(judged);
  const text = `shard ${shard.id} has ${rate(load)}, ${times.toFixed(2)} times its fair share among ${shardCount} shards`;
  if (times > hotTimes) return { rule: 'hot-shard', observed: times, threshold: hotTimes, window: windowMs, text };
  return {
    rule: 'over-capacity',
    observed: load,
    threshold: capacity,
    window: windowMs,
    text: `${text}, and more than the ${rate(capacity)} that it can carry; the others have room`,
  };
}

/** Whether moves can bring every shard below its capacity: they bring each to targetRatio times its fair share at best. */
export function hasRoom(
  total: number,
  capacities: readonly number[],
  { targetRatio }: Pick<RebalancePolicy, 'targetRatio'>,
): boolean {
  return total * targetRatio <= capacities.reduce((sum, capacity) => sum + capacity, 0);
}

/** Which shards are hot, under which ring epoch. */
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
