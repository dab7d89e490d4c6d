/** The ring change that carries a decision out. */
import { runsOf, type SignalChange, type SlotMove } from '../coordination/ring-change.ts';
import { BY_TRACE_ID } from '../kernels/split/kernel.ts';
import type { Signal } from '../signals.ts';
import type { CapacityProposal, HotKeyProposal, Proposal, RebalanceProposal } from './decision.ts';
import { changeOf, nextShard, orRefused, type ShardPlan, type ShardPlanning } from './shard-change.ts';
import type { Planned } from './verify.ts';

/** null: the decision changes nothing in the ring. */
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
    case 'capacity':
      return proposal.action === 'cannot_split' ? null : reshaped(proposal, planning);
  }
}

/** What the decision is judged by once it is in force (`verify.ts`); null: it is not judged, as it takes something back or changes the number of shards. */
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

function reshaped({ subject, action, shard, moves, reasons }: CapacityProposal, planning: ShardPlanning): ShardPlan {
  const signal = subject as Signal;
  const { weight } = planning.ring.signals[signal].shards.find(({ id }) => id === shard)!;
  return orRefused(() => {
    const added = action === 'split' ? [nextShard(signal, weight, planning)] : [];
    const retired = action === 'merge' ? [shard] : [];
    const slotMoves = moves.map(({ from, to, runs }): SlotMove => ({ from, to: to ?? added[0]!.id, runs }));
    return { change: changeOf(signal, { moves: slotMoves, added, retired }), text: reasons[0]!.text };
  });
}
