/** What was decided last about each subject. */
import { z } from 'zod';
import { DECISION_KINDS, decisionKey, type LastDecision } from '../../control/decision.ts';
import { led, whole } from './envelope.ts';

const decisionMade = z.object({
  ...led,
  type: z.literal('DecisionMade'),
  id: z.string(),
  kind: z.enum(DECISION_KINDS),
  subject: z.string(),
  /** What makes two decisions of one subject the same: see `fingerprint` of the decision's kind in src/control. */
  fingerprint: z.string(),
  /** Unix ms: until then nothing more is decided about the subject. */
  until: whole,
  /** Next offset of `weir.load` at the tick: from here a later leader may read on. */
  inputOffset: whole,
});
export type DecisionMade = z.infer<typeof decisionMade>;

const conditionCleared = z.object({
  ...led,
  type: z.literal('ConditionCleared'),
  kind: z.enum(DECISION_KINDS),
  subject: z.string(),
});
export type ConditionCleared = z.infer<typeof conditionCleared>;

export const decisionSchemas = { DecisionMade: decisionMade, ConditionCleared: conditionCleared } as const;

export interface DecisionsState {
  /** By `decisionKey`. At most MAX_SUBJECTS; the one decided longest ago goes first. */
  readonly decisions: ReadonlyMap<string, LastDecision>;
  /** Next offset of `weir.load` at the last decision; null before. */
  readonly inputOffset: number | null;
}

/** Subjects whose last decision is remembered. Forgetting one could repeat one decision, not more. */
export const MAX_SUBJECTS = 10_000;

export const decisionFolds = {
  DecisionMade(state: DecisionsState, event: DecisionMade): DecisionsState {
    const { id, kind, subject, fingerprint, at, until, inputOffset } = event;
    const decisions = new Map(state.decisions);
    const key = decisionKey(kind, subject);
    // Deleted first, so that the map's order is that of the last decisions.
    decisions.delete(key);
    decisions.set(key, { id, kind, subject, fingerprint, at, until, cleared: false });
    if (decisions.size > MAX_SUBJECTS) decisions.delete(decisions.keys().next().value!);
    return { decisions, inputOffset };
  },

  ConditionCleared(state: DecisionsState, event: ConditionCleared): Partial<DecisionsState> {
    const key = decisionKey(event.kind, event.subject);
    const last = state.decisions.get(key);
    return last ? { decisions: new Map(state.decisions).set(key, { ...last, cleared: true }) } : {};
  },
};
