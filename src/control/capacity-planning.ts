/** What wishes for more and for fewer shards have in common: what is known of the shards, and the effects of a change. */
import { runsOf } from '../coordination/ring-change.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import { churnLeft } from './churn.ts';
import type { CapacityProposal, RebalanceProposal } from './decision.ts';
import { distributionOf, fairShares } from './distribution.ts';
import type { CapacityPolicy } from './policy.ts';
import { type LoadedShard, NEW_SHARD, type ReshapePlan } from './reshape-plan.ts';
import type { SignalState } from './signal-state.ts';

export interface CapacityState extends SignalState {
  /** By shard id: Unix ms at which the shard was made, or gave slots to a new one. */
  readonly reshapedAt: ReadonlyMap<number, number>;
  /** The slot moves that would be decided now; null: none is wanted. */
  readonly rebalance: RebalanceProposal | null;
}

export interface Planning {
  readonly state: CapacityState;
  readonly policy: CapacityPolicy;
  readonly score: ScoreKernel;
  readonly now: number;
  readonly shards: readonly LoadedShard[];
  /** Bytes/s of all shards. */
  readonly total: number;
  /** Above their capacity, the fullest first. */
  readonly full: readonly LoadedShard[];
  /** Slots that moved a short while ago. */
  readonly held: ReadonlySet<number>;
}

export const fillOf = ({ load, capacity }: LoadedShard) => load / capacity;
export const capacityOf = (shards: readonly LoadedShard[]) => shards.reduce((sum, { capacity }) => sum + capacity, 0);

/** null: the change is within the churn budget, or nothing of the budget is spent: then even a change that is larger than all of it may be made. */
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

/** `after`: the shards that there are once the plan is in force. */
export function effectsOf(
  { policy, shards, total }: Planning,
  { moves }: Pick<ReshapePlan, 'moves'>,
  after: readonly LoadedShard[],
): Effects {
  const evenness = (some: readonly LoadedShard[]) => {
    const fair = fairShares(some, total);
    return distributionOf(some.map(({ load }, i) => load / fair[i]!));
  };
  const bytesPerSecond = moves.reduce((sum, move) => sum + move.bytesPerSecond, 0);
  return {
    shards: { before: shards.length, after: after.length },
    fill: { before: total / capacityOf(shards), after: total / capacityOf(after) },
    distribution: { before: evenness(shards), after: evenness(after) },
    slotsMoved: moves.reduce((sum, { slots }) => sum + slots.length, 0),
    moves: moves.map(({ slots, to, ...move }) => ({
      ...move,
      to: to === NEW_SHARD ? null : to,
      runs: runsOf(slots),
    })),
    bytesPerSecond,
    copiedBytes: Math.round((bytesPerSecond * policy.ring.carryMs) / 1_000),
  };
}
