/** What the control log says, folded. Pure: the same events give the same state everywhere. */
import type { ControlEvent } from './events.ts';
import { type DecisionsState, decisionFolds } from './subjects/decisions.ts';
import { counted, type LeadersState, leaderFolds } from './subjects/leaders.ts';
import { type LocksState, lockFolds } from './subjects/locks.ts';
import { type MembersState, memberFolds } from './subjects/members.ts';
import { type RequestsState, requestFolds } from './subjects/requests.ts';
import { type RingsState, ringFolds } from './subjects/rings.ts';
import { type WaitingChangesState, waitingChangeFolds } from './subjects/waiting-changes.ts';

export { MAX_SUBJECTS } from './subjects/decisions.ts';
export type { Leader } from './subjects/leaders.ts';
export { type HeldLock, MAX_OPERATIONS, type PastOperation, type WaitingClaim } from './subjects/locks.ts';
export { type DepartedMember, type KnownMember, MAX_DEPARTED } from './subjects/members.ts';
export { type Answer, MAX_ANSWERS } from './subjects/requests.ts';
export { MAX_CHANGES, type PastChange, type Planned, type ProposedRing } from './subjects/rings.ts';

export interface ControlState
  extends LeadersState,
    RingsState,
    RequestsState,
    WaitingChangesState,
    DecisionsState,
    MembersState,
    LocksState {
  /** Of the record to be folded next. */
  readonly nextOffset: bigint;
}

export const EMPTY_STATE: ControlState = {
  nextOffset: 0n,
  leaders: new Map(),
  ring: null,
  proposed: null,
  changes: [],
  nextShard: { traces: 0, metrics: 0, logs: 0 },
  answers: new Map(),
  waitingChanges: [],
  decisions: new Map(),
  members: new Map(),
  departed: new Map(),
  locks: new Map(),
  waiting: [],
  operations: [],
  inputOffset: null,
};

/** Of each event: what it makes another. */
const FOLDS: {
  [Type in ControlEvent['type']]: (
    state: ControlState,
    event: Extract<ControlEvent, { type: Type }>,
    offset: bigint,
  ) => Partial<ControlState>;
} = {
  ...leaderFolds,
  ...ringFolds,
  ...requestFolds,
  ...waitingChangeFolds,
  ...decisionFolds,
  ...memberFolds,
  ...lockFolds,
};

export function fold(state: ControlState, event: ControlEvent, offset: bigint): ControlState {
  const foldEvent = FOLDS[event.type] as (...of: [ControlState, ControlEvent, bigint]) => Partial<ControlState>;
  const leaders = event.type === 'LeaderElected' ? state.leaders : counted(state.leaders, event);
  return { ...state, nextOffset: offset + 1n, leaders, ...foldEvent(state, event, offset) };
}
