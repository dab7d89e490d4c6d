/** Decisions as `weir inspect decisions` shows them. */
import type { DecisionsDocument } from '../api/documents.ts';
import type { CapacityDecision, Decision, HotKeyDecision, RebalanceDecision } from '../control/decision.ts';
import { percent } from './figures.ts';

/** Oldest first, as in a log. */
export function decisionsText({ decisions }: DecisionsDocument): string {
  if (decisions.length === 0) return 'No decision yet.\n';
  return [...decisions]
    .reverse()
    .map((of) => {
      const priority = of.priority === 'high' ? ' [high]' : '';
      const left = of.notApplied === undefined ? '' : `    not carried out: ${of.notApplied}\n`;
      return `${of.at}  ${of.kind}  ${of.subject}: ${whatText(of)}${priority}  (${of.status})\n    ${someOf(of.reasons)}\n${left}`;
    })
    .join('');
}

/** Texts that a line shows; the JSON has all. */
const MAX_TEXTS = 3;

function someOf(of: readonly { readonly text: string }[]): string {
  const shown = of.slice(0, MAX_TEXTS).map(({ text }) => text);
  return [...shown, ...(of.length > MAX_TEXTS ? [`and ${of.length - MAX_TEXTS} more`] : [])].join('; ');
}

function whatText(of: Decision): string {
  switch (of.kind) {
    case 'scaling':
      return `${of.action === 'scale_out' ? 'scale out' : 'scale in'} from ${of.from} to ${of.to}`;
    case 'rebalance':
      return rebalanceText(of);
    case 'capacity':
      return capacityText(of);
    case 'hot_key':
      return keyText(of);
  }
}

function rebalanceText({ action, from, to, slotsMoved, reverses, unmovable }: RebalanceDecision): string {
  const hottest = `hottest shard from ${from.toFixed(2)} to ${to.toFixed(2)} times its fair share`;
  switch (action) {
    case 'reverse':
      return `take back the ${slotsMoved} slots of ${reverses}, ${hottest}`;
    case 'move_slots':
      return `move ${slotsMoved} slots, ${hottest}`;
    case 'cannot_balance':
      return `cannot be balanced by moving slots (hottest shard ${from.toFixed(2)} times its fair share): ${someOf(unmovable)}`;
  }
}

function capacityText({ action, shard, from, to, shards, slotsMoved, moves, alternatives }: CapacityDecision): string {
  const fuller = `from ${from.toFixed(2)} to ${to.toFixed(2)} times what it can carry`;
  switch (action) {
    case 'split':
      return `split shard ${shard}, ${fuller}: ${slotsMoved} slots of ${moves.length} go to a new one, ${shards.after} shards`;
    case 'merge':
      return `share shard ${shard} out among ${moves.length} others, the fullest ${fuller}: ${slotsMoved} slots move, ${shards.after} shards`;
    case 'cannot_split':
      return `shard ${shard} has ${from.toFixed(2)} times what it can carry and is not split: ${someOf(alternatives)}`;
  }
}

function keyText({ action, key, keyHash, share, toShard }: HotKeyDecision): string {
  const named = `key ${key || keyHash} (${percent(share)} of the load)`;
  if (action === 'isolate_key') return `give ${named} shard ${toShard} for itself`;
  if (action === 'spread_key') return `spread ${named} over all shards by trace id`;
  return `let ${named} go by its slot again, to shard ${toShard}`;
}
