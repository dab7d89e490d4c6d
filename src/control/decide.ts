/**
 * decide(state, policy, now) -> actions and reasons. It is pure, so that history can be run through it again. At each tick, each concern (`scaling.ts`,
 * `hot-key.ts`, `rebalance.ts`, `capacity.ts`) says what it would change now: its wishes. A wish becomes a decision when all of this holds:
 *
 * 1. It has been there for the stabilisation time without a break.
 * 2. The last decision on its subject is older than the cooldown.
 * 3. It is news: there was no decision on the subject yet, or the condition of the last one has cleared since, or it says more than the last one.
 * 4. No other change of the ring is in flight, if it is one: they are made one by one, changes for hot keys before slot moves.
 *
 * The reversal of a decision that made things worse (`verify.ts`) waits for nothing of this.
 *
 * The condition of a decision has cleared when there was no wish about its subject for the stabilisation time. That goes to the control log, so that a later
 * leader neither repeats a decision nor misses one.
 */
import type { RingEpoch } from '../coordination/ring-epoch.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { capacityFingerprint, capacityIsNews, capacityWish } from './capacity.ts';
import type { PastMoves } from './churn.ts';
import { type DecisionKind, decisionKey, type LastDecision, type Proposal } from './decision.ts';
import { hotKeyWishes } from './hot-key.ts';
import type { LoadView } from './load-view.ts';
import type { Policy } from './policy.ts';
import { rebalanceFingerprint, rebalanceIsNews, rebalanceWish } from './rebalance.ts';
import { scalingFingerprint, scalingIsNews, scalingWish } from './scaling.ts';
import type { SignalState } from './signal-state.ts';
import { type PlanInForce, type Verification, verifyPlan } from './verify.ts';

/** What is wished about a subject, as one tick passes it on to the next. */
export interface Condition {
  readonly kind: DecisionKind;
  readonly subject: string;
  /** The action that is wished; null: none. */
  readonly action: string | null;
  /** Unix ms of the first tick since which it has been so. */
  readonly since: number;
}

export interface DecideState {
  readonly ring: RingEpoch | null;
  readonly load: LoadView;
  /** From the control log, by `decisionKey`. */
  readonly last: ReadonlyMap<string, LastDecision>;
  /** From the tick before; empty at the first. */
  readonly conditions: ReadonlyMap<string, Condition>;
  /** From the control log. */
  readonly pastMoves: Readonly<Record<Signal, readonly PastMoves[]>>;
  /** From the control log. */
  readonly pastShards: Readonly<Record<Signal, PastShards>>;
  /** From the control log: what is to be verified; null: nothing. */
  readonly plan: PlanInForce | null;
  /** Whether a change of the ring is in flight. Default: no. */
  readonly changing?: boolean;
}

export interface PastShards {
  /** Unix ms from which on every partition was routed by the signal's last change; null: there was none. */
  readonly changedAt: number | null;
  /** See CapacityState. */
  readonly reshapedAt: ReadonlyMap<number, number>;
}

export interface Action {
  readonly proposal: Proposal;
  readonly fingerprint: string;
  /** Unix ms until which there are no more decisions on the subject. */
  readonly until: number;
}

/** What became of a wish: decided, or what it waits for. */
export interface Verdict {
  readonly kind: DecisionKind;
  readonly subject: string;
  readonly verdict: 'decided' | 'stabilising' | 'cooling-down' | 'waiting' | 'no-news';
  readonly wish: Proposal;
}

export interface Decided {
  readonly actions: readonly Action[];
  /** Subjects whose last decision's condition has cleared. */
  readonly cleared: readonly Subject[];
  /** For the next tick. */
  readonly conditions: ReadonlyMap<string, Condition>;
  readonly reasons: readonly Verdict[];
  /** Of `plan`, once it can be judged. A reversal is also among the actions. */
  readonly verification: Verification | null;
}

type Subject = Pick<LastDecision, 'kind' | 'subject'>;

interface Wish {
  readonly proposal: Proposal;
  readonly fingerprint: string;
  readonly cooldownMs: number;
  /** Default: scaling.stabilisationMs. */
  readonly stabilisationMs?: number;
  /** Waits for nothing. */
  readonly atOnce?: true;
  isNews(lastFingerprint: string): boolean;
}

