/** How a ring epoch comes to be proposed: for a wish about shards, for a decision, or to take the proposal before it back. */
import type { Config } from '../config.ts';
import type { CapacityProposal, HotKeyProposal, Proposal } from '../control/decision.ts';
import { planShardChange, type ShardWish } from '../control/shard-change.ts';
import { slotLoadOf } from '../control/slot-plan.ts';
import type { LedEvent } from '../coordination/events.ts';
import { type RingChange, runsOf } from '../coordination/ring-change.ts';
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { ControlState } from '../coordination/state.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { RingKernel } from '../kernels/ring/kernel.ts';
import { BY_TRACE_ID } from '../kernels/split/kernel.ts';
import type { Names } from '../names.ts';
import { SIGNALS, type Signal } from '../signals.ts';
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

export class RingProposals {
  readonly #options: RingProposalsOptions;

  constructor(options: RingProposalsOptions) {
    this.#options = options;
  }

  /** While no other is in flight. Creates the topics of new shards. */
  async ofWish(
    state: Pick<ControlState, 'ring' | 'proposed' | 'nextShard'>,
    wish: ShardWish,
  ): Promise<ProposalOutcome> {
    const { ring, nextShard } = state;
    if (!ring) return { kind: 'refused', text: 'there is no ring epoch yet' };
    const { port, names, config, window, now } = this.#options;
    const { signals } = window.view(now());
    const plan = planShardChange(wish, {
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
    });
    if (plan.kind === 'refused') return plan;
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

  /** null: there is nothing to be carried out, or another is in flight. */
  async ofDecision(state: ControlState, proposal: Proposal, decisionId: string): Promise<ProposalOutcome | null> {
    const { ring, proposed } = state;
    if (!ring || proposed || proposal.kind === 'scaling') return null;
    const text = `decision ${decisionId}: ${proposal.reasons[0]!.text}`;
    const signal = proposal.subject as Signal;
    if (proposal.kind === 'capacity') {
      if (proposal.action === 'cannot_split') return null;
      const outcome = await this.ofWish(state, wishOf(proposal, ring.signals[signal]));
      if (outcome.kind !== 'proposed') return outcome;
      return { ...outcome, proposal: { ...outcome.proposal, reason: text, decisionId } };
    }
    if (proposal.kind === 'hot_key')
      return { kind: 'proposed', proposal: this.#ofKey(state, proposal, text, decisionId), text };
    const { action, moves, from, to } = proposal;
    if (moves.length === 0) return null;
    const ofMoves = { ...this.#proposal(state, changeOfMoves(signal, moves), text), decisionId };
    // What takes moves back is not judged in its turn.
    if (action === 'reverse') return { kind: 'proposed', proposal: ofMoves, text };
    return { kind: 'proposed', proposal: { ...ofMoves, planned: { signal, from, to } }, text };
  }

  #ofKey(state: ControlState, proposal: HotKeyProposal, text: string, decisionId: string): Proposed {
    const { signal, keyHash, key, action, toShard, from, to } = proposal;
    const released = action === 'release_key';
    const overrides = [released ? { keyHash, shard: null } : { keyHash, shard: toShard ?? BY_TRACE_ID, key }];
    const change = { [signal]: { moves: [], added: [], retired: [], overrides } };
    const proposed = { ...this.#proposal(state, change, text), decisionId };
    return released ? proposed : { ...proposed, planned: { signal, from, to } };
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
    return { type: 'RingProposed', version: 1, at: now(), epoch, base: ring!.epoch, change, carryMs, reason };
  }
}

function wishOf({ action, shard, into }: CapacityProposal, { shards }: SignalRing): ShardWish {
  const nameOf = (id: number) => shards.find((of) => of.id === id)!.name;
  return action === 'merge'
    ? { kind: 'merge', shard: nameOf(shard), into: nameOf(into!) }
    : { kind: 'split', shard: nameOf(shard) };
}

function changeOfMoves(
  signal: Signal,
  moves: readonly { from: number; to: number; slots: readonly number[] }[],
): RingChange {
  return {
    [signal]: {
      moves: moves.map(({ from, to, slots }) => ({ from, to, runs: runsOf(slots) })),
      added: [],
      retired: [],
      overrides: [],
    },
  };
}
