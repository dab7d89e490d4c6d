/** The ring epoch in force, what is to follow it, and what led to it. */
import { z } from 'zod';
import { BY_TRACE_ID, type Override } from '../../kernels/split/kernel.ts';
import { bySignal, SIGNALS, type Signal } from '../../signals.ts';
import { applyChange, contraryOf, type RingChange, revert, ringChangeSchema } from '../ring-change.ts';
import { encodeRings, ringOf, signalRingsSchema } from '../ring-encoding.ts';
import type { RingEpoch } from '../ring-epoch.ts';
import { envelope, led, misplaced, type WithoutLead, whole } from './envelope.ts';

/**
 * 2: with an override by trace id. Members that know of no such thing stop at the version, and say so. 1: without one, so that they go on until there
 * is one; builds that knew it already wrote 1 all the same.
 */
const version = z.literal([1, 2]);

const ringActive = z.object({
  ...envelope,
  version,
  type: z.literal('RingActive'),
  /** Absent when `weir topics --create` wrote it. */
  leaderEpoch: whole.optional(),
  sequence: z.int().min(1).optional(),
  epoch: z.int().min(1),
  /** What was copied for it, and how long that took. */
  carried: z.object({ items: whole, bytes: whole, ms: whole }).optional(),
  /** A request has ended the copying: the rest is left where it is. */
  cutShort: z.literal(true).optional(),
  /** Of the first epoch. A later one is what RingProposed has made of the one before. */
  signals: signalRingsSchema.optional(),
});
export type RingActive = z.infer<typeof ringActive>;

const ringProposed = z.object({
  ...led,
  version,
  type: z.literal('RingProposed'),
  epoch: z.int().min(2),
  /** The ring epoch in force, which `change` leads on from. */
  base: z.int().min(1),
  change: ringChangeSchema,
  /** Epoch of the proposal in flight that this one takes back; then `change` is empty. */
  abandons: z.int().min(2).optional(),
  /**
   * What the moved slots got in this time before `at` is copied to their new shards before it becomes active. Of one that takes another back: all
   * that went by that one; 0 as ever: nothing.
   */
  carryMs: whole,
  reason: z.string(),
  /** Whose wish it is, if a request's. */
  requestId: z.string().optional(),
  /** Or a decision's. */
  decisionId: z.string().optional(),
  /** Of slot moves or keys that are to be judged once they are in force: load of the hottest shard over its fair share, before and as planned. */
  planned: z.object({ signal: z.enum(SIGNALS), from: z.number(), to: z.number() }).optional(),
});
export type RingProposed = z.infer<typeof ringProposed>;

const ringAdopted = z.object({ ...led, type: z.literal('RingAdopted'), epoch: z.int().min(2) });
export type RingAdopted = z.infer<typeof ringAdopted>;

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

export const ringSchemas = {
  RingActive: ringActive,
  RingProposed: ringProposed,
  RingAdopted: ringAdopted,
  PlanVerified: planVerified,
} as const;

/** A ring epoch that is not in force yet: partitions adopt it one by one. */
export interface ProposedRing {
  readonly ring: RingEpoch;
  /** Epoch of the proposal that it takes back; null: it takes back none. */
  readonly abandons: number | null;
  /** What partitions go by that have not adopted it: the ring in force, or the proposal that it takes back, where that has been adopted. */
  readonly before: RingEpoch;
  /** From `before` to `ring`. */
  readonly change: RingChange;
  /** Unix ms. */
  readonly at: number;
  /** Unix ms: what the moved slots got from then on is to be copied; null: nothing is. */
  readonly carryFrom: number | null;
  /** Unix ms: when all had adopted it, and the copying began. From then on it is not taken back any more. null before. */
  readonly adoptedAt: number | null;
  readonly reason: string;
  /** The decision that it carries out, or takes back. */
  readonly decisionId: string | null;
  /** What its moves were to bring; null: they are not to be judged. */
  readonly planned: Planned | null;
}

export type Planned = NonNullable<RingProposed['planned']>;

