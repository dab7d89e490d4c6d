/** How the leader answers what is asked of it, and how it comes to propose a ring epoch: by such a request, or by a decision. */
import type { Config } from '../config.ts';
import type { Proposal } from '../control/decision.ts';
import { planShardChange, type ShardWish } from '../control/shard-change.ts';
import type { LedEvent } from '../coordination/events.ts';
import type { Leadership } from '../coordination/leader.ts';
import { type RingChange, runsOf } from '../coordination/ring-change.ts';
import type { ControlState } from '../coordination/state.ts';
import type { CommitOutcome, KafkaPort, ProducerRecord } from '../kafka/port.ts';
import type { RingKernel } from '../kernels/ring/kernel.ts';
import type { Log } from '../log.ts';
import type { Names } from '../names.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import type { LoadWindow } from './load-window.ts';
import { fencedOff, type LockDesk } from './lock-desk.ts';
import type { Asked } from './request-desk.ts';
import type { RingActivation } from './ring-activation.ts';
import { createShardTopics } from './shard-topics.ts';

export interface RingProposalsOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly config: Config;
  readonly ring: RingKernel;
  readonly window: LoadWindow;
  readonly locks: LockDesk;
  readonly activation: Pick<RingActivation, 'cutShort'>;
  readonly log: Log;
  readonly now: () => number;
}

/** What a request becomes. */
interface Verdict {
  /** queued: to be answered later. */
  readonly outcome: Extract<LedEvent, { type: 'RequestAnswered' }>['outcome'] | 'queued';
  readonly text: string;
  readonly proposal?: Proposed;
  readonly ringEpoch?: number | undefined;
  /** To be written before the answer. */
  readonly events?: readonly LedEvent[];
  readonly records?: readonly ProducerRecord[];
}

type Proposed = Extract<LedEvent, { type: 'RingProposed' }>;

export class RingProposals {
  readonly #options: RingProposalsOptions;

  constructor(options: RingProposalsOptions) {
    this.#options = options;
  }

