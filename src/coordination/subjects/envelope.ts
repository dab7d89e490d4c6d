/** What all events of the control log have in common, and the error for one that cannot follow what came before it. */
import { z } from 'zod';
import { WeirError } from '../../errors.ts';

export const whole = z.int().min(0);

export const envelope = {
  version: z.literal(1),
  /** Unix ms, by the writer's clock. */
  at: whole,
};

/** What only a leader writes: under which leader epoch, and the how many-th event of it (LeaderElected itself is 0). */
export const led = { ...envelope, leaderEpoch: whole, sequence: z.int().min(1) };

/** Distributes over the union, so that `type` keeps telling the variants apart. */
export type WithoutLead<E> = E extends unknown ? Omit<E, 'leaderEpoch' | 'sequence'> : never;

/** A leader writes no such event: another program has written to the log, or lost some of it. */
export function misplaced(what: string, cause?: unknown): WeirError {
  return new WeirError(
    'CONTROL_LOG_UNREADABLE',
    `folding the control log: ${what}. The log is damaged: restore it, or start with another prefix`,
    { cause },
  );
}
