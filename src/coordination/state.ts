/** What the control log says, folded. Pure: the same events give the same state everywhere. */
import { decisionKey, type LastDecision } from '../control/decision.ts';
import { WeirError } from '../errors.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import {
  type ControlEvent,
  type LockGranted,
  type LockQueued,
  type MemberGone,
  type MemberJoined,
  type OperationEnded,
  type RequestAnswered,
  type RingActive,
  type RingProposed,
  ringOf,
} from './events.ts';
import { applyChange, type RingChange, revert } from './ring-change.ts';
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

/** A ring epoch that is not in force yet: partitions adopt it one by one. */
export interface ProposedRing {
  readonly ring: RingEpoch;
  /** Epoch of the proposal that it takes back; null: it takes back none. */
  readonly abandons: number | null;
  readonly change: RingChange;
  /** Unix ms. */
  readonly at: number;
  /** 0: nothing is to be copied. */
  readonly carryMs: number;
  readonly reason: string;
  /** The decision that it carries out, or takes back. */
  readonly decisionId: string | null;
  /** What its moves were to bring; null: they are not to be judged. */
  readonly planned: Planned | null;
}

export type Planned = NonNullable<RingProposed['planned']>;

export interface PastChange extends Pick<ProposedRing, 'change' | 'at' | 'decisionId' | 'planned'> {
  /** That it led to. */
  readonly epoch: number;
  /** Unix ms. */
  readonly activeAt: number;
}

/** What became of a request. */
export type Answer = Pick<RequestAnswered, 'outcome' | 'text' | 'ringEpoch'>;

export interface KnownMember extends Pick<MemberJoined, 'role' | 'release'> {
  /** Unix ms: when the leader heard it first. */
  readonly since: number;
}

export interface DepartedMember extends Pick<MemberJoined, 'role' | 'release'>, Pick<MemberGone, 'how' | 'reportedAt'> {
  /** Unix ms: when the leader noted it. */
  readonly at: number;
}

export interface HeldLock extends Pick<LockGranted, 'requestId' | 'holder' | 'ttlMs'> {
  /** The offset of the grant: greater than that of every earlier one, whatever the resource. */
  readonly token: number;
  /** Unix ms. */
  readonly since: number;
  /** What is being done under it; null: nothing yet. */
  readonly operation: { readonly what: string; readonly since: number } | null;
}

export interface PastOperation extends Pick<OperationEnded, 'resource' | 'token' | 'outcome' | 'text'> {
  readonly holder: string;
  /** null: it ended before it had started. */
  readonly what: string | null;
  /** Unix ms. */
  readonly at: number;
}

export type WaitingClaim = Pick<LockQueued, 'resource' | 'requestId' | 'holder' | 'ttlMs' | 'until'>;

export interface ControlState {
  /** Of the record to be folded next. */
  readonly nextOffset: bigint;
  /** By name of the leadership. */
  readonly leaders: ReadonlyMap<string, Leader>;
  /** The epoch in force; null before the first. */
  readonly ring: RingEpoch | null;
  /** What is to follow it; null: no change is in flight. */
  readonly proposed: ProposedRing | null;
  /** What led to the ring in force, oldest first; at most MAX_CHANGES. Changes that were taken back are left out. */
  readonly changes: readonly PastChange[];
  /** The lowest shard id above all that ever were: a retired shard's topic keeps its records, so its id is not given again. */
  readonly nextShard: Readonly<Record<Signal, number>>;
  /** By request id. At most MAX_ANSWERS; the oldest goes first. */
  readonly answers: ReadonlyMap<string, Answer>;
  /** By `decisionKey`. At most MAX_SUBJECTS; the one decided longest ago goes first. */
  readonly decisions: ReadonlyMap<string, LastDecision>;
  /** By id: those that have joined and are not gone. */
  readonly members: ReadonlyMap<string, KnownMember>;
  /** Those that are, oldest first; at most MAX_DEPARTED. */
  readonly departed: ReadonlyMap<string, DepartedMember>;
  /** By resource: those that are held. */
  readonly locks: ReadonlyMap<string, HeldLock>;
  /** In the order in which they are granted, over all resources. */
  readonly waiting: readonly WaitingClaim[];
  /** Oldest first; at most MAX_OPERATIONS. */
  readonly operations: readonly PastOperation[];
  /** Next offset of `weir.load` at the last decision; null before. */
  readonly inputOffset: number | null;
}

