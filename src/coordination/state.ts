/** What the control log says, folded. Pure: the same events give the same state everywhere. */
import { decisionKey, type LastDecision } from '../control/decision.ts';
import { type ControlEvent, ringOf } from './events.ts';
import type { RingEpoch } from './ring-epoch.ts';

export interface Leader {
  readonly member: string;
  readonly electionId: string;
  /** In the consumer group. */
  readonly memberId: string;
  /** Offset of its LeaderElected record. */
  readonly leaderEpoch: number;
  /** Unix ms. */
  readonly since: number;
  /** Of its latest event; 0 before. */
  readonly sequence: number;
}

export interface ControlState {
  /** Of the record to be folded next. */
  readonly nextOffset: bigint;
  /** By name of the leadership. */
  readonly leaders: ReadonlyMap<string, Leader>;
  /** The epoch in force; null before the first. */
  readonly ring: RingEpoch | null;
  /** By `decisionKey`. At most MAX_SUBJECTS; the one decided longest ago goes first. */
  readonly decisions: ReadonlyMap<string, LastDecision>;
  /** Next offset of `weir.load` at the last decision; null before. */
  readonly inputOffset: number | null;
}

/** Subjects whose last decision is remembered. Forgetting one could repeat one decision, not more. */
export const MAX_SUBJECTS = 10_000;

export const EMPTY_STATE: ControlState = {
  nextOffset: 0n,
  leaders: new Map(),
  ring: null,
  decisions: new Map(),
  inputOffset: null,
};

export function fold(state: ControlState, event: ControlEvent, offset: bigint): ControlState {
  const next = { ...state, nextOffset: offset + 1n };
  switch (event.type) {
    case 'LeaderElected': {
      const { name, member, electionId, memberId, at } = event;
      const leader: Leader = { member, electionId, memberId, leaderEpoch: Number(offset), since: at, sequence: 0 };
      return { ...next, leaders: new Map(state.leaders).set(name, leader) };
    }
    case 'RingActive':
      return { ...next, leaders: counted(state.leaders, event), ring: ringOf(event) };
    case 'DecisionMade': {
      const { id, kind, subject, fingerprint, at, until, inputOffset } = event;
      const decisions = new Map(state.decisions);
      const key = decisionKey(kind, subject);
      // Deleted first, so that the map's order is that of the last decisions.
      decisions.delete(key);
      decisions.set(key, { id, kind, subject, fingerprint, at, until, cleared: false });
      if (decisions.size > MAX_SUBJECTS) decisions.delete(decisions.keys().next().value!);
      return { ...next, leaders: counted(state.leaders, event), decisions, inputOffset };
    }
    case 'ConditionCleared': {
      const key = decisionKey(event.kind, event.subject);
      const last = state.decisions.get(key);
      const decisions = last ? new Map(state.decisions).set(key, { ...last, cleared: true }) : state.decisions;
      return { ...next, leaders: counted(state.leaders, event), decisions };
    }
  }
}

function counted(
  leaders: ReadonlyMap<string, Leader>,
  event: { leaderEpoch?: number | undefined; sequence?: number | undefined },
): ReadonlyMap<string, Leader> {
  for (const [name, leader] of leaders)
    if (leader.leaderEpoch === event.leaderEpoch && event.sequence !== undefined)
      return new Map(leaders).set(name, { ...leader, sequence: event.sequence });
  return leaders;
}
