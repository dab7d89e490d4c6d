/**
 * decide(state, policy, now) -> actions and reasons: pure, so that history can be run through it again. The concerns say what they wish for
 * at this moment (`scaling.ts`, `rebalance.ts`, `capacity.ts`, `hot-key.ts`); here a wish becomes a decision:
 *
 * 1. It has to hold for the stabilisation time without a break.
 * 2. No decision on its subject was made within the cooldown.
 * 3. It is the first that changes the ring, and no such change is in flight: they come one by one, a hot key's before moves of slots.
 * 4. It is news: there was no decision on the subject yet, or the last one's condition has cleared since, or it says more than that one.
 *
 * A verdict on moves that are in force (`verify.ts`) waits for nothing: it is made once.
 *
 * A condition has cleared when there was no wish at all for the stabilisation time; that goes to the control log, so that a later leader
 * neither repeats a decision nor misses one.
 */
import type { Config } from '../config.ts';
import type { RingEpoch } from '../coordination/ring-epoch.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { capacityFingerprint, capacityIsNews, capacityWish } from './capacity.ts';
import { type DecisionKind, decisionKey, type LastDecision, type Proposal } from './decision.ts';
import { hotKeyWishes } from './hot-key.ts';
import type { LoadView } from './load-view.ts';
import { type PastMoves, rebalanceFingerprint, rebalanceIsNews, rebalanceWish } from './rebalance.ts';
import { scalingFingerprint, scalingIsNews, scalingWish } from './scaling.ts';
import { type PlanInForce, type Verification, verifyPlan } from './verify.ts';

export type Policy = Pick<Config['control'], 'scaling' | 'rebalance' | 'capacity' | 'ring'>;

/** What one tick hands to the next. */
export interface Condition {
  readonly kind: DecisionKind;
  readonly subject: string;
  /** The wish's action; null: no wish. */
  readonly action: string | null;
  /** Unix ms of the first tick that said so. */
  readonly since: number;
}

export interface DecideState {
  readonly ring: RingEpoch | null;
  readonly load: LoadView;
  /** By `decisionKey`, from the control log. */
  readonly last: ReadonlyMap<string, LastDecision>;
  /** Of the tick before; empty at the first. */
  readonly conditions: ReadonlyMap<string, Condition>;
  /** From the control log. */
  readonly pastMoves: Readonly<Record<Signal, readonly PastMoves[]>>;
  /** From the control log. */
  readonly pastShards: Readonly<Record<Signal, PastShards>>;
  /** From the control log; null: none is to be judged. */
  readonly plan: PlanInForce | null;
  /** A change of the ring is in flight. Default: none. */
  readonly changing?: boolean;
}

export interface PastShards {
  /** Unix ms from which every partition was routed by the signal's last change; null: it is as it was made. */
  readonly changedAt: number | null;
  /** See CapacityState. */
  readonly reshapedAt: ReadonlyMap<number, number>;
}

export interface Action {
  readonly proposal: Proposal;
  readonly fingerprint: string;
  /** Unix ms: nothing more on this subject before. */
  readonly until: number;
}

/** Why a wish did not become an action, or that it did. */
export interface Verdict {
  readonly kind: DecisionKind;
  readonly subject: string;
  readonly verdict: 'decided' | 'stabilising' | 'cooling-down' | 'waiting' | 'no-news';
  readonly wish: Proposal;
}

export interface Decided {
  readonly actions: readonly Action[];
  /** Subjects whose decision's condition is gone. */
  readonly cleared: readonly Pick<LastDecision, 'kind' | 'subject'>[];
  /** For the next tick. */
  readonly conditions: ReadonlyMap<string, Condition>;
  readonly reasons: readonly Verdict[];
  /** Of `plan`, once it can be judged. Its reversal is among the actions. */
  readonly verification: Verification | null;
}

interface Wish {
  readonly proposal: Proposal;
  readonly fingerprint: string;
  readonly cooldownMs: number;
  /** How long it has to hold. Default: scaling.stabilisationMs. */
  readonly stabilisationMs?: number;
  /** Is made at once. */
  readonly atOnce?: true;
  isNews(lastFingerprint: string): boolean;
}

