/**
 * Adds up what a member's committed polls measured, until the reporter drains it once a second. Bounded whatever comes in: shards
 * and slots by their tables, instances by MAX_INSTANCES; if nobody drains, the totals only grow in value.
 */
import type { ServiceAggregate, ShardAggregate, SplitAggregates } from '../kernels/split/kernel.ts';
import { LATENCY_BUCKETS } from '../kernels/split/kernel.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { encodeInstance, encodeLag, encodeLoadReport, encodeShard, encodeSlots } from './codec.ts';
import {
  type InstanceLoad,
  type LoadReport,
  MAX_NAME_LENGTH,
  MAX_REPORT_BYTES,
  MAX_REPORTED_SLOTS,
  type PartitionLag,
  type Reporter,
  type ShardLoad,
  type SlotLoad,
} from './load-report.ts';
import { InstanceUtilisation, readingOf } from './utilisation.ts';

export interface LoadAccumulatorOptions {
  readonly reporter: Reporter;
  /** How often a report carries slots (config: load.slotIntervalMs). */
  readonly slotIntervalMs: number;
  readonly nowUnixMs: number;
}

/** Instances that one report can hold, over all signals. */
const MAX_INSTANCES = 16_384;
/** An instance that says nothing of its CPU and memory for so long is forgotten. */
const UTILISATION_MEMORY_MS = 600_000;
/** Room for tag and length around a row, the report's own fields and the signal's. */
const ROW_OVERHEAD_BYTES = 8;
const REPORT_OVERHEAD_BYTES = 1_024;

export class LoadAccumulator {
  readonly #options: LoadAccumulatorOptions;
  readonly #signals = new Map<Signal, SignalTotals>(SIGNALS.map((signal) => [signal, new SignalTotals()]));
  readonly #utilisation = new Map<string, { service: string; instance: string; said: InstanceUtilisation }>();
  #instances = 0;
  #instancesLeftOut = 0;
  #lag: readonly PartitionLag[] = [];
  #ringEpoch = 0;
  #fromUnixMs: number;
  #slotsFromUnixMs: number;
  /** Reports of an earlier ring epoch that wait for the next drain. */
  #cut: LoadReport[] = [];