export interface PastChange
  extends Pick<ProposedRing, 'abandons' | 'change' | 'at' | 'carryFrom' | 'decisionId' | 'planned'> {
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
  /**
   * What led to the ring in force, oldest first; at most MAX_CHANGES. Changes that were taken back are left out; what has taken them back is there,
   * for what it has copied.
   */
  readonly changes: readonly PastChange[];
  /** The lowest shard id above all that ever were: a retired shard's topic keeps its records, so its id is not given again. */
  readonly nextShard: Readonly<Record<Signal, number>>;
}

/** Changes remembered: those of the control plane's hold times count (by default up to 15 minutes), in which there are far fewer. */
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

  RingAdopted({ proposed }: RingsState, { epoch, at }: RingAdopted): Partial<RingsState> {
    if (proposed?.ring.epoch !== epoch) throw misplaced(`ring epoch ${epoch} is adopted, but was not proposed last`);
    return { proposed: { ...proposed, adoptedAt: at } };
  },

  PlanVerified({ changes }: RingsState, { epoch }: PlanVerified): Partial<RingsState> {
    return { changes: changes.map((past) => (past.epoch === epoch ? { ...past, planned: null } : past)) };
  },
};

/** Of the first epoch: whole. */
export function ringActiveEvent(ring: RingEpoch, at: number): WithoutLead<RingActive> {
  const overrides = SIGNALS.flatMap((signal) => [...ring.signals[signal].overrides.values()]);
  return { type: 'RingActive', version: versionOf(overrides), at, epoch: ring.epoch, signals: encodeRings(ring) };
}

/** Of the RingProposed that holds it. */
export function versionOfChange(change: RingChange): RingProposed['version'] {
  return versionOf(SIGNALS.flatMap((signal) => change[signal]?.overrides ?? []).map(({ shard }) => shard));
}

function versionOf(overrides: readonly (Override | null)[]): z.infer<typeof version> {
  return overrides.includes(BY_TRACE_ID) ? 2 : 1;
}

function activated({ proposed }: RingsState, { epoch, signals }: RingActive): RingEpoch {
  if (signals) return ringOf(epoch, signals);
  if (proposed?.ring.epoch !== epoch) throw misplaced(`ring epoch ${epoch} becomes active, but was not proposed last`);
  return proposed.ring;
}

function changesAfter({ changes, proposed }: RingsState, { epoch, at: activeAt }: RingActive): readonly PastChange[] {
  if (!proposed || (proposed.abandons !== null && proposed.carryFrom === null)) return changes;
  const { abandons, change, at, carryFrom, decisionId, planned } = proposed;
  return [...changes, { abandons, change, at, carryFrom, decisionId, planned, epoch, activeAt }].slice(-MAX_CHANGES);
}

function proposedRing({ ring, proposed }: RingsState, event: RingProposed): ProposedRing {
  const { epoch, base, abandons = null, at, carryMs, reason, planned = null } = event;
  const decisionId = event.decisionId ?? proposed?.decisionId ?? null;
  const lastEpoch = proposed?.ring.epoch ?? ring?.epoch;
  if (!ring || ring.epoch !== base || abandons !== (proposed?.ring.epoch ?? null) || epoch !== lastEpoch! + 1)
    throw misplaced(`ring epoch ${epoch} is proposed on ${base}, which it cannot follow`);
  if (proposed?.adoptedAt != null)
    throw misplaced(`ring epoch ${epoch} takes back ${abandons}, which all have adopted and copies are made for`);
  const common = { abandons, at, reason, decisionId, planned, adoptedAt: null };
  if (proposed) {
    const change = contraryOf(proposed.change, ring);
    const carryFrom = carryMs === 0 ? null : proposed.at;
    return { ...common, ring: revert(ring, proposed.ring, epoch), before: proposed.ring, change, carryFrom };
  }
  const { change } = event;
  const carryFrom = carryMs === 0 ? null : at - carryMs;
  try {
    return { ...common, ring: applyChange(ring, change, epoch), before: ring, change, carryFrom };
  } catch (cause) {
    throw misplaced(`ring epoch ${epoch} is proposed, but ${(cause as Error).message}`, cause);
  }
}

function shardIds(before: RingsState['nextShard'], ring: RingEpoch): RingsState['nextShard'] {
  return bySignal((signal) =>
    ring.signals[signal].shards.reduce((id, shard) => Math.max(id, shard.id + 1), before[signal]),
  );
}
