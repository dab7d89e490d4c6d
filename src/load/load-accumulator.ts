/**
 * Adds up what a member's committed polls measured, until the reporter drains it once a second. Bounded whatever comes in: shards
 * and slots by their tables, instances by MAX_INSTANCES; if nobody drains, the totals only grow in value.
 */
import type { AggregateKernel } from '../kernels/aggregate/kernel.ts';
import type { SplitAggregates } from '../kernels/split/kernel.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { type LoadReport, MAX_NAME_LENGTH, type PartitionLag, type Reporter, type Usage } from './load-report.ts';
import { InstanceTotals, SignalTotals } from './load-totals.ts';
import { ReportParts } from './report-parts.ts';
import { InstanceUtilisation, readingOf } from './utilisation.ts';

export interface LoadAccumulatorOptions {
  readonly reporter: Reporter;
  /** How often a report carries slots (config: load.slotIntervalMs). */
  readonly slotIntervalMs: number;
  readonly nowUnixMs: number;
  /** Counts the keys. */
  readonly aggregate: AggregateKernel;
}

/** What a report says of the member itself. */
export interface MemberWord {
  readonly usage: Usage | null;
  readonly leaving: boolean;
}

const UNSAID: MemberWord = { usage: null, leaving: false };

/** Of each signal: a key that has more than a thousandth of the bytes is among them, see HitterTotals. */
const KEY_COUNTERS = 1_024;
/** Instances that one report can hold, over all signals. */
const MAX_INSTANCES = 16_384;
/** An instance that says nothing of its CPU and memory for so long is forgotten. */
const UTILISATION_MEMORY_MS = 600_000;

export class LoadAccumulator {
  readonly #options: LoadAccumulatorOptions;
  readonly #signals: ReadonlyMap<Signal, SignalTotals>;
  readonly #utilisation = new Map<string, { service: string; instance: string; said: InstanceUtilisation }>();
  #instances = 0;
  #instancesLeftOut = 0;
  #lag: readonly PartitionLag[] = [];
  #ringEpoch = 0;
  #acceptedItems = 0;
  #acceptedBytes = 0;
  #fromUnixMs: number;
  #slotsFromUnixMs: number;
  /** Reports of an earlier ring epoch that wait for the next drain. */
  #cut: LoadReport[] = [];

  constructor(options: LoadAccumulatorOptions) {
    this.#options = options;
    const totals = () => new SignalTotals(options.aggregate.createHeavyHitters(KEY_COUNTERS));
    this.#signals = new Map(SIGNALS.map((signal) => [signal, totals()]));
    this.#fromUnixMs = options.nowUnixMs;
    this.#slotsFromUnixMs = options.nowUnixMs;
  }

