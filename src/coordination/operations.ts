/**
 * Operations: what several members could set about, one of them does, and the log says what became of it. Lock -> propose -> OperationStarted ->
 * execute -> OperationEnded and the lock's release in one transaction. Effects are outside the log, so they come after OperationStarted, are idempotent,
 * and ask the leader under the lock's token.
 *
 * One whose holder dies is not done again by the leader, which cannot know how: when the lock's time is over the leader, this one or the next,
 * writes OperationEnded `interrupted`. Who takes the lock then reads how things are and completes it. (A change of the ring that was proposed is
 * completed by the leader in any case: see `ring-activation.ts`.)
 */
import { WeirError } from '../errors.ts';
import type { LedEvent } from './events.ts';
import { type Asker, acquireLock, askUnderLock, type Lock, type LockOptions } from './locks.ts';
import { MAX_TEXT_LENGTH, type Request } from './requests.ts';

export interface OperationOptions<P, R> extends LockOptions {
  readonly resource: string;
  /** Under the lock, so that what it finds stays as it is. Has no effects. */
  propose(): Promise<Proposal<P>>;
  /** Asks the leader before it does anything else. `signal`: the lock is lost, or the time is over; what is left is to be left. */
  execute(
    proposal: P,
    under: { readonly fence: NonNullable<Request['fence']>; readonly signal: AbortSignal },
  ): Promise<R>;
  /** Of execute. */
  readonly timeoutMs: number;
}

export type Proposal<P> =
  | { readonly kind: 'proposed'; readonly proposal: P /** For people. */; readonly what: string }
  | { readonly kind: 'refused'; readonly why: string };

/** In the log: RequestAnswered for lock-refused, OperationEnded for all others. */
export type OperationOutcome<R> =
  | { readonly kind: 'done'; readonly result: R }
  | { readonly kind: 'lock-refused'; readonly why: string }
  /** By `propose`, or by the leader when `execute` asked it for what was proposed. */
  | { readonly kind: 'proposal-refused'; readonly why: string }
  | { readonly kind: 'failed'; readonly cause: unknown }
  | { readonly kind: 'timed-out'; readonly cause: unknown }
  /** The lock was lost in the middle, or no leader answered: what was done is to be read from how things are. */
  | { readonly kind: 'interrupted'; readonly why: string };

type End = Exclude<Extract<LedEvent, { type: 'OperationEnded' }>['outcome'], 'interrupted'>;

export async function coordinate<P, R>(asker: Asker, options: OperationOptions<P, R>): Promise<OperationOutcome<R>> {
  const { resource } = options;
  const asked = await acquireLock(asker, resource, options);
  if (asked.kind === 'refused') return { kind: 'lock-refused', why: asked.why };
  const { lock } = asked;
  const renewing = keepRenewed(lock, options.ttlMs);
  try {
    return await underLock(asker, lock, options);
  } catch (error) {
    if (error instanceof Interrupted) return { kind: 'interrupted', why: error.message };
    throw error;
  } finally {
    await renewing.stop();
  }
}

async function underLock<P, R>(
  asker: Asker,
  lock: Lock,
  options: OperationOptions<P, R>,
): Promise<OperationOutcome<R>> {
  const { resource, token } = lock;
  const tell = (wish: { kind: 'start'; what: string } | { kind: 'end'; outcome: End; text: string }) =>
    told(askUnderLock(asker, { ...wish, resource, token }));
  const end = (outcome: End, text: string) => tell({ kind: 'end', outcome, text: text.slice(0, MAX_TEXT_LENGTH) });

  let proposed: Proposal<P>;
  try {
    proposed = await options.propose();
  } catch (cause) {
    await end('failed', textOf(cause));
    return { kind: 'failed', cause };
  }
  if (proposed.kind === 'refused') {
    await end('refused', proposed.why);
    return { kind: 'proposal-refused', why: proposed.why };
  }
  const { proposal, what } = proposed;
  await tell({ kind: 'start', what: what.slice(0, MAX_TEXT_LENGTH) });
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signal = AbortSignal.any([lock.lost, timeout]);
  try {
    const result = await options.execute(proposal, { fence: { resource, token }, signal });
    await end('done', what);
    return { kind: 'done', result };
  } catch (cause) {
    if (cause instanceof Interrupted) throw cause;
    if (lock.lost.aborted) throw new Interrupted((lock.lost.reason as Error).message);
    if (!timeout.aborted && cause instanceof WeirError && cause.code === 'REQUEST_REFUSED') {
      await end('refused', cause.message);
      return { kind: 'proposal-refused', why: cause.message };
    }
    const outcome = timeout.aborted ? 'timed-out' : 'failed';
    await end(outcome, textOf(cause));
    return { kind: outcome, cause };
  }
}

/** Ends the operation without a word of ours in the log: the leader's is `interrupted`. */
class Interrupted extends Error {}

/** Refused: the token is not the latest any more. Unanswered: it will not be for long. */
async function told(asked: ReturnType<typeof askUnderLock>): Promise<void> {
  let answer: Awaited<typeof asked>;
  try {
    answer = await asked;
  } catch (error) {
    if (error instanceof WeirError && error.code === 'REQUEST_UNANSWERED') throw new Interrupted(error.message);
    throw error;
  }
  if (answer.kind === 'refused') throw new Interrupted(answer.why);
}

/** Three times within the time of the lock. */
function keepRenewed(lock: Lock, ttlMs: number): { stop(): Promise<void> } {
  let renewal: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    // Unanswered: `lost` tells, in its time.
    renewal = renewal.then(() => (lock.lost.aborted ? false : lock.renew())).catch(() => false);
  }, ttlMs / 3);
  return {
    async stop() {
      clearInterval(timer);
      await renewal;
    },
  };
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