/** Subjects whose last decision is remembered. Forgetting one could repeat one decision, not more. */
export const MAX_SUBJECTS = 10_000;

/** Answers remembered: a request that comes again within the next so many is answered again, not granted again. */
export const MAX_ANSWERS = 1_000;

/** Operations remembered that have ended. */
export const MAX_OPERATIONS = 100;

/** Members remembered that are gone. */
export const MAX_DEPARTED = 100;

/** Changes remembered: those of the last ten minutes count, in which there are far fewer. */
export const MAX_CHANGES = 100;

export const EMPTY_STATE: ControlState = {
  nextOffset: 0n,
  leaders: new Map(),
  ring: null,
  proposed: null,
  changes: [],
  nextShard: { traces: 0, metrics: 0, logs: 0 },
  answers: new Map(),
  decisions: new Map(),
  members: new Map(),
  departed: new Map(),
  locks: new Map(),
  waiting: [],
  operations: [],
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
    case 'RingActive': {
      const ring = activated(state, event);
      const nextShard = shardIds(state.nextShard, ring);
      const changes = changesAfter(state, event);
      return { ...next, leaders: counted(state.leaders, event), ring, nextShard, proposed: null, changes };
    }
    case 'RingProposed': {
      const proposed = proposedRing(state, event);
      const nextShard = shardIds(state.nextShard, proposed.ring);
      return { ...next, leaders: counted(state.leaders, event), proposed, nextShard };
    }
    case 'RequestAnswered': {
      const { id, outcome, text, ringEpoch } = event;
      const answers = new Map(state.answers).set(id, { outcome, text, ringEpoch });
      if (answers.size > MAX_ANSWERS) answers.delete(answers.keys().next().value!);
      // Answered without a grant: it does not wait any more.
      const waiting = state.waiting.filter(({ requestId }) => requestId !== id);
      return { ...next, leaders: counted(state.leaders, event), answers, waiting };
    }
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
    case 'PlanVerified': {
      const changes = state.changes.map((past) => (past.epoch === event.epoch ? { ...past, planned: null } : past));
      return { ...next, leaders: counted(state.leaders, event), changes };
    }
    case 'ConditionCleared': {
      const key = decisionKey(event.kind, event.subject);
      const last = state.decisions.get(key);
      const decisions = last ? new Map(state.decisions).set(key, { ...last, cleared: true }) : state.decisions;
      return { ...next, leaders: counted(state.leaders, event), decisions };
    }
    case 'MemberJoined': {
      const { id, role, release, at } = event;
      const members = new Map(state.members).set(id, { role, release, since: at });
      const departed = new Map(state.departed);
      departed.delete(id);
      return { ...next, leaders: counted(state.leaders, event), members, departed };
    }
    case 'MemberGone': {
      const { id, how, reportedAt, at } = event;
      const leaders = counted(state.leaders, event);
      const member = state.members.get(id);
      if (!member) return { ...next, leaders };
      const members = new Map(state.members);
      members.delete(id);
      const { role, release } = member;
      const departed = new Map(state.departed).set(id, { role, release, how, reportedAt, at });
      if (departed.size > MAX_DEPARTED) departed.delete(departed.keys().next().value!);
      return { ...next, leaders, members, departed };
    }
    case 'LockGranted': {
      const { resource, requestId, holder, ttlMs, at } = event;
      const held = state.locks.get(resource);
      if (held) throw misplaced(`${resource} is granted to ${holder} while ${held.holder} holds it`);
      const locks = new Map(state.locks).set(resource, {
        token: Number(offset),
        requestId,
        holder,
        ttlMs,
        since: at,
        operation: null,
      });
      return { ...next, leaders: counted(state.leaders, event), locks };
    }
    case 'LockQueued': {
      const { resource, requestId, holder, ttlMs, until } = event;
      const waiting = [...state.waiting, { resource, requestId, holder, ttlMs, until }];
      return { ...next, leaders: counted(state.leaders, event), waiting };
    }
    case 'LockReleased': {
      const { resource } = event;
      heldBy(state, event);
      const locks = new Map(state.locks);
      locks.delete(resource);
      return { ...next, leaders: counted(state.leaders, event), locks };
    }
    case 'OperationStarted': {
      const { resource, what, at } = event;
      const locks = new Map(state.locks).set(resource, { ...heldBy(state, event), operation: { what, since: at } });
      return { ...next, leaders: counted(state.leaders, event), locks };
    }
    case 'OperationEnded': {
      const { resource, token, outcome, text, at } = event;
      const { holder, operation } = heldBy(state, event);
      const ended = { resource, token, outcome, text, at, holder, what: operation?.what ?? null };
      const operations = [...state.operations, ended].slice(-MAX_OPERATIONS);
      return { ...next, leaders: counted(state.leaders, event), operations };
    }
  }
}

