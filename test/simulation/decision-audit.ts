/** What must hold of the leaders' decisions: none is repeated, whoever leads; and what they have changed, which a run of many seeds shows to have been there. */
import { decodeDecision } from '../../src/control/decision.ts';
import type { ControlEvent, DecisionMade } from '../../src/coordination/events.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import type { ProposedRing } from '../../src/coordination/state.ts';
import { hashOfText } from '../../src/kernels/hash/kernel.ts';
import { BY_TRACE_ID } from '../../src/kernels/split/kernel.ts';

/** The statuses of its records on `weir.decisions`, in order; one that is still on its way has not come to the end. */
const LIFE = /^(emitted|proposed(, abandoned|, applied(, (verified|reversed))?)?)$/;

export class DecisionAudit {
  /** Of those in force: how many were of which kind. */
  readonly counts = {
    'slot moves decided': 0,
    'splits decided': 0,
    'merges decided': 0,
    'keys isolated': 0,
    'keys spread': 0,
    'isolations undone': 0,
    'spreads undone': 0,
  };
  readonly #violated: (what: string) => void;
  readonly #made = new Set<string>();
  /** By subject: the last decision, and whether its condition has cleared since. */
  readonly #subjects = new Map<string, { readonly last: DecisionMade; cleared: boolean }>();

  constructor(violated: (what: string) => void) {
    this.#violated = violated;
  }

  take(event: ControlEvent): void {
    if (event.type === 'DecisionMade') this.#check(event);
    if (event.type === 'ConditionCleared') {
      const of = this.#subjects.get(`${event.kind} ${event.subject}`);
      if (of) of.cleared = true;
    }
  }

  /** A change is in force. */
  changed({ decisionId, abandons, change, before }: ProposedRing): void {
    const of = change.traces;
    if (decisionId === null || abandons !== null || !of) return;
    for (const { keyHash, shard } of of.overrides)
      this.counts[ofKey(shard, before.signals.traces, hashOfText(keyHash))]++;
    if (of.overrides.length > 0) return;
    if (of.added.length > 0) this.counts['splits decided']++;
    else if (of.retired.length > 0) this.counts['merges decided']++;
    else this.counts['slot moves decided']++;
  }

  #check(event: DecisionMade): void {
    const key = `${event.kind} ${event.subject}`;
    const before = this.#subjects.get(key);
    if (this.#made.has(event.id)) this.#violated(`decision ${event.id} is made twice`);
    this.#made.add(event.id);
    // What takes the last one back is made as soon as that is judged.
    const isReversal = event.fingerprint.startsWith('reverse ');
    if (before && !isReversal && event.at < before.last.until)
      this.#violated(`decision ${event.id} on ${key} is made ${before.last.until - event.at} ms too early`);
    if (before && !before.cleared && before.last.fingerprint === event.fingerprint)
      this.#violated(`decision ${event.id} on ${key} repeats ${before.last.id}`);
    this.#subjects.set(key, { last: event, cleared: false });
  }

  /** `records`: all of `weir.decisions`. */
  finish(records: readonly Uint8Array[]): void {
    const seen = new Map<string, string[]>();
    for (const value of records) {
      const decision = decodeDecision(value);
      if (!decision) continue;
      const statuses = seen.get(decision.id) ?? [];
      seen.set(decision.id, statuses);
      statuses.push(decision.status);
    }
    for (const id of this.#made) {
      const statuses = seen.get(id)?.join(', ') ?? 'nothing';
      if (!LIFE.test(statuses)) this.#violated(`decision ${id} is on record as ${statuses}`);
    }
  }
}

function ofKey(
  to: number | typeof BY_TRACE_ID | null,
  before: SignalRing,
  hash: bigint,
): keyof DecisionAudit['counts'] {
  if (to !== null) return to === BY_TRACE_ID ? 'keys spread' : 'keys isolated';
  return before.overrides.get(hash) === BY_TRACE_ID ? 'spreads undone' : 'isolations undone';
}