  /** The epoch that what is added from now on was routed by. */
  setRingEpoch(ringEpoch: number, nowUnixMs: number): void {
    if (ringEpoch === this.#ringEpoch) return;
    const anything = [...this.#signals.values()].some((totals) => totals.shards.size > 0);
    if (anything && nowUnixMs > this.#fromUnixMs) this.#cut.push(...this.#take(nowUnixMs));
    this.#ringEpoch = ringEpoch;
  }

  /** Of an accepted request. */
  accept(items: number, bytes: number): void {
    this.#acceptedItems += items;
    this.#acceptedBytes += bytes;
  }

  /** Goes with the next report. */
  setLag(lag: readonly PartitionLag[]): void {
    this.#lag = lag;
  }

  /** Once a poll has committed, and only then: an aborted poll comes back. */
  add(signal: Signal, aggregates: SplitAggregates): void {
    const totals = this.#signals.get(signal)!;
    for (const shard of aggregates.shards) totals.addShard(shard);
    for (const service of aggregates.services) {
      const key = instanceKey(service.service, service.instance);
      const known = totals.instances.get(key);
      if (known) known.add(service);
      else if (this.#instances < MAX_INSTANCES) {
        const instance = new InstanceTotals(cut(service.service), cut(service.instance));
        instance.add(service);
        totals.instances.set(key, instance);
        this.#instances++;
      } else this.#instancesLeftOut++;
    }
    totals.addSlots(aggregates.slotBytes);
    totals.addKeys(aggregates.keySamples);
    for (const { service, instance, metric } of aggregates.watched) {
      const reading = readingOf(metric);
      if (!reading) continue;
      const key = instanceKey(service, instance);
      let entry = this.#utilisation.get(key);
      if (!entry) {
        if (this.#utilisation.size >= MAX_INSTANCES) continue;
        entry = { service: cut(service), instance: cut(instance), said: new InstanceUtilisation() };
        this.#utilisation.set(key, entry);
      }
      entry.said.observe(reading);
    }
  }

  /**
   * The reports since the last drain, each at most MAX_REPORT_BYTES when encoded; at least one, which says that this member is alive.
   * Slots are in them every `slotIntervalMs`.
   */
  drain(nowUnixMs: number, word: MemberWord = UNSAID): LoadReport[] {
    const cut = this.#cut;
    this.#cut = [];
    return [...cut, ...this.#take(nowUnixMs, word)];
  }

  #take(nowUnixMs: number, word: MemberWord = UNSAID): LoadReport[] {
    // `to` must grow from report to report, or a reader takes the second for a duplicate: also when the clock was set back.
    const toUnixMs = Math.max(nowUnixMs, this.#fromUnixMs + 1);
    const withSlots = toUnixMs - this.#slotsFromUnixMs >= this.#options.slotIntervalMs;
    const parts = new ReportParts();
    const utilisation = this.#takeUtilisation(toUnixMs);
    for (const [signal, totals] of this.#signals) {
      for (const shard of totals.shards.values()) parts.addShard(signal, shard);
      for (const [key, instance] of totals.instances) {
        parts.addInstance(signal, instance.load(utilisation.get(key)));
        utilisation.delete(key);
      }
      // What only overrides took has touched no slot.
      if (withSlots && (totals.touched.length > 0 || totals.shards.size > 0)) {
        parts.addSlots(signal, totals.takeSlots(this.#slotsFromUnixMs, toUnixMs));
      }
      totals.shards.clear();
      totals.instances.clear();
    }
    // Said by an instance without items of its own in this time, or one that found no place above.
    for (const [key, said] of utilisation) {
      const entry = this.#utilisation.get(key)!;
      parts.addInstance('metrics', new InstanceTotals(entry.service, entry.instance).load(said));
    }
    for (const lag of this.#lag) parts.addLag(lag);
    const reports = parts.reports({
      reporter: this.#options.reporter,
      fromUnixMs: this.#fromUnixMs,
      toUnixMs,
      ringEpoch: this.#ringEpoch,
      instancesLeftOut: this.#instancesLeftOut,
      acceptedItems: this.#acceptedItems,
      acceptedBytes: this.#acceptedBytes,
      ...word,
    });
    this.#fromUnixMs = toUnixMs;
    if (withSlots) this.#slotsFromUnixMs = toUnixMs;
    this.#instances = 0;
    this.#instancesLeftOut = 0;
    this.#acceptedItems = 0;
    this.#acceptedBytes = 0;
    this.#lag = [];
    return reports;
  }

  /** Gives the counters' memory back; nothing is added afterwards. */
  close(): void {
    for (const totals of this.#signals.values()) totals.release();
  }

  #takeUtilisation(nowUnixMs: number): Map<string, ReturnType<InstanceUtilisation['take']>> {
    const taken = new Map<string, ReturnType<InstanceUtilisation['take']>>();
    for (const [key, { said }] of this.#utilisation) {
      const now = said.take(nowUnixMs);
      if (now.cpu !== null || now.memory !== null) taken.set(key, now);
      else if (nowUnixMs - said.lastUnixMs > UTILISATION_MEMORY_MS) this.#utilisation.delete(key);
    }
    return taken;
  }
}

/** Of the cut names, so that the tables' keys are bounded, too: two instances with the same 256 characters are one here. */
function instanceKey(service: string, instance: string): string {
  return `${cut(service)}\0${cut(instance)}`;
}

function cut(name: string): string {
  // Not through a surrogate pair: half of one has no UTF-8.
  return name.length <= MAX_NAME_LENGTH ? name : name.slice(0, MAX_NAME_LENGTH).toWellFormed();
}
