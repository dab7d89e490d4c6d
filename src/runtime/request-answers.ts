/** How the leader answers what is asked of it: each request goes to whom it concerns, and each is answered once. */
import type { LedEvent } from '../coordination/events.ts';
import type { Leadership } from '../coordination/leadership.ts';
import type { ControlState } from '../coordination/state.ts';
import type { CommitOutcome } from '../kafka/port.ts';
import type { Log } from '../log.ts';
import type { ChangeLine } from './change-line.ts';
import { fencedOff, type LockDesk } from './lock-desk.ts';
import type { Asked } from './request-desk.ts';
import { type RequestVerdict, verdictOf } from './request-verdict.ts';
import type { RingActivation } from './ring-activation.ts';
import type { RingProposals } from './ring-proposals.ts';

export interface RequestAnswersOptions {
  readonly locks: LockDesk;
  readonly line: ChangeLine;
  readonly proposals: RingProposals;
  readonly activation: Pick<RingActivation, 'cutShort'>;
  readonly log: Log;
  readonly now: () => number;
}

export class RequestAnswers {
  readonly #options: RequestAnswersOptions;

  constructor(options: RequestAnswersOptions) {
    this.#options = options;
  }

  /** Answer, proposal and the request's offset go out in one transaction. */
  async answer(lead: Leadership, { decoded, cancelled, next }: Asked): Promise<CommitOutcome> {
    const { log, now } = this.#options;
    if (decoded.kind === 'unreadable' && decoded.id === null) {
      log.warn({ offset: String(next.offset - 1n), topic: next.topic }, `left out: ${decoded.text}`);
      return lead.write({ offsets: [next] });
    }
    const id = decoded.kind === 'request' ? decoded.request.id : decoded.id!;
    // A request that comes again is answered again, not granted again.
    const before = lead.state.answers.get(id);
    const verdict: RequestVerdict = before ?? (await this.#judge(lead.state, decoded, cancelled));
    const { outcome, text, proposal, ringEpoch = proposal?.epoch, records = [] } = verdict;
    const events: LedEvent[] = [...(verdict.events ?? []), ...(proposal ? [{ ...proposal, requestId: id }] : [])];
    if (outcome !== 'queued')
      events.push({ type: 'RequestAnswered', version: 1, at: now(), id, outcome, text, ringEpoch });
    const written = await lead.write({ events, records, offsets: [next] });
    if (written.kind === 'committed') log.info({ id, outcome, ...(proposal && { ringEpoch }) }, `request: ${text}`);
    return written;
  }

  async #judge(state: ControlState, decoded: Asked['decoded'], cancelled: boolean): Promise<RequestVerdict> {
    if (decoded.kind === 'unreadable') return { outcome: 'refused', text: decoded.text };
    const { request } = decoded;
    const { wish } = request;
    const { locks, line, now } = this.#options;
    if (wish.kind === 'cancel') return this.#cancel(state, wish.id);
    if (cancelled) return CANCELLED;
    if (now() >= request.expiresAt)
      return { outcome: 'expired', text: 'it had lapsed before a leader came to it; ask again' };
    const stale = fencedOff(state, request.fence);
    if (stale) return { outcome: 'refused', text: stale };
    switch (wish.kind) {
      case 'acquire':
      case 'renew':
      case 'release':
      case 'start':
      case 'end':
        return locks.judge(state, request, wish);
      case 'abandon':
        return this.#abandon(state);
      default:
        return line.judge(state, request, wish);
    }
  }

  /** The change in flight; once all have adopted it only its copying can be ended. */
  async #abandon(state: ControlState): Promise<RequestVerdict> {
    const { proposals, activation } = this.#options;
    const { proposed } = state;
    if (!proposed || proposed.adoptedAt === null) return verdictOf(proposals.ofAbandon(state));
    const { epoch } = proposed.ring;
    const text = `all partitions have adopted ring epoch ${epoch}: it is active with what is copied so far`;
    try {
      return { outcome: 'accepted', text, ringEpoch: epoch, ...(await activation.cutShort(proposed)) };
    } catch (error) {
      return { outcome: 'refused', text: `its decision cannot be read: ${(error as Error).message}` };
    }
  }

  #cancel({ waiting, waitingChanges, answers }: ControlState, id: string): RequestVerdict {
    const answer = answers.get(id);
    if (answer?.outcome === 'cancelled') return { outcome: 'accepted', text: `request ${id} is cancelled` };
    if (answer)
      return { outcome: 'refused', text: `request ${id} has been answered already: ${answer.outcome}, ${answer.text}` };
    if (![...waiting, ...waitingChanges].some(({ requestId }) => requestId === id))
      return { outcome: 'refused', text: `no request ${id} waits; \`weir inspect ring\` shows the changes that do` };
    const events: LedEvent[] = [{ type: 'RequestAnswered', version: 1, at: this.#options.now(), id, ...CANCELLED }];
    return { outcome: 'accepted', text: `request ${id} is cancelled`, events };
  }
}

const CANCELLED = {
  outcome: 'cancelled',
  text: 'it was cancelled before it was granted: nothing has changed',
} as const;
