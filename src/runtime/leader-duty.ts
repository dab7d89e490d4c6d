/**
 * What a leader does. Per tick: answer requests -> see to the locks -> see to the proposed ring epoch, and to the changes that wait behind it -> note who
 * came and went -> observe -> decide -> write the decisions. All of it one after the other, so that each step knows what the one before has written.
 */
import type { Config } from '../config.ts';
import { type Condition, decide, type Verdict } from '../control/decide.ts';
import { ringActiveEvent } from '../coordination/events.ts';
import { firstRing } from '../coordination/first-ring.ts';
import type { Leadership } from '../coordination/leader.ts';
import { requireSameRouting } from '../coordination/same-routing.ts';
import { readSnapshot, SNAPSHOT_EVENTS, snapshotRecord } from '../coordination/snapshot.ts';
import { WeirError } from '../errors.ts';
import type { CommitOutcome, KafkaPort } from '../kafka/port.ts';
import type { HashKernel } from '../kernels/hash/kernel.ts';
import type { RingKernel } from '../kernels/ring/kernel.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import type { SplitKernel } from '../kernels/split/kernel.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Names } from '../names.ts';
import { ChangeLine } from './change-line.ts';
import { DecisionWriter } from './decision-writer.ts';
import { LockDesk } from './lock-desk.ts';
import type { MemberWatch } from './member-watch.ts';
import type { Observer } from './observe.ts';
import { pastMovesOf, pastShardsOf, planInForce } from './past-moves.ts';
import { RequestAnswers } from './request-answers.ts';
import { RequestDesk } from './request-desk.ts';
import { RingActivation } from './ring-activation.ts';
import { RingProposals } from './ring-proposals.ts';

export interface LeaderDutyOptions {
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
  readonly log: Log;
  /** Unix ms. */
  readonly now: () => number;
  /** Called with each tick whose decisions, if any, are written. */
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

export class LeaderDuty {
  readonly #options: LeaderDutyOptions;
  readonly #observer: Observer;
  readonly #members: MemberWatch;
  readonly #locks: LockDesk;
  readonly #answers: RequestAnswers;
  readonly #line: ChangeLine;
  readonly #activation: RingActivation;
  readonly #decisions: DecisionWriter;
  /** How far of the control log the newest snapshot holds. */
  #snapshotAt = 0n;

  constructor(options: LeaderDutyOptions, observer: Observer, members: MemberWatch) {
    this.#options = options;
    this.#observer = observer;
    this.#members = members;
    const { window } = observer;
    const { ring, split } = options.kernels;
    const proposals = new RingProposals({ ...options, ring, window });
    this.#locks = new LockDesk(options.now);
    this.#line = new ChangeLine({ ...options, proposals });
    this.#activation = new RingActivation({ ...options, kernel: split, window });
    const [locks, line, activation] = [this.#locks, this.#line, this.#activation];
    this.#answers = new RequestAnswers({ ...options, proposals, locks, line, activation });
    this.#decisions = new DecisionWriter({ ...options, proposals });
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
    this.#decisions.begin();
    while (!lead.signal.aborted) {
      for (const asked of desk.take()) if ((await this.#answers.answer(lead, asked)).kind !== 'committed') return;
      if ((await this.#seeToLocks(lead)).kind !== 'committed') return;
      if ((await this.#activation.advance(lead)).kind !== 'committed') return;
      if ((await this.#line.advance(lead)).kind !== 'committed') return;
      if ((await this.#noteMembers(lead)).kind !== 'committed') return;
      if ((await this.#snapshot(lead)).kind !== 'committed') return;
      const at = now();
      const inputOffset = this.#observer.inputOffset;
      const { ring, decisions: last, changes, proposed } = lead.state;
      const load = this.#observer.window.view(at);
      const past = { pastMoves: pastMovesOf(changes), pastShards: pastShardsOf(changes) };
      const plan = config.control.rebalance.apply ? planInForce(lead.state) : null;
      const state = { ring, load, last, conditions, ...past, plan, changing: proposed !== null };
      const decided = decide(state, config.control, kernels.score, at);
      conditions = decided.conditions;
      if ((await this.#decisions.write(lead, decided, { at, inputOffset })).kind !== 'committed') return;
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
}
