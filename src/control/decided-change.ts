/** What a decision changes in the ring. Pure, as is the plan of a wish about shards (`shard-change.ts`). */
import { runsOf, type SignalChange, type SlotMove } from '../coordination/ring-change.ts';
import type { ShardState } from '../coordination/ring-epoch.ts';
import { BY_TRACE_ID } from '../kernels/split/kernel.ts';
import type { Signal } from '../signals.ts';
import type { CapacityProposal, HotKeyProposal, Proposal, RebalanceProposal } from './decision.ts';
import { changeOf, planShardChange, type ShardPlan, type ShardPlanning, type ShardWish } from './shard-change.ts';
import type { Planned } from './verify.ts';

/** null: nothing. */
export function decidedChange(proposal: Proposal, planning: ShardPlanning): ShardPlan | null {
  const { kind, reasons } = proposal;
  const change = (signal: Signal, of: Partial<SignalChange>): ShardPlan => ({
    kind: 'change',
    change: changeOf(signal, of),
    text: reasons[0]!.text,
  });
  switch (kind) {
    case 'scaling':
      return null;
    case 'rebalance':
      return proposal.moves.length === 0 ? null : change(proposal.subject as Signal, { moves: movesOf(proposal) });
    case 'hot_key':
      return change(proposal.signal, { overrides: [overrideOf(proposal)] });
    case 'capacity': {
      if (proposal.action === 'cannot_split') return null;
      const { shards } = planning.ring.signals[proposal.subject as Signal];
      return planShardChange(wishOf(proposal, shards), planning);
    }
  }
}

/** What is to be judged once it is in force (`verify.ts`); null: nothing, as it takes something back, or is about how many shards there are. */
export function plannedBy(proposal: Proposal): Planned | null {
  if (proposal.kind !== 'rebalance' && proposal.kind !== 'hot_key') return null;
  const { action, from, to } = proposal;
  if (action === 'reverse' || action === 'release_key') return null;
  return { signal: proposal.kind === 'hot_key' ? proposal.signal : (proposal.subject as Signal), from, to };
}

function movesOf({ moves }: Pick<RebalanceProposal, 'moves'>): SlotMove[] {
  return moves.map(({ from, to, slots }) => ({ from, to, runs: runsOf(slots) }));
}

function overrideOf({ action, keyHash, key, toShard }: HotKeyProposal): SignalChange['overrides'][number] {
  return action === 'release_key' ? { keyHash, shard: null } : { keyHash, shard: toShard ?? BY_TRACE_ID, key };
}

function wishOf({ action, shard, into }: CapacityProposal, shards: readonly ShardState[]): ShardWish {
  const nameOf = (id: number) => shards.find((of) => of.id === id)!.name;
  return action === 'merge'
    ? { kind: 'merge', shard: nameOf(shard), into: nameOf(into!) }
    : { kind: 'split', shard: nameOf(shard) };
}
