/**
 * The leader's side of the locks (`src/coordination/locks.ts`): it grants them in the order of the log, and ends those that are not renewed in time. Which locks
 * are held and who waits is in the log. Only the leader knows how much time a lock has left, so a new leader gives every lock its whole time again.
 */
import type { LedEvent } from '../coordination/events.ts';
import type { LockWish, Request } from '../coordination/requests.ts';
import type { ControlState, HeldLock, WaitingClaim } from '../coordination/state.ts';
import type { RequestVerdict } from './request-verdict.ts';

/** Further requests are refused. */
const MAX_WAITING = 1_000;

export class LockDesk {
  readonly #now: () => number;
  /** By token: Unix ms at which the lock ends if it is not renewed. */
  readonly #endsAt = new Map<number, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A leadership begins. */
  begin(): void {
    this.#endsAt.clear();
  }

  judge(state: ControlState, request: Request, wish: LockWish): RequestVerdict {
    if (wish.kind === 'acquire') return this.#acquire(state, request, wish);
    const { resource, token } = wish;
    const held = state.locks.get(resource);
    if (held?.token !== token) return refused(staleText(resource, token, held?.token));
    const led = { version: 1, at: this.#now(), resource, token } as const;
    switch (wish.kind) {
      case 'renew':
        this.#endsAt.set(token, this.#now() + held.ttlMs);
        return { outcome: 'accepted', text: `${resource} is held on` };
      case 'release': {
        const events = this.#giveUp(resource, held, 'released');
        return { outcome: 'accepted', text: `${resource} is released`, events };
      }
      case 'start': {
        if (held.operation) return refused(`under token ${token} another operation goes on: ${held.operation.what}`);
        const events: LedEvent[] = [{ type: 'OperationStarted', ...led, what: wish.what }];
        return { outcome: 'accepted', text: `${wish.what} has begun`, events };
      }
      case 'end': {
        const { outcome, text } = wish;
        const ended: LedEvent = { type: 'OperationEnded', ...led, outcome, text };
        const events = [ended, this.#release(resource, token, 'released')];
        return { outcome: 'accepted', text: `it is noted: ${outcome}`, events };
      }
    }
  }

  #acquire(
    { locks, waiting }: ControlState,
    { id, member, expiresAt }: Request,
    { resource, ttlMs, wait }: Extract<LockWish, { kind: 'acquire' }>,
  ): RequestVerdict {
    const held = locks.get(resource);
    const claim = { resource, requestId: id, holder: member, ttlMs };
    const inLine = waiting.filter((other) => other.resource === resource);
    if (!held && inLine.length === 0)
      return { outcome: 'accepted', text: `${resource} is granted`, events: [this.#grant(claim)] };
    // A request that was sent twice has its place already.
    if (inLine.some(({ requestId }) => requestId === id)) return { outcome: 'queued', text: 'it waits' };
    const by = held ? `${held.holder} holds ${resource}` : `others wait for ${resource}`;
    if (!wait) return refused(by);
    if (waiting.length >= MAX_WAITING) return refused(`${by}, and ${MAX_WAITING} requests wait already`);
    const queued: LedEvent = { type: 'LockQueued', version: 1, at: this.#now(), ...claim, until: expiresAt };
    return { outcome: 'queued', text: `${by}: it waits in line`, events: [queued] };
  }

  /** The events that time has made due. To be called again once they are written, until there are none. */
  due({ locks, waiting }: ControlState): LedEvent[] {
    const now = this.#now();
    const tokens = new Set([...locks.values()].map(({ token }) => token));
    for (const token of this.#endsAt.keys()) if (!tokens.has(token)) this.#endsAt.delete(token);
    const events: LedEvent[] = [];
    for (const [resource, held] of locks) {
      const { token, ttlMs } = held;
      const endsAt = this.#endsAt.get(token) ?? now + ttlMs;
      this.#endsAt.set(token, endsAt);
      if (now >= endsAt) events.push(...this.#giveUp(resource, held, 'expired'));
    }
    const taken = new Set(locks.keys());
    for (const claim of waiting) {
      const { resource, requestId: id } = claim;
      if (now >= claim.until) {
        events.push(this.#answer(id, 'expired', lapsedText(resource, locks.get(resource))));
        continue;
      }
      if (taken.has(resource)) continue;
      taken.add(resource);
      events.push(this.#grant(claim), this.#answer(id, 'accepted', `${resource} is granted`));
    }
    return events;
  }

  #grant({ resource, requestId, holder, ttlMs }: Omit<WaitingClaim, 'until'>): LedEvent {
    return { type: 'LockGranted', version: 1, at: this.#now(), resource, requestId, holder, ttlMs };
  }

  /** Releases the lock. An operation under it whose end was not reported is noted as interrupted. */
  #giveUp(resource: string, { token, holder, operation }: HeldLock, how: 'released' | 'expired'): LedEvent[] {
    const release = this.#release(resource, token, how);
    if (!operation) return [release];
    const text = how === 'expired' ? `nothing more was heard of ${holder}` : `${holder} has left it`;
    const of = { version: 1, at: this.#now(), resource, token } as const;
    return [{ type: 'OperationEnded', ...of, outcome: 'interrupted', text }, release];
  }

  #release(resource: string, token: number, how: 'released' | 'expired'): LedEvent {
    return { type: 'LockReleased', version: 1, at: this.#now(), resource, token, how };
  }

  #answer(id: string, outcome: 'accepted' | 'expired', text: string): LedEvent {
    return { type: 'RequestAnswered', version: 1, at: this.#now(), id, outcome, text };
  }
}

/** Why a request under this lock is refused; null: its token is the resource's latest, or it is under no lock. */
export function fencedOff({ locks }: Pick<ControlState, 'locks'>, fence: Request['fence']): string | null {
  if (!fence) return null;
  const latest = locks.get(fence.resource)?.token;
  return latest === fence.token ? null : staleText(fence.resource, fence.token, latest);
}

/** `held`: that is in the way; undefined: others were before it. */
function lapsedText(resource: string, held: HeldLock | undefined): string {
  if (!held) return `${resource} did not come free in time: others were before it`;
  const what = held.operation ? ` for "${held.operation.what}"` : '';
  return `${resource} did not come free in time: ${held.holder} holds it${what}`;
}

function staleText(resource: string, token: number, latest: number | undefined): string {
  const now = latest === undefined ? 'nobody holds it now' : `the latest is ${latest}`;
  return `token ${token} of ${resource} is not valid any more: ${now}`;
}

function refused(text: string): RequestVerdict {
  return { outcome: 'refused', text };
}
