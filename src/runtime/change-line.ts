/**
 * The line of those who want to change the ring: one change is in flight at a time, the others wait in the control log and come to their turn in
 * the order in which they were asked for, under this leader or another.
 *
 * What is asked is looked at when its turn has come, not before: the shard that it names may be made by the change ahead of it, or be gone.
 */
import type { LedEvent } from '../coordination/events.ts';
import type { Leadership } from '../coordination/leadership.ts';
import type { Request } from '../coordination/requests.ts';
import type { ControlState } from '../coordination/state.ts';
import { MAX_WAITING_CHANGES } from '../coordination/subjects/waiting-changes.ts';
import { type ChangeWish, wishText } from '../coordination/wishes.ts';
import type { CommitOutcome } from '../kafka/port.ts';
import type { Log } from '../log.ts';
import { fencedOff } from './lock-desk.ts';
import { type RequestVerdict, verdictOf } from './request-verdict.ts';
import type { RingProposals } from './ring-proposals.ts';

export interface ChangeLineOptions {
  readonly proposals: RingProposals;
  readonly log: Log;
  readonly now: () => number;
}

export class ChangeLine {
  readonly #options: ChangeLineOptions;

  constructor(options: ChangeLineOptions) {
    this.#options = options;
  }

  /** A request that has just come: proposed at once where nothing is ahead of it. */
  async judge(
    state: ControlState,
    { id: requestId, member, fence, expiresAt: until }: Request,
    wish: ChangeWish,
  ): Promise<RequestVerdict> {
    const { proposed, waitingChanges } = state;
    // Sent twice: it has its place.
    if (waitingChanges.some((of) => of.requestId === requestId)) return { outcome: 'queued', text: 'it waits already' };
    if (!proposed && waitingChanges.length === 0) return verdictOf(await this.#options.proposals.ofWish(state, wish));
    const ahead = aheadText(state);
    if (waitingChanges.length >= MAX_WAITING_CHANGES)
      return {
        outcome: 'refused',
        text: `${ahead}, and ${MAX_WAITING_CHANGES} more wait, which is as many as may: ask again later; \`weir inspect ring\` shows what it waits for, \`weir shards abandon\` and \`weir shards cancel\` take changes back`,
      };
    const at = this.#options.now();
    const queued: LedEvent = { type: 'ChangeQueued', version: 1, at, requestId, member, wish, fence, until };
    return { outcome: 'queued', text: `${ahead}: it waits`, events: [queued] };
  }

  /** Answers those whose time is over, and proposes the next one when nothing is in flight. */
  async advance(lead: Leadership): Promise<CommitOutcome> {
    for (;;) {
      const verdict = await this.#next(lead.state);
      if (!verdict) return { kind: 'committed' };
      const { of, outcome, text, proposal } = verdict;
      const { requestId: id } = of;
      const events: LedEvent[] = [
        ...(proposal ? [{ ...proposal, requestId: id }] : []),
        { type: 'RequestAnswered', version: 1, at: this.#options.now(), id, outcome, text, ringEpoch: proposal?.epoch },
      ];
      const written = await lead.write({ events });
      if (written.kind !== 'committed') return written;
      this.#options.log.info(
        { id, outcome, ringEpoch: proposal?.epoch },
        `${wishText(of.wish)}, which waited: ${text}`,
      );
    }
  }

  /** null: all that wait have to wait on. */
  async #next(state: ControlState) {
    const { proposed, waitingChanges } = state;
    const now = this.#options.now();
    const lapsed = waitingChanges.find(({ until }) => now >= until);
    if (lapsed) {
      const text = `its turn had not come when it lapsed: ${aheadText(state)}; ask again`;
      return { of: lapsed, outcome: 'expired', text, proposal: undefined } as const;
    }
    const [of] = waitingChanges;
    if (proposed || !of) return null;
    const stale = fencedOff(state, of.fence);
    if (stale) return { of, outcome: 'refused', text: stale, proposal: undefined } as const;
    return { of, ...verdictOf(await this.#options.proposals.ofWish(state, of.wish)) };
  }
}

function aheadText({ proposed, waitingChanges }: ControlState): string {
  if (proposed) return `ring epoch ${proposed.ring.epoch} is in flight (${proposed.reason})`;
  return `${waitingChanges.length} ${waitingChanges.length === 1 ? 'change is' : 'changes are'} ahead of it`;
}
