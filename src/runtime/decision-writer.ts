/**
 * How the leader's decisions come to be in the log: one transaction with their records on `weir.decisions`, the events by which a later leader
 * repeats none of them, and the ring epoch that one of them leads to.
 */
import type { Config } from '../config.ts';
import { byHandText } from '../control/by-hand.ts';
import type { Action, Decided } from '../control/decide.ts';
import type { Decision, DecisionStamp } from '../control/decision.ts';
import type { Verification } from '../control/verify.ts';
import type { LedEvent } from '../coordination/events.ts';
import type { Leadership } from '../coordination/leadership.ts';
import type { CommitOutcome, KafkaPort } from '../kafka/port.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Names } from '../names.ts';
import { decisionRecord, findDecision } from './decision-records.ts';
import type { ProposalOutcome, Proposed, RingProposals } from './ring-proposals.ts';

export interface DecisionWriterOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly proposals: RingProposals;
}

/** Said again after this. */
const FAILURE_AGAIN_MS = 60_000;

export class DecisionWriter {
  readonly #options: DecisionWriterOptions;
  /** Decisions of this leadership. */
  #count = 0;
  /** Unix ms of the last word about one that could not be prepared. */
  #failureSaidAt = 0;

  constructor(options: DecisionWriterOptions) {
    this.#options = options;
  }

  /** A leadership begins. */
  begin(): void {
    this.#count = 0;
  }

  async write(
    lead: Leadership,
    { actions, cleared, verification }: Decided,
    { at, inputOffset }: Pick<DecisionStamp, 'inputOffset'> & { /** Unix ms. */ readonly at: number },
  ): Promise<CommitOutcome> {
    if (actions.length === 0 && cleared.length === 0 && !verification) return { kind: 'committed' };
    const { names, metrics, log } = this.#options;
    let judged: Judged | null;
    try {
      judged = verification && (await this.#judged(verification, at));
    } catch (err) {
      log.warn({ err }, 'the decision whose moves were judged could not be read again: deciding at a later tick');
      return { kind: 'committed' };
    }
    const stamp = { at, inputOffset, ringEpoch: lead.state.ring!.epoch, leaderEpoch: lead.leaderEpoch };
    const { made, ringProposed } = await this.#made(lead, actions, stamp);
    const decisions = made.map(({ decision }) => decision);
    const events = [
      ...(judged ? [judged.event] : []),
      ...(ringProposed ? [ringProposed] : []),
      ...made.map(({ action: { fingerprint, until }, decision: { id, kind, subject } }): LedEvent => {
        return { type: 'DecisionMade', version: 1, at, id, kind, subject, fingerprint, until, inputOffset };
      }),
      ...cleared.map(({ kind, subject }): LedEvent => ({ type: 'ConditionCleared', version: 1, at, kind, subject })),
    ];
    if (events.length === 0) return { kind: 'committed' };
    const written = judged?.decision ? [judged.decision, ...decisions] : decisions;
    const outcome = await lead.write({ events, records: written.map((decision) => decisionRecord(names, decision)) });
    if (outcome.kind !== 'committed') return outcome;
    if (verification) {
      const { plan, measured, reversal } = verification;
      const { decisionId: id, from, to } = plan;
      log.info({ id, from, to, measured, reversed: reversal !== null }, 'the moves of a decision were judged');
    }
    for (const { id, kind, subject, action, reasons, notApplied } of decisions) {
      metrics.decisions.inc({ kind });
      log.info({ id, kind, subject, action, reason: reasons[0]!.text, notApplied }, 'decided');
    }
    return outcome;
  }

  /** At most one of them leads to a ring epoch. One that cannot be prepared now is left out, and so made at a later tick. */
  async #made(
    lead: Leadership,
    actions: readonly Action[],
    { at, ...stamp }: Pick<DecisionStamp, 'ringEpoch' | 'leaderEpoch' | 'inputOffset'> & { readonly at: number },
  ): Promise<{ made: Made[]; ringProposed: Proposed | null }> {
    const { proposals, config } = this.#options;
    const made: Made[] = [];
    let ringProposed: Proposed | null = null;
    for (const action of actions) {
      const { proposal } = action;
      const id = `${lead.leaderEpoch}-${this.#count + 1}`;
      const carryOut: boolean = ringProposed === null && this.#applies(action);
      const outcome: ProposalOutcome | null = carryOut ? await proposals.ofDecision(lead.state, proposal, id) : null;
      if (outcome?.kind === 'failed') {
        this.#sayFailed(action, outcome.text, at);
        continue;
      }
      this.#count++;
      if (outcome?.kind === 'proposed') ringProposed = outcome.proposal;
      if (outcome?.kind === 'refused')
        this.#options.log.warn({ id, kind: proposal.kind }, `decision ${id} is not carried out: ${outcome.text}`);
      const status = outcome?.kind === 'proposed' ? 'proposed' : 'emitted';
      const notApplied =
        outcome?.kind === 'refused' ? outcome.text : byHandText(proposal, config.control, lead.state.ring!);
      const decidedAt = new Date(at).toISOString();
      const why = notApplied === null ? {} : { notApplied };
      const decision = { version: 1, id, ...proposal, ...stamp, at: decidedAt, status, ...why } as const;
      made.push({ action, decision });
    }
    return { made, ringProposed };
  }

  #applies({ proposal }: Action): boolean {
    const { rebalance, capacity } = this.#options.config.control;
    return proposal.kind === 'capacity' ? capacity.apply : rebalance.apply;
  }

  #sayFailed({ proposal: { kind, subject, action } }: Action, text: string, at: number): void {
    if (at - this.#failureSaidAt < FAILURE_AGAIN_MS) return;
    this.#failureSaidAt = at;
    this.#options.log.warn({ kind, subject, action }, `what was to be decided waits: ${text}`);
  }

  /** The judged decision once more, with what became of it. */
  async #judged({ plan, measured, reversal }: Verification, at: number): Promise<Judged> {
    const { port, names } = this.#options;
    const { epoch, decisionId } = plan;
    const reversed = reversal !== null;
    const event = { type: 'PlanVerified', version: 1, at, epoch, decisionId, measured, reversed } as const;
    const found = await findDecision(port, names, decisionId);
    if (found?.kind !== 'rebalance' && found?.kind !== 'hot_key') return { event, decision: null };
    return { event, decision: { ...found, measured, status: reversed ? 'reversed' : 'verified' } };
  }
}

interface Made {
  readonly action: Action;
  readonly decision: Decision;
}

interface Judged {
  readonly event: LedEvent;
  /** null: it is too far back. */
  readonly decision: Decision | null;
}
