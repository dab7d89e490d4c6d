/** The leader's watch over a proposed ring epoch: it becomes active once every input partition has adopted it and what goes with it is copied. */
import type { Config } from '../config.ts';
import type { LedEvent, RingActive } from '../coordination/events.ts';
import type { Leadership } from '../coordination/leadership.ts';
import { type RingAcks, readRingAcks } from '../coordination/ring-acks.ts';
import type { ProposedRing } from '../coordination/state.ts';
import type { CommitOutcome, ProducerRecord } from '../kafka/port.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { type CarryOptions, carryItems } from './carry.ts';
import { decisionRecord, findDecision } from './decision-records.ts';
import type { LoadWindow } from './load-window.ts';
import { ownersOf, waitingText, wayOutText } from './ring-waiting.ts';

export interface RingActivationOptions extends CarryOptions {
  readonly config: Config;
  readonly window: LoadWindow;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly now: () => number;
}

export class RingActivation {
  readonly #options: RingActivationOptions;
  /** Unix ms of the last word about the proposal that is stuck. */
  #saidAt = 0;
  #carrying: Carrying | null = null;

  constructor(options: RingActivationOptions) {
    this.#options = options;
  }

  /** Writes RingAdopted when all partitions have adopted the proposal, and RingActive when what goes with it is copied, too. */
  async advance(lead: Leadership): Promise<CommitOutcome> {
    const { port, names, metrics, log, now } = this.#options;
    const { proposed } = lead.state;
    if (this.#carrying && this.#carrying.epoch !== proposed?.ring.epoch) {
      // Active, or taken back.
      this.#carrying.stop.abort();
      this.#carrying = null;
    }
    if (!proposed) return { kind: 'committed' };
    const { epoch } = proposed.ring;
    const acks = await this.#read(epoch, 'which partitions have adopted it', () =>
      readRingAcks(port.admin, names, epoch),
    );
    if (!acks) return { kind: 'committed' };
    metrics.ringWaiting.set(acks.waiting.length);
    const haveAll = acks.waiting.length === 0;
    if (haveAll && proposed.carryFrom !== null && proposed.adoptedAt === null) {
      const adopted = await lead.write({ events: [{ type: 'RingAdopted', version: 1, at: now(), epoch }] });
      if (adopted.kind !== 'committed') return adopted;
    }
    const carried = haveAll ? this.#carry(lead, proposed) : 'under way';
    if (carried === 'under way') {
      this.#sayStuck(proposed, acks);
      return { kind: 'committed' };
    }
    const records = await this.#read(epoch, 'the decision that it carries out', () => this.#settled(proposed));
    if (!records) return { kind: 'committed' };
    const active = { type: 'RingActive', version: 1, at: now(), epoch, ...(carried && { carried }) } as const;
    const outcome = await lead.write({ events: [active], records });
    if (outcome.kind === 'committed') {
      const ms = now() - proposed.at;
      log.info(
        { ringEpoch: epoch, partitions: acks.partitions, ms, ...(carried && { carried }) },
        `ring epoch ${epoch} is active: ${proposed.reason}`,
      );
    }
    return outcome;
  }

  /** null, and a word of it, when that fails: brokers that do not answer now do at a later tick, and what is written then is as good. */
  async #read<T>(epoch: number, what: string, read: () => Promise<T>): Promise<T | null> {
    try {
      return await read();
    } catch (err) {
      this.#options.log.warn({ err }, `ring epoch ${epoch}: ${what} could not be read; trying again at a later tick`);
      return null;
    }
  }

  /** Copies beside the ticks: requests, such as to end the copying, are answered meanwhile. null: there is nothing to be copied. */
  #carry(lead: Leadership, proposed: ProposedRing): Carrying['done'] | 'under way' {
    const { log, now } = this.#options;
    if (proposed.carryFrom === null) return null;
    const { epoch } = proposed.ring;
    if (this.#carrying && !this.#carrying.signal.aborted) return this.#carrying.done ?? 'under way';
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, lead.signal]);
    const carrying: Carrying = { epoch, stop, signal, done: null };
    this.#carrying = carrying;
    const startedAt = now();
    carryItems(this.#options, proposed, lead.state.changes, signal).then(
      (carried) => {
        // The clock may have been set back meanwhile.
        carrying.done = { ...carried, ms: Math.max(0, now() - startedAt) };
      },
      (err: unknown) => {
        if (!signal.aborted) log.warn({ err }, `ring epoch ${epoch}: copying goes on at a later tick`);
        stop.abort();
      },
    );
    return 'under way';
  }

  #sayStuck({ ring: { epoch }, abandons, at }: ProposedRing, { partitions, waiting }: RingAcks): void {
    const { config, log, now } = this.#options;
    const { ackTimeoutMs } = config.control.ring;
    if (now() - Math.max(at, this.#saidAt) < ackTimeoutMs) return;
    this.#saidAt = now();
    const owners = ownersOf(this.#options.window, now());
    const why = waiting.length > 0 ? waitingText(waiting, owners) : 'what goes with it is still being copied';
    log.warn(
      { ringEpoch: epoch, waiting: waiting.length, partitions },
      `ring epoch ${epoch} is not active after ${Math.round((now() - at) / 1_000)} s: ${why}. ${wayOutText({ abandons, waitingFor: waiting })}`,
    );
  }

  /** Ends the copying for a proposal that all have adopted: what makes it active as it is. */
  async cutShort(proposed: ProposedRing): Promise<{ readonly events: LedEvent[]; readonly records: ProducerRecord[] }> {
    const { epoch } = proposed.ring;
    this.#carrying?.stop.abort();
    const active = { type: 'RingActive', version: 1, at: this.#options.now(), epoch, cutShort: true } as const;
    return { events: [active], records: await this.#settled(proposed) };
  }

  /** The decision that the proposal carries out, once more with what became of it. None when it is too far back. */
  async #settled({ decisionId, abandons }: ProposedRing): Promise<ProducerRecord[]> {
    if (decisionId === null) return [];
    const { port, names } = this.#options;
    const found = await findDecision(port, names, decisionId);
    return found ? [decisionRecord(names, { ...found, status: abandons === null ? 'applied' : 'abandoned' })] : [];
  }
}

interface Carrying {
  readonly epoch: number;
  readonly stop: AbortController;
  /** Of `stop` and of the leadership. Aborted: this run has ended, or is about to, without being done. */
  readonly signal: AbortSignal;
  done: NonNullable<RingActive['carried']> | null;
}
