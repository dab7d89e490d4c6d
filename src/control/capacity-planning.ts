/** What the wishes about the number of shards have in common: what is known of the shards, and what a change comes to. */
import type { Config } from '../config.ts';
import { runsOf } from '../coordination/ring-change.ts';
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import type { Signal } from '../signals.ts';
import { churnLeft } from './churn.ts';
import type { CapacityProposal, RebalanceProposal } from './decision.ts';
import { distributionOf, fairShares } from './distribution.ts';
import type { SignalView } from './load-view.ts';
import type { PastMoves } from './rebalance.ts';
import { type LoadedShard, NEW_SHARD, type ReshapePlan } from './reshape-plan.ts';

export type CapacityPolicy = Pick<Config['control'], 'capacity' | 'rebalance' | 'ring'>;

export interface CapacityState {
  readonly signal: Signal;
  readonly ring: SignalRing;
  readonly view: SignalView;
  readonly windowMs: number;
  readonly pastMoves: readonly PastMoves[];
  /** By shard id: Unix ms at which it came to be, or gave slots to one that did. */
  readonly reshapedAt: ReadonlyMap<number, number>;
  /** What the signal's slot moves would be now. */
  readonly rebalance: RebalanceProposal | null;
}

export interface Planning {
  readonly state: CapacityState;
  readonly policy: CapacityPolicy;
  readonly score: ScoreKernel;
  readonly now: number;
  readonly shards: readonly LoadedShard[];
  readonly total: number;
  /** Above their capacity, the fullest first. */
  readonly full: readonly LoadedShard[];
  /** Slots that moved a short while ago. */
  readonly held: ReadonlySet<number>;
}

export const fillOf = ({ load, capacity }: LoadedShard) => load / capacity;
export const capacityOf = (shards: readonly LoadedShard[]) => shards.reduce((sum, { capacity }) => sum + capacity, 0);
export const percent = (share: number) => `${Math.round(share * 100)} %`;
export const rate = (bytesPerSecond: number) => `${Math.round(bytesPerSecond)} B/s`;

/** null: it is within the budget; or too large for any, and then it may use up that of a whole window. */
export function whyTooMuchChurn(slots: number, { state, policy: { rebalance }, now }: Planning): string | null {
  const spent = rebalance.churnSlots - churnLeft(state.pastMoves, rebalance, now);
  if (spent === 0 || spent + slots <= rebalance.churnSlots) return null;
  return `it would move ${slots} slots, and ${spent} of the ${rebalance.churnSlots} of the churn budget are used up (control.rebalance.churnSlots in churnWindowMs)`;
}

/** A shard as it is once the plan is in force. */
export const loadedBy =
  ({ loads }: Pick<ReshapePlan, 'loads'>) =>
  (of: LoadedShard): LoadedShard => ({ ...of, load: loads.get(of.id) ?? of.load });

type Effects = Pick<
  CapacityProposal,
  'shards' | 'fill' | 'distribution' | 'slotsMoved' | 'bytesPerSecond' | 'copiedBytes' | 'moves'
>;

/** `after`: the shards that there are then. */
export function effectsOf(
  { policy, shards, total }: Planning,
  { moves }: Pick<ReshapePlan, 'moves'>,
  after: readonly LoadedShard[],
): Effects {
  const evenness = (of: readonly LoadedShard[]) =>
    distributionOf(
      of.map(({ load }) => load),
      fairShares(of, total),
    );
  const bytesPerSecond = moves.reduce((sum, move) => sum + move.bytesPerSecond, 0);
  return {
    shards: { before: shards.length, after: after.length },
    fill: { before: total / capacityOf(shards), after: total / capacityOf(after) },
    distribution: { before: evenness(shards), after: evenness(after) },
    slotsMoved: moves.reduce((sum, { slots }) => sum + slots.length, 0),
    moves: moves.map(({ from, to, slots, bytesPerSecond: of }) => ({
      ...{ from, to: to === NEW_SHARD ? null : to, runs: runsOf(slots), bytesPerSecond: of },
    })),
    bytesPerSecond,
    copiedBytes: Math.round((bytesPerSecond * policy.ring.carryMs) / 1_000),
  };
}
