/** What a request becomes, as those who judge it tell the one who writes the answer. */
import type { LedEvent } from '../coordination/events.ts';
import type { ProducerRecord } from '../kafka/port.ts';
import type { ProposalOutcome, Proposed } from './ring-proposals.ts';

export interface RequestVerdict {
  /** queued: to be answered later. */
  readonly outcome: Extract<LedEvent, { type: 'RequestAnswered' }>['outcome'] | 'queued';
  readonly text: string;
  readonly proposal?: Proposed;
  readonly ringEpoch?: number | undefined;
  /** To be written before the answer. */
  readonly events?: readonly LedEvent[];
  /** To be written with it. */
  readonly records?: readonly ProducerRecord[];
}

/** Of a request that was to lead to a proposal. */
export function verdictOf(outcome: ProposalOutcome): RequestVerdict & { readonly outcome: 'accepted' | 'refused' } {
  const { text } = outcome;
  if (outcome.kind !== 'proposed') return { outcome: 'refused', text };
  return { outcome: 'accepted', text, proposal: outcome.proposal };
}