/** `score` picks who gains a slot; both twins of the kernel decide alike. */
export function decide(state: DecideState, policy: Policy, score: ScoreKernel, now: number): Decided {
  // Half a window would be taken for half the load.
  if (state.load.warmingUp)
    return { actions: [], cleared: [], conditions: state.conditions, reasons: [], verification: null };
  const verification = verify(state, policy, now);
  const wishes = new Map<string, Wish>();
  // The first wish about a subject counts: a reversal replaces the rebalance of its signal.
  for (const wish of [
    ...(verification?.reversal ? [reversalWish(verification.reversal, policy)] : []),
    ...scalingWishes(state, policy),
    ...keyWishes(state, policy, now),
    ...shardWishes(state, policy, score, now),
  ]) {
    const key = decisionKey(wish.proposal.kind, wish.proposal.subject);
    if (!wishes.has(key)) wishes.set(key, wish);
  }
  const conditions = new Map<string, Condition>();
  const actions: Action[] = [];
  const reasons: Verdict[] = [];
  let changing = state.changing ?? false;
  for (const [key, wish] of wishes) {
    const { proposal, fingerprint, cooldownMs } = wish;
    const { kind, subject, action } = proposal;
    const since = sinceWhen(state, key, action, now);
    conditions.set(key, { kind, subject, action, since });
    const verdict = judge(wish, since, state.last.get(key), changing, policy, now);
    reasons.push({ kind, subject, verdict, wish: proposal });
    if (verdict !== 'decided') continue;
    changing ||= changesRing(proposal);
    actions.push({ proposal, fingerprint, until: now + cooldownMs });
  }
  const cleared: Subject[] = [];
  for (const [key, { kind, subject, cleared: already }] of state.last) {
    if (wishes.has(key) || already) continue;
    const since = sinceWhen(state, key, null, now);
    if (now - since >= policy.scaling.stabilisationMs) cleared.push({ kind, subject });
    else conditions.set(key, { kind, subject, action: null, since });
  }
  return { actions, cleared, conditions, reasons, verification };
}

function verify({ plan, ring, load }: DecideState, policy: Policy, now: number): Verification | null {
  if (!plan) return null;
  const { signal } = plan;
  return verifyPlan(plan, ring!.signals[signal], load.signals[signal], load.windowMs, policy.rebalance, now);
}

/** Since which tick (Unix ms) `action` has been wished without a break. */
function sinceWhen({ conditions }: DecideState, key: string, action: string | null, now: number): number {
  const before = conditions.get(key);
  return before?.action === action ? before.since : now;
}

function judge(
  wish: Wish,
  since: number,
  last: LastDecision | undefined,
  changing: boolean,
  policy: Policy,
  now: number,
): Verdict['verdict'] {
  if (wish.atOnce) return 'decided';
  if (now - since < (wish.stabilisationMs ?? policy.scaling.stabilisationMs)) return 'stabilising';
  if (last && now < last.until) return 'cooling-down';
  if (last && !last.cleared && !wish.isNews(last.fingerprint)) return 'no-news';
  return changing && changesRing(wish.proposal) ? 'waiting' : 'decided';
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
    // Nobody could act on a decision about a service without a name.
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

/** Nothing before there is a ring. */
function signalStates({ ring, load, pastMoves }: DecideState): SignalState[] {
  if (!ring) return [];
  return SIGNALS.map((signal) => ({
    signal,
    ring: ring.signals[signal],
    view: load.signals[signal],
    windowMs: load.windowMs,
    pastMoves: pastMoves[signal],
  }));
}

/** They go before slot moves: what a key leaves behind is moved afterwards. */
function* keyWishes(state: DecideState, policy: Policy, now: number): Generator<Wish> {
  const { cooldownMs, holdMs } = policy.rebalance;
  for (const signalState of signalStates(state)) {
    for (const proposal of hotKeyWishes(signalState, policy.rebalance, now)) {
      const fingerprint = `epoch ${state.ring!.epoch} ${proposal.action} ${proposal.toShard}`;
      const isNews = (last: string) => last !== fingerprint;
      const release = proposal.action === 'release_key';
      yield { proposal, fingerprint, cooldownMs, isNews, ...(release && { stabilisationMs: holdMs }) };
    }
  }
}

/** Slot moves, and changes of the number of shards where those do not help. */
function* shardWishes(state: DecideState, policy: Policy, score: ScoreKernel, now: number): Generator<Wish> {
  for (const signalState of signalStates(state)) {
    const { epoch } = state.ring!;
    const { changedAt, reshapedAt } = state.pastShards[signalState.signal];
    // What was measured under the shards before the last change says nothing about these.
    if (changedAt !== null && now - changedAt < signalState.windowMs) continue;
    const unitCapacity = policy.capacity.bytesPerSecond;
    const rebalance = rebalanceWish({ ...signalState, unitCapacity }, policy.rebalance, score, now);
    if (rebalance)
      yield {
        proposal: rebalance,
        fingerprint: rebalanceFingerprint(rebalance, epoch),
        cooldownMs: policy.rebalance.cooldownMs,
        isNews: (last) => rebalanceIsNews(rebalance, epoch, last),
      };
    const { cooldownMs, splitAfterMs, mergeAfterMs } = policy.capacity;
    const capacity = capacityWish({ ...signalState, reshapedAt, rebalance }, policy, score, now);
    if (capacity)
      yield {
        proposal: capacity,
        fingerprint: capacityFingerprint(capacity, epoch),
        cooldownMs,
        stabilisationMs: capacity.action === 'merge' ? mergeAfterMs : splitAfterMs,
        isNews: (last) => capacityIsNews(capacity, epoch, last),
      };
  }
}
