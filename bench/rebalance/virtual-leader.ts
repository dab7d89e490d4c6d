/** A leader in virtual time: decide(), and what the control log makes of its decisions, without Kafka. Every decision about the ring is carried out. */
import type { Config } from '../../src/config.ts';
import { type Condition, decide } from '../../src/control/decide.ts';
import { decidedChange, plannedBy } from '../../src/control/decided-change.ts';
import type { Proposal } from '../../src/control/decision.ts';
import type { LoadView } from '../../src/control/load-view.ts';
import type { ShardPlanning } from '../../src/control/shard-change.ts';
import { slotLoadOf } from '../../src/control/slot-loads.ts';
import { type ControlEvent, type LedEvent, versionOfChange } from '../../src/coordination/events.ts';
import type { RingChange } from '../../src/coordination/ring-change.ts';
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';
import { type ControlState, EMPTY_STATE, fold } from '../../src/coordination/state.ts';
import type { ScoreKernel } from '../../src/kernels/score/kernel.ts';
import { decideStateOf } from '../../src/runtime/decide-state.ts';
import { bySignal } from '../../src/signals.ts';

export interface VirtualLeaderOptions {
  /** The first ring epoch. */
  readonly ring: RingEpoch;
  readonly control: Config['control'];
  readonly score: ScoreKernel;
  /** From a decision to the moment from which every partition is routed by it. */
  readonly activationMs: number;
}

export interface DecidedChange {
  readonly proposal: Proposal;
  readonly change: RingChange;
  /** Virtual ms from which it is in force. */
  readonly activeAt: number;
}

export class VirtualLeader {
  readonly #options: VirtualLeaderOptions;
  #state: ControlState;
  #conditions: ReadonlyMap<string, Condition> = new Map();
  #pending: DecidedChange | null = null;
  #sequence = 0;

  constructor(options: VirtualLeaderOptions) {
    this.#options = options;
    const { ring } = options;
    const nextShard = bySignal((signal) => 1 + Math.max(...ring.signals[signal].shards.map(({ id }) => id)));
    this.#state = { ...EMPTY_STATE, ring, nextShard };
  }

  /** In force. */
  get ring(): RingEpoch {
    return this.#state.ring!;
  }

  /** Whether a change is decided that is not in force yet. */
  get isChanging(): boolean {
    return this.#pending !== null;
  }

  /** Lets the change that is due come into force, and returns it; null: none is due. */
  activate(now: number): DecidedChange | null {
    const due = this.#pending;
    if (!due || now < due.activeAt) return null;
    this.#pending = null;
    this.#write({ type: 'RingActive', version: 1, at: due.activeAt, epoch: this.ring.epoch + 1 });
    return due;
  }

  /** Returns the change that is decided and not in force yet; null: there is none. */
  decide(now: number, load: LoadView): DecidedChange | null {
    const { control, score, activationMs } = this.#options;
    const state = decideStateOf(this.#state, load, this.#conditions, control.rebalance);
    const { actions, cleared, conditions, verification } = decide(state, control, score, now);
    this.#conditions = conditions;
    if (verification) {
      const { plan, measured, reversal } = verification;
      const { epoch, decisionId } = plan;
      const reversed = reversal !== null;
      this.#write({ type: 'PlanVerified', version: 1, at: now, epoch, decisionId, measured, reversed });
    }
    for (const { kind, subject } of cleared)
      this.#write({ type: 'ConditionCleared', version: 1, at: now, kind, subject });
    for (const { proposal, fingerprint, until } of actions) {
      const { kind, subject } = proposal;
      const id = `${now}-${kind}-${subject}`;
      this.#write({ type: 'DecisionMade', version: 1, at: now, id, kind, subject, fingerprint, until, inputOffset: 0 });
      const isCarriedOut: boolean = this.#pending === null && (kind !== 'capacity' || control.capacity.apply);
      const change: RingChange | null = isCarriedOut ? this.#changeOf(proposal, load) : null;
      if (!change) continue;
      this.#pending = { proposal, change, activeAt: now + activationMs };
      this.#propose(now, id, this.#pending);
    }
    return this.#pending;
  }

  #changeOf(proposal: Proposal, load: LoadView): RingChange | null {
    const { ring } = this;
    const planning: ShardPlanning = {
      ring,
      nextShard: this.#state.nextShard,
      topicOf: (signal, shard) => `${signal}-${shard}`,
      assign: () => {
        throw new Error('no decision asks the consistent-hash ring');
      },
      slotLoad: (signal) => slotLoadOf(ring.signals[signal], load.signals[signal]),
    };
    const plan = decidedChange(proposal, planning);
    if (plan?.kind === 'refused') throw new Error(plan.text);
    return plan?.change ?? null;
  }

  #propose(at: number, decisionId: string, { proposal, change }: DecidedChange): void {
    const { epoch: base } = this.ring;
    const planned = plannedBy(proposal);
    this.#write({
      ...{ type: 'RingProposed', version: versionOfChange(change), at, epoch: base + 1, base, change, carryMs: 0 },
      ...{ reason: proposal.reasons[0]!.text, decisionId, ...(planned && { planned }) },
    });
  }

  #write(event: LedEvent): void {
    this.#sequence++;
    const written: ControlEvent = { ...event, leaderEpoch: 0, sequence: this.#sequence };
    this.#state = fold(this.#state, written, BigInt(this.#sequence));
  }
}

/** A ring epoch 1 in which all signals have the same ring of `count` shards. */
export function firstRingOf(slots: Uint16Array, count: number, key: string): RingEpoch {
  const shards = Array.from({ length: count }, (_, id) => ({ id, name: `s${id}`, topic: `t${id}`, weight: 1 }));
  const ring = { key, slotBits: 16 as const, slots, shards, overrides: new Map() };
  return { epoch: 1, signals: bySignal(() => ring), touched: bySignal(() => []) };
}