/** The score kernel picks who gains a slot; which twin it is changes nothing. */
export function decide(state: DecideState, policy: Policy, score: ScoreKernel, now: number): Decided {
  // Half a window would be taken for half the load.
  if (state.load.warmingUp)
    return { actions: [], cleared: [], conditions: state.conditions, reasons: [], verification: null };
  const { ring, load, plan } = state;
  const verification =
    plan &&
    verifyPlan(plan, ring!.signals[plan.signal], load.signals[plan.signal], load.windowMs, policy.rebalance, now);
  const reversal = verification?.reversal ? [reversalWish(verification.reversal, policy)] : [];
  const wishes = new Map<string, Wish>();
  // A reversal goes first: the others follow it, and none of its signal beside it.
  for (const wish of [
    ...reversal,
    ...scalingWishes(state, policy),
    ...keyWishes(state, policy, now),
    ...shardWishes(state, policy, score, now),
  ]) {
    const key = decisionKey(wish.proposal.kind, wish.proposal.subject);
    if (!wishes.has(key)) wishes.set(key, wish);
  }
  const { stabilisationMs } = policy.scaling;
  const conditions = new Map<string, Condition>();
  const actions: Action[] = [];
  const cleared: Pick<LastDecision, 'kind' | 'subject'>[] = [];
  const reasons: Verdict[] = [];
  let changing = state.changing ?? false;

  for (const [key, wish] of wishes) {
    const { kind, subject, action } = wish.proposal;
    const before = state.conditions.get(key);
    const since = before?.action === action ? before.since : now;
    conditions.set(key, { kind, subject, action, since });
    const last = state.last.get(key);
    let verdict: Verdict['verdict'] = 'decided';
    if (wish.atOnce) verdict = 'decided';
    else if (now - since < (wish.stabilisationMs ?? stabilisationMs)) verdict = 'stabilising';
    else if (last && now < last.until) verdict = 'cooling-down';
    else if (last && !last.cleared && !wish.isNews(last.fingerprint)) verdict = 'no-news';
    else if (changing && changesRing(wish.proposal)) verdict = 'waiting';
    reasons.push({ kind, subject, verdict, wish: wish.proposal });
    if (verdict !== 'decided') continue;
    if (changesRing(wish.proposal)) changing = true;
    actions.push({ proposal: wish.proposal, fingerprint: wish.fingerprint, until: now + wish.cooldownMs });
  }
  for (const [key, { kind, subject, cleared: already }] of state.last) {
    if (wishes.has(key) || already) continue;
    const before = state.conditions.get(key);
    const since = before?.action === null ? before.since : now;
    if (now - since >= stabilisationMs) cleared.push({ kind, subject });
    else conditions.set(key, { kind, subject, action: null, since });
  }
  return { actions, cleared, conditions, reasons, verification };
}

function changesRing(proposal: Proposal): boolean {
  if (proposal.kind === 'capacity') return proposal.action !== 'cannot_split';
  return proposal.kind === 'hot_key' || (proposal.kind === 'rebalance' && proposal.moves.length > 0);
}

function reversalWish(proposal: NonNullable<Verification['reversal']>, policy: Policy): Wish {
  return {
    proposal,
    fingerprint: `reverse ${proposal.reverses}`,
    cooldownMs: policy.rebalance.cooldownMs,
    atOnce: true,
    isNews: () => true,
  };
}

function* scalingWishes({ load }: DecideState, policy: Policy): Generator<Wish> {
  for (const service of load.services) {
    // Without a name nobody could act on it.
    const proposal = service.service === '' ? null : scalingWish(service, policy.scaling, load.windowMs);
    if (!proposal) continue;
    yield {
      proposal,
      fingerprint: scalingFingerprint(proposal),
      cooldownMs: policy.scaling.cooldownMs,
      isNews: (last) => scalingIsNews(proposal, last),
    };
  }
}

/** They go before slot moves: what a key leaves behind is moved afterwards. */
function* keyWishes({ ring, load, pastMoves }: DecideState, policy: Policy, now: number): Generator<Wish> {
  if (!ring) return;
  const { cooldownMs, holdMs } = policy.rebalance;
  for (const signal of SIGNALS) {
    const state = {
      signal,
      ring: ring.signals[signal],
      view: load.signals[signal],
      windowMs: load.windowMs,
      pastMoves: pastMoves[signal],
    };
    for (const proposal of hotKeyWishes(state, policy.rebalance, now)) {
      const fingerprint = `epoch ${ring.epoch} ${proposal.action} ${proposal.toShard}`;
      const release = proposal.action === 'release_key';
      const isNews = (last: string) => last !== fingerprint;
      yield { proposal, fingerprint, cooldownMs, isNews, ...(release && { stabilisationMs: holdMs }) };
    }
  }
}

/** Slot moves, and what changes the number of shards where they do not help. */
function* shardWishes(
  { ring, load, pastMoves, pastShards }: DecideState,
  policy: Policy,
  score: ScoreKernel,
  now: number,
): Generator<Wish> {
  if (!ring) return;
  for (const signal of SIGNALS) {
    const { changedAt, reshapedAt } = pastShards[signal];
    // What was measured under the shards before says nothing of these.
    if (changedAt !== null && now - changedAt < load.windowMs) continue;
    const state = {
      signal,
      ring: ring.signals[signal],
      view: load.signals[signal],
      windowMs: load.windowMs,
      unitCapacity: policy.capacity.bytesPerSecond,
      pastMoves: pastMoves[signal],
    };
    const rebalance = rebalanceWish(state, policy.rebalance, score, now);
    if (rebalance)
      yield {
        proposal: rebalance,
        fingerprint: rebalanceFingerprint(rebalance, ring.epoch),
        cooldownMs: policy.rebalance.cooldownMs,
        isNews: (last) => rebalanceIsNews(rebalance, ring.epoch, last),
      };
    const { cooldownMs, splitAfterMs, mergeAfterMs } = policy.capacity;
    const capacity = capacityWish({ ...state, reshapedAt, rebalance }, policy, score, now);
    if (capacity)
      yield {
        proposal: capacity,
        fingerprint: capacityFingerprint(capacity, ring.epoch),
        cooldownMs,
        stabilisationMs: capacity.action === 'merge' ? mergeAfterMs : splitAfterMs,
        isNews: (last) => capacityIsNews(capacity, ring.epoch, last),
      };
  }
}
