/**
 * Whether moves, or the override of a key, that are in force have made things worse, judged once, when a whole window has been measured under them.
 *
 * | rule | when | then |
 * |---|---|---|
 * | plan-made-worse | max/fair share > (1 + reverseMargin) * what it was before the moves, and less without them | reverse |
 *
 * The second half is what blames the moves: a load that has changed on its own is not set right by taking them back. It goes by the slots' loads
 * as measured now. A reversal moves at most the slots of one decision, whatever is left of the churn budget; it is not judged in its turn.
 */
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { Signal } from '../signals.ts';
import type { HotKeyProposal, Reason, RebalanceProposal } from './decision.ts';
import { distributionOf, loadsOf } from './distribution.ts';
import { releaseWish, sharesBesideKeys } from './hot-key.ts';
import type { SignalView } from './load-view.ts';
import type { RebalancePolicy } from './rebalance.ts';
import { slotLoadOf } from './slot-loads.ts';

/** What a decision was to bring. */
export interface Planned {
  readonly signal: Signal;
  /** Load of the hottest shard over its fair share: before it, and as planned. */
  readonly from: number;
  readonly to: number;
}

/** Moves of a decision, in force and not judged yet. */
export interface PlanInForce extends Planned {
  readonly decisionId: string;
  /** Of the ring that they led to, which is in force. */
  readonly epoch: number;
  /** Unix ms from which every partition was routed by it. */
  readonly activeAt: number;
  readonly moves: readonly { readonly from: number; readonly to: number; readonly slots: readonly number[] }[];
  /** Hashes of the keys that were given an override instead. */
  readonly keys: readonly string[];
}

export interface Verification {
  readonly plan: PlanInForce;
  /** Load of the hottest shard over its fair share, now. */
  readonly measured: number;
  /** null: the moves stay. */
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
  const { loads, total } = loadsOf(ring.shards, view);
  const fair = sharesBesideKeys(ring, view).map(({ share }) => share);
  const before = distributionOf(loads, fair);
  const measured = before.maxOverMean;
  const kept: Verification = { plan, measured, reversal: null };
  const worst = plan.from * (1 + policy.reverseMargin);
  if (total < policy.minBytesPerSecond || measured <= worst) return kept;
  const reason: Reason = {
    rule: 'plan-made-worse',
    observed: measured,
    threshold: worst,
    window: windowMs,
    text: `the hottest shard has ${measured.toFixed(2)} times its fair share; it was ${plan.from.toFixed(2)} before decision ${plan.decisionId}, which was to make it ${plan.to.toFixed(2)}: it is taken back`,
  };
  const [keyHash] = plan.keys;
  if (keyHash !== undefined) {
    const reversal = releaseWish({ signal: plan.signal, ring, view }, keyHash, reason);
    return reversal.to < measured ? { ...kept, reversal: { ...reversal, reverses: plan.decisionId } } : kept;
  }

  const times = (index: number) => loads[index]! / fair[index]!;
  const hotShards = [...loads.keys()]
    .filter((index) => times(index) > policy.hotRatio)
    .sort((a, b) => times(b) - times(a))
    .map((index) => ring.shards[index]!.id);
  const indexOf = new Map(ring.shards.map(({ id }, index) => [id, index]));
  const slotLoad = slotLoadOf(ring, view);
  const moves = plan.moves.map(({ from, to, slots }) => {
    const bytesPerSecond = slots.reduce((sum, slot) => sum + slotLoad(slot), 0);
    loads[indexOf.get(to)!]! -= bytesPerSecond;
    loads[indexOf.get(from)!]! += bytesPerSecond;
    return { from: to, to: from, slots: [...slots], bytesPerSecond };
  });
  const after = distributionOf(loads, fair);
  if (after.maxOverMean >= measured) return kept;
  const reversal: RebalanceProposal = {
    kind: 'rebalance',
    subject: plan.signal,
    action: 'reverse',
    priority: 'normal',
    from: measured,
    to: after.maxOverMean,
    distribution: { before, after },
    hotShards,
    slotsMoved: moves.reduce((count, { slots }) => count + slots.length, 0),
    moves: moves.sort((a, b) => a.from - b.from || a.to - b.to),
    unmovable: [],
    reverses: plan.decisionId,
    reasons: [reason],
  };
  return { plan, measured, reversal };
}
