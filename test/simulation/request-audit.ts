/** What the leader may make of requests and locks, held against what was really asked. */
import type { ControlEvent } from '../../src/coordination/events.ts';
import type { Request } from '../../src/coordination/requests.ts';

export class RequestAudit {
  readonly #violated: (what: string) => void;
  /** By id: what was asked, and how often. */
  readonly #asked = new Map<string, { readonly request: Request; times: number }>();
  /** By id: what was answered first, and how often. */
  readonly #answers = new Map<string, { readonly outcome: string; times: number }>();
  /** By id: that it has led to a proposal or a lock. */
  readonly #granted = new Set<string>();
  /** By resource: of the latest grant, whether it still holds or not. */
  readonly #latest = new Map<string, number>();
  readonly #ended = new Set<number>();
  /** Requests that were accepted, or refused, under a token. */
  readonly counts = { accepted: 0, refused: 0 };

  constructor(violated: (what: string) => void) {
    this.#violated = violated;
  }

  hear(request: Request): void {
    const asked = this.#asked.get(request.id);
    if (asked) asked.times++;
    else this.#asked.set(request.id, { request, times: 1 });
  }

  /** Requests without an answer, or with more than they were sent: one that comes again while it waits is answered with the first. */
  get unanswered(): readonly string[] {
    return [...this.#asked].flatMap(([id, { times }]) => {
      const answers = this.#answers.get(id)?.times ?? 0;
      return answers >= 1 && answers <= times
        ? []
        : [`request ${id} was sent ${times} times and answered ${answers} times`];
    });
  }

  take(event: ControlEvent, offset: bigint): void {
    switch (event.type) {
      case 'RingProposed':
        if (event.requestId !== undefined) this.#grant(event.requestId);
        break;
      case 'LockGranted':
        this.#grant(event.requestId);
        this.#latest.set(event.resource, Number(offset));
        break;
      case 'LockReleased':
        this.#mustBeLatest(event, `${event.type} at offset ${offset}`);
        this.#ended.add(event.token);
        break;
      case 'OperationStarted':
      case 'OperationEnded':
        this.#mustBeLatest(event, `${event.type} at offset ${offset}`);
        break;
      case 'RequestAnswered':
        this.#answer(event);
    }
  }

  /** Once, and not after it was answered. */
  #grant(id: string): void {
    if (this.#granted.has(id)) this.#violated(`request ${id} is granted twice`);
    if (this.#answers.has(id)) this.#violated(`request ${id} is granted after it was answered`);
    this.#granted.add(id);
  }

  #answer({ id, outcome }: Extract<ControlEvent, { type: 'RequestAnswered' }>): void {
    const before = this.#answers.get(id);
    if (before) {
      before.times++;
      if (before.outcome !== outcome) this.#violated(`request ${id} is first ${before.outcome}, then ${outcome}`);
      return;
    }
    this.#answers.set(id, { outcome, times: 1 });
    const { fence, wish } = this.#asked.get(id)!.request;
    const tokens = [...(fence ? [fence] : []), ...('token' in wish ? [wish] : [])];
    if (tokens.length === 0) return;
    this.counts[outcome === 'accepted' ? 'accepted' : 'refused']++;
    if (outcome !== 'accepted') return;
    for (const under of tokens) this.#mustBeLatest(under, `request ${id} (${wish.kind})`);
    // What ends the lock has ended it by now.
    if (wish.kind !== 'release' && wish.kind !== 'end')
      for (const { token } of tokens)
        if (this.#ended.has(token))
          this.#violated(`request ${id} (${wish.kind}) is accepted under ${token}, which is over`);
  }

  #mustBeLatest({ resource, token }: { resource: string; token: number }, what: string): void {
    const latest = this.#latest.get(resource);
    if (token !== latest)
      this.#violated(`${what} is accepted under token ${token} of ${resource}, whose latest is ${latest}`);
  }
}
