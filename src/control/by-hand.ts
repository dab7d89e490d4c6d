/** Decisions about the ring that Weir is told not to carry out: which setting says so, and the command that does the like. */
import type { Config } from '../config.ts';
import type { RingEpoch } from '../coordination/ring-epoch.ts';
import type { Signal } from '../signals.ts';
import type { CapacityProposal, Proposal } from './decision.ts';

/** null: there is nothing to be carried out, or Weir does it. */
export function byHandText(
  proposal: Proposal,
  { rebalance, capacity }: Pick<Config['control'], 'rebalance' | 'capacity'>,
  ring: RingEpoch,
): string | null {
  switch (proposal.kind) {
    case 'scaling':
      return null;
    case 'hot_key':
      return rebalance.apply ? null : 'control.rebalance.apply is false';
    case 'rebalance':
      if (rebalance.apply || proposal.moves.length === 0) return null;
      return 'control.rebalance.apply is false; `weir shards move` moves slots by hand';
    case 'capacity': {
      const command = capacity.apply ? null : commandOf(proposal, ring);
      return command && `control.capacity.apply is false; by hand: \`weir shards ${command}\``;
    }
  }
}

function commandOf({ action, subject, shard, moves }: CapacityProposal, ring: RingEpoch): string | null {
  const name = ring.signals[subject as Signal].shards.find(({ id }) => id === shard)!.name;
  switch (action) {
    case 'merge':
      return `retire ${name}`;
    case 'split':
      return moves.length === 1 ? `split ${name}` : `create NAME --signal ${subject}`;
    case 'cannot_split':
      return null;
  }
}
