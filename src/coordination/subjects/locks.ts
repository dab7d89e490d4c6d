/** Locks, who waits for them, and the operations under them. */
import { z } from 'zod';
import { led, misplaced, whole } from './envelope.ts';

const claim = {
  resource: z.string(),
  requestId: z.string(),
  /** Member that asked. */
  holder: z.string(),
  /** From the grant, the last renewal or the election of a leader, whichever is the latest. */
  ttlMs: z.int().min(1),
};

const lockGranted = z.object({ ...led, type: z.literal('LockGranted'), ...claim });
export type LockGranted = z.infer<typeof lockGranted>;

const lockQueued = z.object({
  ...led,
  type: z.literal('LockQueued'),
  ...claim,
  /** Unix ms: not to be granted any more from then on. */
  until: whole,
});
export type LockQueued = z.infer<typeof lockQueued>;

const lockReleased = z.object({
  ...led,
  type: z.literal('LockReleased'),
  resource: z.string(),
  token: whole,
  how: z.enum(['released', 'expired']),
});
export type LockReleased = z.infer<typeof lockReleased>;

const operationStarted = z.object({
  ...led,
  type: z.literal('OperationStarted'),
  resource: z.string(),
  token: whole,
  /** For people. */
  what: z.string(),
});
export type OperationStarted = z.infer<typeof operationStarted>;

/** What the holder of the lock can say of its operation. `interrupted` is the leader's word for one that says nothing more. */
export const OPERATION_ENDS = ['done', 'refused', 'failed', 'timed-out'] as const;

const operationEnded = z.object({
  ...led,
  type: z.literal('OperationEnded'),
  resource: z.string(),
  token: whole,
  outcome: z.enum([...OPERATION_ENDS, 'interrupted']),
  text: z.string(),
});
export type OperationEnded = z.infer<typeof operationEnded>;

export const lockSchemas = {
  LockGranted: lockGranted,
  LockQueued: lockQueued,
  LockReleased: lockReleased,
  OperationStarted: operationStarted,
  OperationEnded: operationEnded,
} as const;

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

export interface LocksState {
  /** By resource: those that are held. */
  readonly locks: ReadonlyMap<string, HeldLock>;
  /** In the order in which they are granted, over all resources. */
  readonly waiting: readonly WaitingClaim[];
  /** Oldest first; at most MAX_OPERATIONS. */
  readonly operations: readonly PastOperation[];
}

/** Operations remembered that have ended. */
export const MAX_OPERATIONS = 100;

export const lockFolds = {
  LockGranted(state: LocksState, event: LockGranted, offset: bigint): Partial<LocksState> {
    const { resource, requestId, holder, ttlMs, at } = event;
    const held = state.locks.get(resource);
    if (held) throw misplaced(`${resource} is granted to ${holder} while ${held.holder} holds it`);
    const token = Number(offset);
    const lock: HeldLock = { token, requestId, holder, ttlMs, since: at, operation: null };
    return { locks: new Map(state.locks).set(resource, lock) };
  },

  LockQueued(state: LocksState, event: LockQueued): Partial<LocksState> {
    const { resource, requestId, holder, ttlMs, until } = event;
    return { waiting: [...state.waiting, { resource, requestId, holder, ttlMs, until }] };
  },

  LockReleased(state: LocksState, event: LockReleased): Partial<LocksState> {
    heldBy(state, event);
    const locks = new Map(state.locks);
    locks.delete(event.resource);
    return { locks };
  },

  OperationStarted(state: LocksState, event: OperationStarted): Partial<LocksState> {
    const { resource, what, at } = event;
    const lock = { ...heldBy(state, event), operation: { what, since: at } };
    return { locks: new Map(state.locks).set(resource, lock) };
  },

  OperationEnded(state: LocksState, event: OperationEnded): Partial<LocksState> {
    const { resource, token, outcome, text, at } = event;
    const { holder, operation } = heldBy(state, event);
    const ended = { resource, token, outcome, text, at, holder, what: operation?.what ?? null };
    return { operations: [...state.operations, ended].slice(-MAX_OPERATIONS) };
  },
};

function heldBy({ locks }: LocksState, event: { type: string; resource: string; token: number }): HeldLock {
  const { type, resource, token } = event;
  const held = locks.get(resource);
  if (held?.token !== token) throw misplaced(`${type} of ${resource} under ${token}, which is not its latest token`);
  return held;
}