  constructor(options: LoadAccumulatorOptions) {
    this.#options = options;
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
  drain(nowUnixMs: number): LoadReport[] {
    const cut = this.#cut;
    this.#cut = [];
    return [...cut, ...this.#take(nowUnixMs)];
  }

  #take(nowUnixMs: number): LoadReport[] {
    // `to` must grow from report to report, or a reader takes the second for a duplicate: also when the clock was set back.
    const toUnixMs = Math.max(nowUnixMs, this.#fromUnixMs + 1);
    const withSlots = toUnixMs - this.#slotsFromUnixMs >= this.#options.slotIntervalMs;
    const parts = new Parts();
    const utilisation = this.#takeUtilisation(toUnixMs);
    for (const [signal, totals] of this.#signals) {
      for (const shard of totals.shards.values()) parts.add(signal, 'shards', shard, encodeShard(shard).length);
      for (const [key, instance] of totals.instances) {
        const load = instance.load(utilisation.get(key));
        utilisation.delete(key);
        parts.add(signal, 'instances', load, encodeInstance(load).length);
      }
      if (withSlots && totals.touched.length > 0) {
        const slots = totals.takeSlots(this.#slotsFromUnixMs, toUnixMs);
        parts.addSlots(signal, slots, encodeSlots(slots).length);
      }
      totals.shards.clear();
      totals.instances.clear();
    }
    // Said by an instance without items of its own in this time, or one that found no place above.
    for (const [key, said] of utilisation) {
      const entry = this.#utilisation.get(key)!;
      const load = new InstanceTotals(entry.service, entry.instance).load(said);
      parts.add('metrics', 'instances', load, encodeInstance(load).length);
    }
    for (const lag of this.#lag) parts.addLag(lag, encodeLag(lag).length);
    const reports = parts.reports({
      reporter: this.#options.reporter,
      fromUnixMs: this.#fromUnixMs,
      toUnixMs,
      ringEpoch: this.#ringEpoch,
      instancesLeftOut: this.#instancesLeftOut,
    });
    this.#fromUnixMs = toUnixMs;
    if (withSlots) this.#slotsFromUnixMs = toUnixMs;
    this.#instances = 0;
    this.#instancesLeftOut = 0;
    this.#lag = [];
    return reports;
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

/** For the reporter: `for (const value of encodeAll(accumulator.drain(now))) …`. */
export function encodeAll(reports: readonly LoadReport[]): Uint8Array[] {
  return reports.map(encodeLoadReport);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

class SignalTotals {
  readonly shards = new Map<number, Mutable<ShardLoad>>();
  readonly instances = new Map<string, InstanceTotals>();
  /** Slots with bytes, in order of first appearance. */
  touched: number[] = [];
  #slotBytes = new Float64Array(65_536);

  addShard(shard: ShardAggregate): void {
    const known = this.shards.get(shard.shard);
    if (!known) {
      const { shard: id, items, bytes, errors, latencySumNs, latencyMinNs, latencyMaxNs } = shard;
      this.shards.set(id, { shard: id, items, bytes, errors, latencySumNs, latencyMinNs, latencyMaxNs });
      return;
    }
    known.latencyMinNs = known.items === 0 ? shard.latencyMinNs : Math.min(known.latencyMinNs, shard.latencyMinNs);
    known.latencyMaxNs = Math.max(known.latencyMaxNs, shard.latencyMaxNs);
    known.latencySumNs += shard.latencySumNs;
    known.items += shard.items;
    known.bytes += shard.bytes;
    known.errors += shard.errors;
  }

  addSlots(slotBytes: Uint32Array): void {
    for (let i = 0; i < slotBytes.length; i += 2) {
      const slot = slotBytes[i]!;
      if (slot >= this.#slotBytes.length) {
        // 2^18 slots above 256 shards.
        const larger = new Float64Array(262_144);
        larger.set(this.#slotBytes);
        this.#slotBytes = larger;
      }
      if (this.#slotBytes[slot] === 0) this.touched.push(slot);
      this.#slotBytes[slot]! += slotBytes[i + 1]!;
    }
  }

  takeSlots(fromUnixMs: number, toUnixMs: number): SlotLoad {
    const bytes = this.#slotBytes;
    const byLoad = this.touched.sort((a, b) => bytes[b]! - bytes[a]! || a - b);
    const listed = byLoad.slice(0, MAX_REPORTED_SLOTS).sort((a, b) => a - b);
    const rest = byLoad.slice(MAX_REPORTED_SLOTS);
    const load: SlotLoad = {
      fromUnixMs,
      toUnixMs,
      slotBytes: listed.flatMap((slot) => [slot, bytes[slot]!]),
      restSlots: rest.length,
      restBytes: rest.reduce((sum, slot) => sum + bytes[slot]!, 0),
    };
    for (const slot of byLoad) bytes[slot] = 0;
    this.touched = [];
    return load;
  }
}

class InstanceTotals {
  readonly #service: string;
  readonly #instance: string;
  readonly #sums = { items: 0, bytes: 0, requests: 0, requestErrors: 0, requestLatencySumNs: 0 };
  #latency: Float64Array | null = null;

  constructor(service: string, instance: string) {
    this.#service = service;
    this.#instance = instance;
  }

  add(aggregate: ServiceAggregate): void {
    this.#sums.items += aggregate.items;
    this.#sums.bytes += aggregate.bytes;
    this.#sums.requests += aggregate.requests;
    this.#sums.requestErrors += aggregate.requestErrors;
    this.#sums.requestLatencySumNs += aggregate.requestLatencySumNs;
    if (aggregate.requests === 0) return;
    this.#latency ??= new Float64Array(LATENCY_BUCKETS);
    for (let i = 0; i < LATENCY_BUCKETS; i++) this.#latency[i]! += aggregate.requestLatency[i] ?? 0;
  }

  load(utilisation: { cpu: number | null; memory: number | null } | undefined): InstanceLoad {
    const sparse: number[] = [];
    this.#latency?.forEach((count, bucket) => {
      if (count > 0) sparse.push(bucket, count);
    });
    return {
      service: this.#service,
      instance: this.#instance,
      ...this.#sums,
      requestLatency: sparse,
      cpuUtilisation: utilisation?.cpu ?? null,
      memoryUtilisation: utilisation?.memory ?? null,
    };
  }
}

interface OpenPart {
  bytes: number;
  readonly signals: Map<Signal, { shards: ShardLoad[]; instances: InstanceLoad[]; slots: SlotLoad | null }>;
  readonly lag: PartitionLag[];
}

/** Fills reports row by row; a row that does not fit any more opens the next one. */
class Parts {
  readonly #parts: OpenPart[] = [{ bytes: REPORT_OVERHEAD_BYTES, signals: new Map(), lag: [] }];

  add(signal: Signal, rows: 'shards', row: ShardLoad, bytes: number): void;
  add(signal: Signal, rows: 'instances', row: InstanceLoad, bytes: number): void;
  add(signal: Signal, rows: 'shards' | 'instances', row: ShardLoad | InstanceLoad, bytes: number): void {
    (this.#signal(signal, bytes)[rows] as (ShardLoad | InstanceLoad)[]).push(row);
  }

  addSlots(signal: Signal, slots: SlotLoad, bytes: number): void {
    this.#signal(signal, bytes).slots = slots;
  }

  addLag(lag: PartitionLag, bytes: number): void {
    this.#room(bytes).lag.push(lag);
  }

  reports(head: Omit<LoadReport, 'part' | 'parts' | 'signals' | 'lag'>): LoadReport[] {
    return this.#parts.map((part, index) => ({
      ...head,
      // Told once, not once a part.
      instancesLeftOut: index === 0 ? head.instancesLeftOut : 0,
      part: index,
      parts: this.#parts.length,
      signals: [...part.signals].map(([signal, rows]) => ({ signal, ...rows })),
      lag: part.lag,
    }));
  }

  #signal(signal: Signal, bytes: number) {
    const part = this.#room(bytes);
    const rows = part.signals.get(signal) ?? { shards: [], instances: [], slots: null };
    part.signals.set(signal, rows);
    return rows;
  }

  #room(bytes: number): OpenPart {
    const needed = bytes + ROW_OVERHEAD_BYTES;
    const last = this.#parts.at(-1)!;
    if (last.bytes + needed <= MAX_REPORT_BYTES) {
      last.bytes += needed;
      return last;
    }
    const next: OpenPart = { bytes: REPORT_OVERHEAD_BYTES + needed, signals: new Map(), lag: [] };
    this.#parts.push(next);
    return next;
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
