/** What became of requests. */
import { z } from 'zod';
import { led, whole } from './envelope.ts';
import type { LocksState } from './locks.ts';
import type { WaitingChangesState } from './waiting-changes.ts';

export const REQUEST_OUTCOMES = ['accepted', 'refused', 'cancelled', 'expired'] as const;

const requestAnswered = z.object({
  ...led,
  type: z.literal('RequestAnswered'),
  id: z.string(),
  outcome: z.enum(REQUEST_OUTCOMES),
  /** For people: what was done, or why not. */
  text: z.string(),
  /** Of the proposal that it has led to. */
  ringEpoch: whole.optional(),
});
export type RequestAnswered = z.infer<typeof requestAnswered>;

export const requestSchemas = { RequestAnswered: requestAnswered } as const;

/** What became of a request. */
export type Answer = Pick<RequestAnswered, 'outcome' | 'text' | 'ringEpoch'>;

export interface RequestsState {
  /** By request id. At most MAX_ANSWERS; the oldest goes first. */
  readonly answers: ReadonlyMap<string, Answer>;
}

/** Answers remembered: a request that comes again within the next so many is answered again, not granted again. */
export const MAX_ANSWERS = 1_000;

/** Those who wait for an answer. */
type WaitingState = Pick<LocksState, 'waiting'> & WaitingChangesState;

export const requestFolds = {
  RequestAnswered(state: RequestsState & WaitingState, event: RequestAnswered): RequestsState & WaitingState {
    const { id, outcome, text, ringEpoch } = event;
    const answers = new Map(state.answers).set(id, { outcome, text, ringEpoch });
    if (answers.size > MAX_ANSWERS) answers.delete(answers.keys().next().value!);
    // Whatever the answer, it does not wait any more.
    const isAnother = ({ requestId }: { readonly requestId: string }) => requestId !== id;
    const waitingChanges = state.waitingChanges.filter(isAnother);
    return { answers, waiting: state.waiting.filter(isAnother), waitingChanges };
  },
};
