import type { CommitOutcome } from '../port.ts';
import { asError, denied, type Fault } from './outcomes.ts';

/** Who may do what with a sink, and when: it takes one transaction at a time, and none after one that failed. */
export class CommitState {
  readonly #fencingKey: string;
  #state: 'open' | 'committing' | 'dead' = 'open';
  #committing: Promise<CommitOutcome> | undefined;

  constructor(fencingKey: string) {
    this.#fencingKey = fencingKey;
  }

  mustBeOpen(): void {
    if (this.#state === 'open') return;
    throw new Error(`sink ${this.#fencingKey} is used while ${this.#state}`);
  }

  /** `faultOf`: what an error of `transact` means. Never throws what it throws. */
  commit(transact: () => Promise<void>, faultOf: (error: unknown) => Fault): Promise<CommitOutcome> {
    this.#state = 'committing';
    this.#committing = this.#outcomeOf(transact, faultOf);
    return this.#committing;
  }

  /** After a commit under way. */
  async end(): Promise<void> {
    await this.#committing;
    this.#state = 'dead';
  }

  async #outcomeOf(transact: () => Promise<void>, faultOf: (error: unknown) => Fault): Promise<CommitOutcome> {
    try {
      await transact();
      this.#state = 'open';
      return { kind: 'committed' };
    } catch (thrown) {
      this.#state = 'dead';
      const cause = asError(thrown);
      const fault = faultOf(thrown);
      // `rejoin`: the group has gone on without the tenure. The transactional id is still this sink's own, so closing ends the
      // transaction; where it is not the broker refuses that, too.
      if (fault === 'fenced' || fault === 'rejoin') return { kind: 'fenced', cause };
      return {
        kind: 'reopen',
        cause: fault === 'denied' ? denied(`what a commit of ${this.#fencingKey} does`, cause) : cause,
      };
    }
  }
}

/** Below the transaction's own limit, so that an unanswered request ends before the broker aborts. */
export const commitTimeoutMs = (transactionTimeoutMs: number, requestTimeoutMs: number): number =>
  Math.min(requestTimeoutMs, Math.ceil((transactionTimeoutMs * 2) / 3));
