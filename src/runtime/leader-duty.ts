/**
 * What a leader does. At each tick, in this order: answer requests; grant and end locks; advance the proposed ring epoch and the changes that wait behind it;
 * note members that came or went; leave a snapshot where one is due; decide by the measured load and write the decisions. The steps follow each other, so each
 * knows what the one before has written.
 */
import type { Config } from '../config.ts';
import { type Condition, type Decided, decide, type Verdict } from '../control/decide.ts';
import { ringActiveEvent } from '../coordination/events.ts';
import { firstRing } from '../coordination/first-ring.ts';
import type { Leadership } from '../coordination/leadership.ts';
import { requireSameRouting } from '../coordination/same-routing.ts';
import { readSnapshot, SNAPSHOT_EVENTS, snapshotRecord } from '../coordination/snapshot.ts';
import type { ControlState } from '../coordination/state.ts';
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
import { decideStateOf } from './decide-state.ts';
import { DecisionWriter } from './decision-writer.ts';
import { showDistribution } from './load-metrics.ts';
import { LockDesk } from './lock-desk.ts';
import type { MemberWatch } from './member-watch.ts';
import type { Observer } from './observe.ts';
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
  /** Called after each tick, once its decisions, if any, are written. */
  readonly onTick?: (tick: Tick) => void;
}

export interface Tick {
  /** Unix ms: decide()'s now. */
  readonly at: number;
  /** Next offset of `weir.load`. */
  readonly inputOffset: number;
  /** What became of each wish. */
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
  /** Offset of the control log up to which the newest snapshot goes. */
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
      // It may be committed although the leadership ended before it was read back: then the next leader has it.
      if (outcome.kind !== 'committed' || !lead.state.ring) return;
      log.info({ ringEpoch: ring.epoch }, 'wrote the first ring epoch');
    }
    // An earlier leader may have written it with another configuration.
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
    const { config, now, onTick } = this.#options;
    let conditions: ReadonlyMap<string, Condition> = new Map();
    this.#decisions.begin();
    while (!lead.signal.aborted) {
      for (const step of [
        ...desk.take().map((asked) => () => this.#answers.answer(lead, asked)),
        () => this.#seeToLocks(lead),
        () => this.#activation.advance(lead),
        () => this.#line.advance(lead),
        () => this.#noteMembers(lead),
        () => this.#snapshot(lead),
      ])
        if ((await step()).kind !== 'committed') return;
      const at = now();
      const { inputOffset } = this.#observer;
      const decided = this.#decide(lead.state, conditions, at);
      conditions = decided.conditions;
      if ((await this.#decisions.write(lead, decided, { at, inputOffset })).kind !== 'committed') return;
      onTick?.({ at, inputOffset, verdicts: decided.reasons });
      await desk.arrival(config.control.tickMs, lead.signal);
    }
  }

  #decide(state: ControlState, conditions: ReadonlyMap<string, Condition>, at: number): Decided {
    const { config, kernels, metrics } = this.#options;
    const { control } = config;
    const load = this.#observer.window.view(at);
    showDistribution(metrics, state.ring!, load, control.rebalance);
    return decide(decideStateOf(state, load, conditions, control.rebalance), control, kernels.score, at);
  }

  /** Locks that come free are granted at once. */
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

  /** Keeps the start of members short: see src/coordination/snapshot.ts. */
  async #snapshot(lead: Leadership): Promise<CommitOutcome> {
    const { state } = lead;
    if (state.nextOffset - this.#snapshotAt < SNAPSHOT_EVENTS) return { kind: 'committed' };
    this.#snapshotAt = state.nextOffset;
    return lead.write({ records: [snapshotRecord(this.#options.names.snapshots, state)] });
  }
}