function heldBy({ locks }: ControlState, event: { type: string; resource: string; token: number }): HeldLock {
  const { type, resource, token } = event;
  const held = locks.get(resource);
  if (held?.token !== token) throw misplaced(`${type} of ${resource} under ${token}, which is not its latest token`);
  return held;
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

function activated({ proposed }: ControlState, { epoch, signals }: RingActive): RingEpoch {
  if (signals) return ringOf(epoch, signals);
  if (proposed?.ring.epoch !== epoch) throw misplaced(`ring epoch ${epoch} becomes active, but was not proposed last`);
  return proposed.ring;
}

function changesAfter({ changes, proposed }: ControlState, { epoch, at: activeAt }: RingActive): readonly PastChange[] {
  if (!proposed || proposed.abandons !== null) return changes;
  const { change, at, decisionId, planned } = proposed;
  return [...changes, { change, at, decisionId, planned, epoch, activeAt }].slice(-MAX_CHANGES);
}

function proposedRing({ ring, proposed }: ControlState, event: RingProposed): ProposedRing {
  const { epoch, base, change, abandons = null, at, carryMs, reason, planned = null } = event;
  const decisionId = event.decisionId ?? proposed?.decisionId ?? null;
  const lastEpoch = proposed?.ring.epoch ?? ring?.epoch;
  if (!ring || ring.epoch !== base || abandons !== (proposed?.ring.epoch ?? null) || epoch !== lastEpoch! + 1)
    throw misplaced(`ring epoch ${epoch} is proposed on ${base}, which it cannot follow`);
  const of = (proposal: RingEpoch): ProposedRing => ({
    ring: proposal,
    abandons,
    change,
    at,
    carryMs,
    reason,
    decisionId,
    planned,
  });
  if (proposed) return of(revert(ring, proposed.ring, epoch));
  try {
    return of(applyChange(ring, change, epoch));
  } catch (cause) {
    throw misplaced(`ring epoch ${epoch} is proposed, but ${(cause as Error).message}`, cause);
  }
}

/** A leader writes no such event: another program has written to the log, or lost some of it. */
function misplaced(what: string, cause?: unknown): WeirError {
  return new WeirError(
    'CONTROL_LOG_UNREADABLE',
    `folding the control log: ${what}. The log is damaged: restore it, or start with another prefix`,
    { cause },
  );
}

function shardIds(before: ControlState['nextShard'], ring: RingEpoch): ControlState['nextShard'] {
  const next = (signal: Signal) =>
    ring.signals[signal].shards.reduce((id, shard) => Math.max(id, shard.id + 1), before[signal]);
  return Object.fromEntries(SIGNALS.map((signal) => [signal, next(signal)])) as Record<Signal, number>;
}
