/** The ring epoch in force, what is to follow it, and what led to it. */
import { z } from 'zod';
import { SIGNALS, type Signal } from '../../signals.ts';
import { applyChange, type RingChange, revert, ringChangeSchema } from '../ring-change.ts';
import { encodeRings, ringOf, signalRingsSchema } from '../ring-encoding.ts';
import type { RingEpoch } from '../ring-epoch.ts';
import { envelope, led, misplaced, type WithoutLead, whole } from './envelope.ts';

const ringActive = z.object({
  ...envelope,
  type: z.literal('RingActive'),
  /** Absent when `weir topics --create` wrote it. */
  leaderEpoch: whole.optional(),
  sequence: z.int().min(1).optional(),
  epoch: z.int().min(1),
  /** What was copied for it, and how long that took. */
  carried: z.object({ items: whole, bytes: whole, ms: whole }).optional(),
  /** Of the first epoch. A later one is what RingProposed has made of the one before. */
  signals: signalRingsSchema.optional(),
});
export type RingActive = z.infer<typeof ringActive>;

const ringProposed = z.object({
  ...led,
  type: z.literal('RingProposed'),
  epoch: z.int().min(2),
  /** The ring epoch in force, which `change` leads on from. */
  base: z.int().min(1),
  change: ringChangeSchema,
  /** Epoch of the proposal in flight that this one takes back; then `change` is empty. */
  abandons: z.int().min(2).optional(),
  /** What the moved slots got in this time before `at` is copied to their new shards before it becomes active. */
  carryMs: whole,
  reason: z.string(),
  /** Whose wish it is, if a request's. */
  requestId: z.string().optional(),
  /** Or a decision's. */
  decisionId: z.string().optional(),
  /** Of slot moves that are to be judged once they are in force: load of the hottest shard over its fair share, before and as planned. */
  planned: z.object({ signal: z.enum(SIGNALS), from: z.number(), to: z.number() }).optional(),
});
export type RingProposed = z.infer<typeof ringProposed>;

const planVerified = z.object({
  ...led,
  type: z.literal('PlanVerified'),
  /** That the moves led to. */
  epoch: z.int().min(2),
  decisionId: z.string(),
  /** Load of the hottest shard over its fair share. */
  measured: z.number(),
  /** RingProposed with the moves back goes with it. */
  reversed: z.boolean(),
});
export type PlanVerified = z.infer<typeof planVerified>;

export const ringSchemas = { RingActive: ringActive, RingProposed: ringProposed, PlanVerified: planVerified } as const;

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

export interface RingsState {
  /** The epoch in force; null before the first. */
  readonly ring: RingEpoch | null;
  /** What is to follow it; null: no change is in flight. */
  readonly proposed: ProposedRing | null;
  /** What led to the ring in force, oldest first; at most MAX_CHANGES. Changes that were taken back are left out. */
  readonly changes: readonly PastChange[];
  /** The lowest shard id above all that ever were: a retired shard's topic keeps its records, so its id is not given again. */
  readonly nextShard: Readonly<Record<Signal, number>>;
}

/** Changes remembered: those of the last ten minutes count, in which there are far fewer. */
export const MAX_CHANGES = 100;

export const ringFolds = {
  RingActive(state: RingsState, event: RingActive): RingsState {
    const ring = activated(state, event);
    const nextShard = shardIds(state.nextShard, ring);
    return { ring, nextShard, proposed: null, changes: changesAfter(state, event) };
  },

  RingProposed(state: RingsState, event: RingProposed): Partial<RingsState> {
    const proposed = proposedRing(state, event);
    return { proposed, nextShard: shardIds(state.nextShard, proposed.ring) };
  },

  PlanVerified({ changes }: RingsState, { epoch }: PlanVerified): Partial<RingsState> {
    return { changes: changes.map((past) => (past.epoch === epoch ? { ...past, planned: null } : past)) };
  },
};

/** Of the first epoch: whole. */
export function ringActiveEvent(ring: RingEpoch, at: number): WithoutLead<RingActive> {
  return { type: 'RingActive', version: 1, at, epoch: ring.epoch, signals: encodeRings(ring) };
}

function activated({ proposed }: RingsState, { epoch, signals }: RingActive): RingEpoch {
  if (signals) return ringOf(epoch, signals);
  if (proposed?.ring.epoch !== epoch) throw misplaced(`ring epoch ${epoch} becomes active, but was not proposed last`);
  return proposed.ring;
}

function changesAfter({ changes, proposed }: RingsState, { epoch, at: activeAt }: RingActive): readonly PastChange[] {
  if (!proposed || proposed.abandons !== null) return changes;
  const { change, at, decisionId, planned } = proposed;
  return [...changes, { change, at, decisionId, planned, epoch, activeAt }].slice(-MAX_CHANGES);
}

function proposedRing({ ring, proposed }: RingsState, event: RingProposed): ProposedRing {
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

function shardIds(before: RingsState['nextShard'], ring: RingEpoch): RingsState['nextShard'] {
  const next = (signal: Signal) =>
    ring.signals[signal].shards.reduce((id, shard) => Math.max(id, shard.id + 1), before[signal]);
  return Object.fromEntries(SIGNALS.map((signal) => [signal, next(signal)])) as Record<Signal, number>;
}
