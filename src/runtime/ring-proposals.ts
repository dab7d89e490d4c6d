/** How a ring epoch comes to be proposed: for a wish about shards, for a decision, or to take the proposal before it back. */
import type { Config } from '../config.ts';
import { decidedChange, plannedBy } from '../control/decided-change.ts';
import type { Proposal } from '../control/decision.ts';
import { planShardChange, type ShardPlan, type ShardPlanning, type ShardWish } from '../control/shard-change.ts';
import { slotLoadOf } from '../control/slot-loads.ts';
import { type LedEvent, versionOfChange } from '../coordination/events.ts';
import type { RingChange } from '../coordination/ring-change.ts';
import type { RingEpoch } from '../coordination/ring-epoch.ts';
import type { ControlState } from '../coordination/state.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { RingKernel } from '../kernels/ring/kernel.ts';
import type { Names } from '../names.ts';
import { SIGNALS } from '../signals.ts';
import type { LoadWindow } from './load-window.ts';
import { createShardTopics } from './shard-topics.ts';

export interface RingProposalsOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly config: Config;
  readonly ring: RingKernel;
  readonly window: LoadWindow;
  readonly now: () => number;
}

/** To be written by the leader. */
export type Proposed = Extract<LedEvent, { type: 'RingProposed' }>;

export type ProposalOutcome =
  | { readonly kind: 'proposed'; readonly proposal: Proposed /** For people. */; readonly text: string }
  | { readonly kind: 'refused'; readonly text: string }
  /** Kafka does not let it be prepared now; it may at another time. */
  | { readonly kind: 'failed'; readonly text: string };

type Base = Pick<ControlState, 'ring' | 'proposed' | 'nextShard'>;

export class RingProposals {
  readonly #options: RingProposalsOptions;

  constructor(options: RingProposalsOptions) {
    this.#options = options;
  }

  /** While no other is in flight. Creates the topics of new shards. */
  async ofWish(state: Base, wish: ShardWish): Promise<ProposalOutcome> {
    const { ring } = state;
    if (!ring) return { kind: 'refused', text: 'there is no ring epoch yet' };
    return this.#prepared(state, ring, planShardChange(wish, this.#planning(ring, state)));
  }

  /** null: there is nothing to be carried out, or another is in flight. */
  async ofDecision(state: ControlState, decided: Proposal, decisionId: string): Promise<ProposalOutcome | null> {
    const { ring, proposed } = state;
    if (!ring || proposed) return null;
    const plan = decidedChange(decided, this.#planning(ring, state));
    if (!plan) return null;
    const outcome = await this.#prepared(state, ring, plan);
    if (outcome.kind !== 'proposed') return outcome;
    const reason = `decision ${decisionId}: ${decided.reasons[0]!.text}`;
    const planned = plannedBy(decided);
    return { ...outcome, proposal: { ...outcome.proposal, reason, decisionId, ...(planned && { planned }) } };
  }

  #planning(ring: RingEpoch, { nextShard }: Pick<ControlState, 'nextShard'>): ShardPlanning {
    const { names, config, window, now } = this.#options;
    const { signals } = window.view(now());
    return {
      ring,
      nextShard,
      topicOf: (signal, shard) => names.shard(signal, shard),
      assign: (shards, slotBits) =>
        this.#options.ring.assign(
          shards.map(({ id, weight }) => ({ shard: id, weight })),
          config.routing.vnodes,
          slotBits,
        ),
      slotLoad: (signal) => slotLoadOf(ring.signals[signal], signals[signal]),
    };
  }

  async #prepared(state: Base, ring: RingEpoch, plan: ShardPlan): Promise<ProposalOutcome> {
    if (plan.kind === 'refused') return plan;
    const { port, config } = this.#options;
    try {
      for (const signal of SIGNALS) {
        const added = plan.change[signal]?.added ?? [];
        if (added.length > 0) await createShardTopics(port, config, ring, signal, added);
      }
    } catch (error) {
      return { kind: 'failed', text: `its topic cannot be created: ${(error as Error).message}` };
    }
    return { kind: 'proposed', proposal: this.#proposal(state, plan.change, plan.text), text: plan.text };
  }

  /** The tables in force once more, as the next ring epoch. */
  ofAbandon({ ring, proposed }: Pick<ControlState, 'ring' | 'proposed'>): ProposalOutcome {
    if (!proposed) return { kind: 'refused', text: 'no change of the ring is in flight' };
    const { epoch } = proposed.ring;
    if (proposed.abandons !== null)
      return { kind: 'refused', text: `ring epoch ${epoch} takes back ${proposed.abandons} already` };
    const text = `ring epoch ${epoch} is taken back: ${epoch + 1} is what ${ring!.epoch} was`;
    const proposal = this.#proposal({ ring, proposed }, {}, `takes back ring epoch ${epoch}`);
    // Nothing was to be copied with it: nothing is copied back.
    const carryMs = proposed.carryFrom === null ? 0 : proposal.carryMs;
    return { kind: 'proposed', text, proposal: { ...proposal, carryMs, abandons: epoch } };
  }

  #proposal({ ring, proposed }: Pick<ControlState, 'ring' | 'proposed'>, change: RingChange, reason: string): Proposed {
    const epoch = (proposed?.ring.epoch ?? ring!.epoch) + 1;
    const { now, config } = this.#options;
    const { carryMs } = config.control.ring;
    const version = versionOfChange(change);
    return { type: 'RingProposed', version, at: now(), epoch, base: ring!.epoch, change, carryMs, reason };
  }
}
