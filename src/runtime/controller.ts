/**
 * The controller: watches the load, joins the election and, while it leads, decides. Per tick: answer requests -> see to the proposed ring epoch ->
 * note who came and went -> observe -> decide -> one transaction with the decisions, and with the events by which a later leader repeats none of them. All of it one
 * after the other, so that each step knows what the one before has written.
 */
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { type Condition, type Decided, decide, type Verdict } from '../control/decide.ts';
import type { Decision, DecisionStamp } from '../control/decision.ts';
import type { Verification } from '../control/verify.ts';
import { followControlLog } from '../coordination/control-log.ts';
import { type LedEvent, ringActiveEvent } from '../coordination/events.ts';
import { firstRing, requireSameRouting } from '../coordination/first-ring.ts';
import { electLeader, type Leadership } from '../coordination/leader.ts';
import type { RingEpoch } from '../coordination/ring-epoch.ts';
import { readSnapshot, SNAPSHOT_EVENTS, snapshotRecord } from '../coordination/snapshot.ts';
import { WeirError } from '../errors.ts';
import type { CommitOutcome, KafkaPort } from '../kafka/port.ts';
import type { HashKernel } from '../kernels/hash/kernel.ts';
import type { RingKernel } from '../kernels/ring/kernel.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import type { SplitKernel } from '../kernels/split/kernel.ts';
import { lastingTrouble } from '../lasting-trouble.ts';
import type { Metrics } from '../metrics.ts';
import type { Names } from '../names.ts';
import { decisionRecord, findDecision } from './decision-records.ts';
import { LockDesk } from './lock-desk.ts';
import { MemberWatch } from './member-watch.ts';
import { type Observer, observe } from './observe.ts';
import { pastMovesOf, planInForce } from './past-moves.ts';
import { RequestDesk } from './request-desk.ts';
import { RingActivation } from './ring-activation.ts';
import { RingProposals } from './ring-proposals.ts';

export interface ControllerOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly config: Config;
  readonly kernels: {
    readonly ring: RingKernel;
    readonly hash: HashKernel;
    readonly score: ScoreKernel;
    readonly split: SplitKernel;
  };
  readonly metrics: Metrics;
  readonly log: Logger;
  /** As it shall appear in LeaderElected; unique among controllers. */
  readonly memberName: string;
  /** Unix ms. Default: the system's clock. */
  readonly now?: () => number;
  /** While this controller leads: called with each tick whose decisions, if any, are written. */
  readonly onTick?: (tick: Tick) => void;
}

export interface Tick {
  /** Unix ms: decide()'s now. */
  readonly at: number;
  /** Next offset of `weir.load`. */
  readonly inputOffset: number;
  /** What became of every wish. */
  readonly verdicts: readonly Verdict[];
}

export interface Controller {
  /** Resolves after `close()`; rejects when the controller cannot go on (unreadable control log, other routing, no authorisation). */
  readonly done: Promise<void>;
  close(): Promise<void>;
}

/** Resolves once the control log is read; the election goes on by itself. Throws ROUTING_MISMATCH and CONTROL_LOG_UNREADABLE. */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { port, names, config, kernels, metrics, log, memberName, now = Date.now } = options;
  const control = await followControlLog(port, names);
  const showRing = (ring: RingEpoch | null) => metrics.ringEpoch.set(ring?.epoch ?? 0);
  let observer: Observer;
  // As the group has it; but never sooner than a few reports are overdue.
  const timeoutMs = Math.max(config.kafka.sessionTimeoutMs, REPORTS_OVERDUE * config.load.reportIntervalMs);
  const members = new MemberWatch(timeoutMs);
  try {
    if (control.state.ring) requireSameRouting(config, control.state.ring, kernels.hash);
    observer = await observe(port, names, config, {
      now,
      onReport: (report) => members.hear(report, now()),
      log: (fields, text) => log.warn(fields, text),
    });
  } catch (error) {
    await control.close();
    throw error;
  }
  showRing(control.state.ring);
  control.onChange((state) => showRing(state.ring));
  metrics.leader.set(0);

  const duty = new Duty({ ...options, now }, observer, members);
  const election = electLeader({
    port,
    groupId: names.controlGroup,
    topic: names.control,
    fencingKey: names.leaderKey('control'),
    name: 'control',
    memberName,
    log: control,
    sessionTimeoutMs: config.kafka.sessionTimeoutMs,
    transactionTimeoutMs: config.kafka.transactionTimeoutMs,
    now,
    async onElected(lead) {
      metrics.leader.set(1);
      log.info({ leaderEpoch: lead.leaderEpoch }, 'elected: this controller leads');
      try {
        await duty.run(lead);
      } finally {
        metrics.leader.set(0);
        log.info({ leaderEpoch: lead.leaderEpoch }, 'no longer the leader');
      }
    },
    onTrouble: lastingTrouble(log, 'the leadership was given up, or Kafka makes trouble: joining again'),
  });

  const end = async () => {
    await election.close();
    await Promise.all([observer.close(), control.close()]);
  };
  const done = Promise.race([election.done, control.done, observer.done]);
  done.catch(() => {});
  let closing: Promise<void> | null = null;
  return {
    done,
    close() {
      closing ??= end();
      return closing;
    },
  };
}