  /** Answer, proposal and the request's offset go out in one transaction. */
  async answer(lead: Leadership, { decoded, cancelled, next }: Asked): Promise<CommitOutcome> {
    const { log, now } = this.#options;
    if (decoded.kind === 'unreadable' && decoded.id === null) {
      log.warn({ offset: String(next.offset - 1n), topic: next.topic }, `left out: ${decoded.text}`);
      return lead.write({ offsets: [next] });
    }
    const id = decoded.kind === 'request' ? decoded.request.id : decoded.id!;
    // A request that comes again is answered again, not granted again.
    const before = lead.state.answers.get(id);
    const verdict: Verdict = before ?? (await this.#judge(lead.state, decoded, cancelled));
    const { outcome, text, proposal, ringEpoch = proposal?.epoch, records = [] } = verdict;
    const events: LedEvent[] = [...(verdict.events ?? []), ...(proposal ? [{ ...proposal, requestId: id }] : [])];
    if (outcome !== 'queued')
      events.push({ type: 'RequestAnswered', version: 1, at: now(), id, outcome, text, ringEpoch });
    const written = await lead.write({ events, records, offsets: [next] });
    if (written.kind === 'committed') log.info({ id, outcome, ...(proposal && { ringEpoch }) }, `request: ${text}`);
    return written;
  }

  /** null: there is nothing to be carried out, or it cannot follow what is in force now. */
  ofDecision(state: ControlState, proposal: Proposal, decisionId: string): Proposed | null {
    if (!state.ring || state.proposed || proposal.kind !== 'rebalance' || proposal.moves.length === 0) return null;
    const { action, moves, from, to, reasons } = proposal;
    const signal = proposal.subject as Signal;
    const reason = `decision ${decisionId}: ${reasons[0]!.text}`;
    const proposed = { ...this.#proposal(state, changeOfMoves(signal, moves), reason), decisionId };
    // What takes moves back is not judged in its turn.
    return action === 'reverse' ? proposed : { ...proposed, planned: { signal, from, to } };
  }

  async #judge(state: ControlState, decoded: Asked['decoded'], cancelled: boolean): Promise<Verdict> {
    if (decoded.kind === 'unreadable') return { outcome: 'refused', text: decoded.text };
    const { wish, expiresAt } = decoded.request;
    if (wish.kind === 'cancel') return this.#cancel(state, wish.id);
    if (cancelled) return { outcome: 'cancelled', text: 'cancelled before it was granted' };
    if (this.#options.now() >= expiresAt)
      return { outcome: 'expired', text: 'it had lapsed before a leader came to it; ask again' };
    const stale = fencedOff(state, decoded.request.fence);
    if (stale) return { outcome: 'refused', text: stale };
    switch (wish.kind) {
      case 'acquire':
      case 'renew':
      case 'release':
      case 'start':
      case 'end':
        return this.#options.locks.judge(state, decoded.request, wish);
      case 'abandon':
        return this.#abandon(state);
      default:
        return this.#change(state, wish);
    }
  }

  #cancel({ waiting }: ControlState, id: string): Verdict {
    const text = `request ${id} is cancelled unless it was answered before`;
    if (!waiting.some(({ requestId }) => requestId === id)) return { outcome: 'accepted', text };
    const cancelled = { outcome: 'cancelled', text: 'cancelled before it was granted' } as const;
    const events: LedEvent[] = [{ type: 'RequestAnswered', version: 1, at: this.#options.now(), id, ...cancelled }];
    return { outcome: 'accepted', text, events };
  }

  async #abandon({ ring, proposed }: ControlState): Promise<Verdict> {
    if (!proposed) return { outcome: 'refused', text: 'no change of the ring is in flight' };
    const { epoch } = proposed.ring;
    if (proposed.adoptedAt !== null) {
      const text = `all partitions have adopted ring epoch ${epoch}: it is active with what is copied so far`;
      try {
        return { outcome: 'accepted', text, ringEpoch: epoch, ...(await this.#options.activation.cutShort(proposed)) };
      } catch (error) {
        return { outcome: 'refused', text: `its decision cannot be read: ${(error as Error).message}` };
      }
    }
    if (proposed.abandons !== null)
      return { outcome: 'refused', text: `ring epoch ${epoch} takes back ${proposed.abandons} already` };
    const text = `ring epoch ${epoch} is taken back: ${epoch + 1} is what ${ring!.epoch} was`;
    const proposal = this.#proposal({ ring, proposed }, {}, `takes back ring epoch ${epoch}`);
    // Nothing was to be copied with it: nothing is copied back.
    const carryMs = proposed.carryFrom === null ? 0 : proposal.carryMs;
    return { outcome: 'accepted', text, proposal: { ...proposal, carryMs, abandons: epoch } };
  }

  async #change(state: ControlState, wish: ShardWish): Promise<Verdict> {
    const { ring, proposed, nextShard } = state;
    if (!ring) return { outcome: 'refused', text: 'there is no ring epoch yet' };
    if (proposed)
      return {
        outcome: 'refused',
        text: `ring epoch ${proposed.ring.epoch} is in flight (${proposed.reason}): one change at a time; \`weir inspect ring\` shows what it waits for, \`weir shards abandon\` takes it back`,
      };
    const { names, config, window, now } = this.#options;
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
      slotLoad: (signal) => window.view(now()).signals[signal].slotBytesPerSecond,
    });
    if (plan.kind === 'refused') return { outcome: 'refused', text: plan.text };
    try {
      for (const signal of SIGNALS) {
        const added = plan.change[signal]?.added ?? [];
        if (added.length > 0) await createShardTopics(this.#options.port, config, ring, signal, added);
      }
    } catch (error) {
      return { outcome: 'refused', text: `its topic cannot be created: ${(error as Error).message}` };
    }
    return { outcome: 'accepted', text: plan.text, proposal: this.#proposal(state, plan.change, plan.text) };
  }

  #proposal({ ring, proposed }: Pick<ControlState, 'ring' | 'proposed'>, change: RingChange, reason: string): Proposed {
    const epoch = (proposed?.ring.epoch ?? ring!.epoch) + 1;
    const { now, config } = this.#options;
    const { carryMs } = config.control.ring;
    return { type: 'RingProposed', version: 1, at: now(), epoch, base: ring!.epoch, change, carryMs, reason };
  }
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
