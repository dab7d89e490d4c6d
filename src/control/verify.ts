/**
 * Whether a decision that is in force (slot moves, or an override for a key) has made things worse: judged once, when a whole window has been measured
 * under it.
 *
 * | rule | when | then |
 * |---|---|---|
 * | plan-made-worse | max/fair share > (1 + reverseMargin) * what it was before the moves, and less without them | reverse |
 *
 * The second condition makes sure that the moves are to blame, by the slots' loads as they are now: taking moves back does not help against a load that has
 * changed by itself. A reversal moves no more than the slots of one decision, whatever is left of the churn budget, and is not judged in its turn.
 */
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { Signal } from '../signals.ts';
import type { HotKeyProposal, Reason, RebalanceProposal } from './decision.ts';
import { distributionOf } from './distribution.ts';
import { releaseWish } from './hot-key.ts';
import type { SignalView } from './load-view.ts';
import type { RebalancePolicy } from './policy.ts';
import { loadDistribution, relativeLoad, type ShardLoads, shardLoads } from './shard-loads.ts';
import { slotLoadOf } from './slot-loads.ts';

/** What a decision was expected to bring. */
export interface Planned {
  readonly signal: Signal;
  /** Load of the hottest shard over its fair share: before the decision, and as planned. */
  readonly from: number;
  readonly to: number;
}

/** A decision that is in force and not judged yet. */
export interface PlanInForce extends Planned {
  readonly decisionId: string;
  /** The ring epoch that they led to, which is in force. */
  readonly epoch: number;
  /** Unix ms from which every partition was routed by it. */
  readonly activeAt: number;
  readonly moves: readonly { readonly from: number; readonly to: number; readonly slots: readonly number[] }[];
  /** Hashes of the keys that were given an override; then there are no moves. */
  readonly keys: readonly string[];
}

export interface Verification {
  readonly plan: PlanInForce;
  /** Load of the hottest shard over its fair share, now. */
  readonly measured: number;
  /** The proposal that takes the decision back; null: it stays. */
  readonly reversal: RebalanceProposal | HotKeyProposal | null;
}

/** null: too early to say. */
export function verifyPlan(
  plan: PlanInForce,
  ring: SignalRing,
  view: SignalView,
  windowMs: number,
  policy: RebalancePolicy,
  now: number,
): Verification | null {
  if (now - plan.activeAt < windowMs) return null;
  const loads = shardLoads(ring, view);
  const measured = loadDistribution(loads).maxOverMean;
  const worst = plan.from * (1 + policy.reverseMargin);
  if (loads.total < policy.minBytesPerSecond || measured <= worst) return { plan, measured, reversal: null };
  const reason: Reason = {
    rule: 'plan-made-worse',
    observed: measured,
    threshold: worst,
    window: windowMs,
    text: `the hottest shard has ${measured.toFixed(2)} times its fair share; it was ${plan.from.toFixed(2)} before decision ${plan.decisionId}, which was to make it ${plan.to.toFixed(2)}: it is taken back`,
  };
  const [keyHash] = plan.keys;
  const reversal =
    keyHash === undefined
      ? movesBack(plan, ring, view, loads, policy, reason)
      : { ...releaseWish({ signal: plan.signal, ring, view }, keyHash, reason), reverses: plan.decisionId };
  return { plan, measured, reversal: reversal.to < measured ? reversal : null };
}

/** The plan's moves the other way round. */
function movesBack(
  plan: PlanInForce,
  ring: SignalRing,
  view: SignalView,
  measured: ShardLoads,
  policy: RebalancePolicy,
  reason: Reason,
): RebalanceProposal {
  const before = loadDistribution(measured);
  const hot = measured.shards
    .filter((shard) => relativeLoad(shard) > policy.hotRatio)
    .sort((a, b) => relativeLoad(b) - relativeLoad(a));
  const loads = new Map(measured.shards.map(({ shard, load }) => [shard.id, load]));
  const slotLoad = slotLoadOf(ring, view);
  const moves = plan.moves.map(({ from, to, slots }) => {
    const bytesPerSecond = slots.reduce((sum, slot) => sum + slotLoad(slot), 0);
    loads.set(to, loads.get(to)! - bytesPerSecond);
    loads.set(from, loads.get(from)! + bytesPerSecond);
    return { from: to, to: from, slots: [...slots], bytesPerSecond };
  });
  const after = distributionOf(measured.shards.map(({ shard, share }) => loads.get(shard.id)! / share));
  return {
    kind: 'rebalance',
    subject: plan.signal,
    action: 'reverse',
    priority: 'normal',
    from: before.maxOverMean,
    to: after.maxOverMean,
    distribution: { before, after },
    hotShards: hot.map(({ shard }) => shard.id),
    slotsMoved: moves.reduce((count, { slots }) => count + slots.length, 0),
    moves: moves.sort((a, b) => a.from - b.from || a.to - b.to),
    unmovable: [],
    reverses: plan.decisionId,
    reasons: [reason],
  };
}