/** Reports of a member that have to be missing before it counts as lost. */
const REPORTS_OVERDUE = 3;

/** What a leader does. */
class Duty {
  readonly #options: ControllerOptions & { readonly now: () => number };
  readonly #observer: Observer;
  readonly #members: MemberWatch;
  readonly #proposals: RingProposals;
  readonly #activation: RingActivation;
  readonly #locks: LockDesk;
  /** How far of the control log the newest snapshot holds. */
  #snapshotAt = 0n;

  constructor(options: ControllerOptions & { readonly now: () => number }, observer: Observer, members: MemberWatch) {
    this.#options = options;
    this.#observer = observer;
    this.#members = members;
    const { window } = observer;
    this.#locks = new LockDesk(options.now);
    this.#activation = new RingActivation({ ...options, kernel: options.kernels.split, window });
    const [locks, activation] = [this.#locks, this.#activation];
    this.#proposals = new RingProposals({ ...options, ring: options.kernels.ring, window, locks, activation });
  }

  async run(lead: Leadership): Promise<void> {
    const { config, kernels, now, log, port, names } = this.#options;
    if (!lead.state.ring) {
      const ring = firstRing(config, kernels.ring, kernels.hash);
      const outcome = await lead.write({ events: [ringActiveEvent(ring, now())] });
      // Committed, but ended before it was read back: the next leader has it.
      if (outcome.kind !== 'committed' || !lead.state.ring) return;
      log.info({ ringEpoch: ring.epoch }, 'wrote the first ring epoch');
    }
    // Written by a predecessor, maybe with another configuration.
    requireSameRouting(config, lead.state.ring, kernels.hash);
    let desk: RequestDesk;
    try {
      this.#snapshotAt = (await readSnapshot(port, names.snapshots))?.nextOffset ?? 0n;
      desk = await RequestDesk.open(port, names);
    } catch (err) {
      if (err instanceof WeirError) throw err;
      log.warn({ err }, 'the requests could not be read: giving up the leadership');
      return;
    }
    this.#members.begin(lead.state, now());
    this.#locks.begin();
    try {
      await this.#ticks(lead, desk);
    } finally {
      await desk.close();
    }
  }

  async #ticks(lead: Leadership, desk: RequestDesk): Promise<void> {
    const { config, kernels, now, onTick } = this.#options;
    let conditions: ReadonlyMap<string, Condition> = new Map();
    let count = 0;
    while (!lead.signal.aborted) {
      for (const asked of desk.take()) if ((await this.#proposals.answer(lead, asked)).kind !== 'committed') return;
      if ((await this.#seeToLocks(lead)).kind !== 'committed') return;
      if ((await this.#activation.advance(lead)).kind !== 'committed') return;
      if ((await this.#noteMembers(lead)).kind !== 'committed') return;
      if ((await this.#snapshot(lead)).kind !== 'committed') return;
      const at = now();
      const inputOffset = this.#observer.inputOffset;
      const { ring, decisions: last, changes } = lead.state;
      const load = this.#observer.window.view(at);
      const pastMoves = pastMovesOf(changes);
      const plan = config.control.rebalance.apply ? planInForce(lead.state) : null;
      const decided = decide({ ring, load, last, conditions, pastMoves, plan }, config.control, kernels.score, at);
      conditions = decided.conditions;
      if (decided.actions.length > 0 || decided.cleared.length > 0 || decided.verification) {
        const stamp = { at, inputOffset, ringEpoch: ring!.epoch, leaderEpoch: lead.leaderEpoch };
        const outcome = await this.#write(lead, decided, stamp, count);
        if (outcome.kind !== 'committed') return;
        count += decided.actions.length;
      }
      onTick?.({ at, inputOffset, verdicts: decided.reasons });
      await desk.arrival(config.control.tickMs, lead.signal);
    }
  }

  /** What has come free is granted at once. */
  async #seeToLocks(lead: Leadership): Promise<CommitOutcome> {
    for (;;) {
      const events = this.#locks.due(lead.state);
      if (events.length === 0) return { kind: 'committed' };
      const outcome = await lead.write({ events });
      if (outcome.kind !== 'committed') return outcome;
    }
  }

  async #noteMembers(lead: Leadership): Promise<CommitOutcome> {
    const { log, now } = this.#options;
    const { members } = lead.state;
    const news = this.#members.news(lead.state, now());
    if (news.length === 0) return { kind: 'committed' };
    const outcome = await lead.write({ events: news });
    if (outcome.kind !== 'committed') return outcome;
    for (const event of news) {
      const role = event.type === 'MemberJoined' ? event.role : members.get(event.id)!.role;
      const fields = { member: event.id, memberRole: role };
      if (event.type === 'MemberJoined') log.info(fields, 'a member has joined');
      else if (event.how === 'left') log.info(fields, 'a member has left');
      else log.warn(fields, 'a member is lost: no load report came from it for its timeout');
    }
    return outcome;
  }

  /** So that a start reads little: see src/coordination/snapshot.ts. */
  async #snapshot(lead: Leadership): Promise<CommitOutcome> {
    const { state } = lead;
    if (state.nextOffset - this.#snapshotAt < SNAPSHOT_EVENTS) return { kind: 'committed' };
    this.#snapshotAt = state.nextOffset;
    return lead.write({ records: [snapshotRecord(this.#options.names.snapshots, state)] });
  }

  async #write(
    lead: Leadership,
    { actions, cleared, verification }: Decided,
    stamp: Pick<DecisionStamp, 'ringEpoch' | 'leaderEpoch' | 'inputOffset'> & { readonly at: number },
    countBefore: number,
  ): Promise<CommitOutcome> {
    const { config, names, metrics, log } = this.#options;
    const { at, ...rest } = stamp;
    let judged: Judged | null;
    try {
      judged = verification && (await this.#judged(verification, at));
    } catch (err) {
      log.warn({ err }, 'the decision whose moves were judged could not be read again: deciding at a later tick');
      return { kind: 'committed' };
    }
    let ringProposed: LedEvent | null = null;
    const decisions = actions.map(({ proposal }, index): Decision => {
      const id = `${lead.leaderEpoch}-${countBefore + index + 1}`;
      const made = { version: 1, id, ...proposal, ...rest, at: new Date(at).toISOString() } as const;
      const proposed =
        ringProposed || !config.control.rebalance.apply ? null : this.#proposals.ofDecision(lead.state, proposal, id);
      ringProposed ??= proposed;
      return { ...made, status: proposed ? 'proposed' : 'emitted' };
    });
    const events = [
      ...(judged ? [judged.event] : []),
      ...(ringProposed ? [ringProposed] : []),
      ...actions.map(({ proposal, fingerprint, until }, index): LedEvent => {
        const { kind, subject } = proposal;
        const id = decisions[index]!.id;
        const { inputOffset } = stamp;
        return { type: 'DecisionMade', version: 1, at, id, kind, subject, fingerprint, until, inputOffset };
      }),
      ...cleared.map(({ kind, subject }): LedEvent => ({ type: 'ConditionCleared', version: 1, at, kind, subject })),
    ];
    const written = judged?.decision ? [judged.decision, ...decisions] : decisions;
    const records = written.map((decision) => decisionRecord(names, decision));
    const outcome = await lead.write({ events, records });
    if (outcome.kind !== 'committed') return outcome;
    if (verification) {
      const { plan, measured, reversal } = verification;
      const { decisionId: id, from, to } = plan;
      log.info({ id, from, to, measured, reversed: reversal !== null }, 'the moves of a decision were judged');
    }
    for (const { id, kind, subject, action, reasons } of decisions) {
      metrics.decisions.inc({ kind });
      log.info({ id, kind, subject, action, reason: reasons[0]!.text }, 'decided');
    }
    return outcome;
  }

  /** The judged decision once more, with what became of it. */
  async #judged({ plan, measured, reversal }: Verification, at: number): Promise<Judged> {
    const { port, names } = this.#options;
    const { epoch, decisionId } = plan;
    const reversed = reversal !== null;
    const event = { type: 'PlanVerified', version: 1, at, epoch, decisionId, measured, reversed } as const;
    const found = await findDecision(port, names, decisionId);
    if (found?.kind !== 'rebalance') return { event, decision: null };
    return { event, decision: { ...found, measured, status: reversed ? 'reversed' : 'verified' } };
  }
}

interface Judged {
  readonly event: LedEvent;
  /** null: it is too far back. */
  readonly decision: Decision | null;
}
