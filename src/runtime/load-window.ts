/**
 * Load reports of the last window, added up. Reports are added as they come and taken out again when they have left the window, so that a tick
 * costs what changed, not what is there. Pure but for its own memory: time is passed in.
 *
 * Reporters' clocks: a report counts at its own `to`, so members' clocks have to agree within the window (NTP does).
 */
import type { LoadView, ServiceView, SignalView } from '../control/load-view.ts';
import { LATENCY_BUCKETS } from '../kernels/split/kernel.ts';
import type { InstanceLoad, LoadReport, PartitionLag, Reporter, SlotLoad } from '../load/load-report.ts';
import { SIGNALS, type Signal } from '../signals.ts';

export interface LoadWindowOptions {
  readonly windowMs: number;
  /** How often reporters send slots: a slot report counts until two later ones are overdue. */
  readonly slotIntervalMs: number;
  /** Rows (shards and instances of reports) held at most; beyond it the oldest reports go early. Default 500,000, ~150 MB. */
  readonly maxRows?: number;
}

export interface MemberView {
  readonly id: string;
  readonly role: Reporter['role'];
  readonly version: string;
  /** Unix ms, by its own clock. */
  readonly lastHeardUnixMs: number;
  readonly ringEpoch: number;
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
}

export interface ShardRates {
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly errorsPerSecond: number;
  /** Traces: mean span duration; null without items. */
  readonly meanLatencyMs: number | null;
}

export interface InstanceDetails {
  readonly instance: string;
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly requestsPerSecond: number;
  readonly requestErrorsPerSecond: number;
  readonly meanLatencyMs: number | null;
  /** Upper bound of the bucket that holds it; null without requests. */
  readonly p95LatencyMs: number | null;
  readonly cpu: number | null;
  readonly memory: number | null;
  readonly lastHeardUnixMs: number;
}

export interface ServiceDetails {
  readonly service: string;
  readonly instances: readonly InstanceDetails[];
}

const DEFAULT_MAX_ROWS = 500_000;
/** Instances and members remembered beyond the window. */
const MAX_REMEMBERED = 20_000;
/** SDKs export metrics every 60 s by default: an instance that is heard only so often is there all the same. */
const LONGEST_SILENCE_MS = 150_000;

interface Totals {
  items: number;
  bytes: number;
  errors: number;
  latencySumNs: number;
  /** Reports in the window that hold it. */
  rows: number;
}

interface Instance {
  readonly service: string;
  readonly instance: string;
  readonly totals: Totals & { requests: number };
  readonly latency: Float64Array;
  cpu: Measured | null;
  memory: Measured | null;
  lastHeardUnixMs: number;
  /** Longest time between two reports of late. */
  gapMs: number;
}

interface Measured {
  readonly value: number;
  readonly atUnixMs: number;
}

interface Member {
  reporter: Reporter;
  toUnixMs: number;
  ringEpoch: number;
  /** Parts that came of the report with `toUnixMs`. */
  readonly parts: Set<number>;
  readonly slots: Map<Signal, SlotLoad>;
  items: number;
  bytes: number;
}

/** A report in the window. */
interface Counted {
  readonly report: LoadReport;
  readonly rows: number;
  /** Rows that found no place in the table of instances: they are not taken out again either. */
  readonly refused: Set<InstanceLoad>;
}

export class LoadWindow {
  readonly #options: Required<LoadWindowOptions>;
  readonly #reports: Counted[] = [];
  #rows = 0;
  #sinceUnixMs: number | null = null;
  readonly #members = new Map<string, Member>();
  readonly #shards = new Map<Signal, Map<number, Totals>>(SIGNALS.map((signal) => [signal, new Map()]));
  readonly #instances = new Map<string, Instance>();
  readonly #lag = new Map<string, PartitionLag & { atUnixMs: number }>();

  constructor(options: LoadWindowOptions) {
    this.#options = { maxRows: DEFAULT_MAX_ROWS, ...options };
  }

  /** Starts the clock of warming up, if no report has. */
  begin(nowUnixMs: number): void {
    this.#sinceUnixMs ??= nowUnixMs;
  }

  /** In the order of the topic. Duplicates and reports from before the window are left out: false. */
  add(report: LoadReport, nowUnixMs: number): boolean {
    if (report.toUnixMs <= nowUnixMs - this.#options.windowMs || !this.#admit(report)) return false;
    const rows = report.signals.reduce((sum, signal) => sum + signal.shards.length + signal.instances.length, 0);
    const counted: Counted = { report, rows, refused: new Set() };
    this.#reports.push(counted);
    this.#rows += rows;
    this.#count(counted, 1);
    while (this.#rows > this.#options.maxRows && this.#reports.length > 1) this.#drop();
    return true;
  }

  view(nowUnixMs: number): LoadView {
    this.#expire(nowUnixMs);
    const { windowMs } = this.#options;
    const services = this.services(nowUnixMs).map(
      ({ service, instances }): ServiceView => ({
        service,
        instances: instances.map(({ instance, requestsPerSecond, cpu, memory }) => ({
          instance,
          requestsPerSecond,
          cpu,
          memory,
        })),
      }),
    );
    const signals = Object.fromEntries(
      SIGNALS.map((signal): [Signal, SignalView] => {
        const shards = [...this.shards(signal, nowUnixMs)];
        return [
          signal,
          {
            shardBytesPerSecond: new Map(shards.map(([shard, rates]) => [shard, rates.bytesPerSecond])),
            ...this.#slotRates(signal),
          },
        ];
      }),
    ) as Record<Signal, SignalView>;
    const warmingUp = this.#sinceUnixMs === null || nowUnixMs - this.#sinceUnixMs < windowMs;
    return { windowMs, warmingUp, services, signals };
  }

  shards(signal: Signal, nowUnixMs: number): ReadonlyMap<number, ShardRates> {
    this.#expire(nowUnixMs);
    const seconds = this.#seconds(nowUnixMs);
    return new Map(
      [...this.#shards.get(signal)!].map(([shard, totals]) => [
        shard,
        {
          itemsPerSecond: totals.items / seconds,
          bytesPerSecond: totals.bytes / seconds,
          errorsPerSecond: totals.errors / seconds,
          meanLatencyMs: totals.items === 0 ? null : totals.latencySumNs / totals.items / 1e6,
        },
      ]),
    );
  }

  /** By name, instances too. */
  services(nowUnixMs: number): ServiceDetails[] {
    this.#expire(nowUnixMs);
    const seconds = this.#seconds(nowUnixMs);
    const byService = new Map<string, InstanceDetails[]>();
    for (const instance of this.#instances.values()) {
      if (!this.#active(instance, nowUnixMs)) continue;
      const instances = byService.get(instance.service) ?? [];
      byService.set(instance.service, instances);
      const { totals } = instance;
      instances.push({
        instance: instance.instance,
        itemsPerSecond: totals.items / seconds,
        bytesPerSecond: totals.bytes / seconds,
        requestsPerSecond: totals.requests / seconds,
        requestErrorsPerSecond: totals.errors / seconds,
        meanLatencyMs: totals.requests === 0 ? null : totals.latencySumNs / totals.requests / 1e6,
        p95LatencyMs: quantileMs(instance.latency, totals.requests, 0.95),
        cpu: this.#measured(instance.cpu, nowUnixMs),
        memory: this.#measured(instance.memory, nowUnixMs),
        lastHeardUnixMs: instance.lastHeardUnixMs,
      });
    }
    const byName = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
    for (const instances of byService.values()) instances.sort((a, b) => byName(a.instance, b.instance));
    return [...byService].sort(([a], [b]) => byName(a, b)).map(([service, instances]) => ({ service, instances }));
  }

  members(nowUnixMs: number): MemberView[] {
    this.#expire(nowUnixMs);
    const seconds = this.#seconds(nowUnixMs);
    return [...this.#members.values()].map(({ reporter, toUnixMs, ringEpoch, items, bytes }) => ({
      ...reporter,
      lastHeardUnixMs: toUnixMs,
      ringEpoch,
      itemsPerSecond: items / seconds,
      bytesPerSecond: bytes / seconds,
    }));
  }

  lag(nowUnixMs: number): PartitionLag[] {
    this.#expire(nowUnixMs);
    return [...this.#lag.values()].map(({ topic, partition, records }) => ({ topic, partition, records }));
  }

  /** Whether this report is news of its reporter. */
  #admit(report: LoadReport): boolean {
    const { reporter, toUnixMs, ringEpoch, part } = report;
    const member = this.#members.get(reporter.id);
    if (!member) {
      if (this.#members.size >= MAX_REMEMBERED) return false;
      const parts = new Set([part]);
      this.#members.set(reporter.id, { reporter, toUnixMs, ringEpoch, parts, slots: new Map(), items: 0, bytes: 0 });
      return true;
    }
    if (toUnixMs < member.toUnixMs || (toUnixMs === member.toUnixMs && member.parts.has(part))) return false;
    if (toUnixMs > member.toUnixMs) member.parts.clear();
    member.parts.add(part);
    member.reporter = reporter;
    member.toUnixMs = toUnixMs;
    member.ringEpoch = ringEpoch;
    return true;
  }

  #expire(nowUnixMs: number): void {
    const { windowMs, slotIntervalMs } = this.#options;
    while (this.#reports.length > 0 && this.#reports[0]!.report.toUnixMs <= nowUnixMs - windowMs) this.#drop();
    for (const [key, instance] of this.#instances)
      if (instance.totals.rows === 0 && nowUnixMs - instance.lastHeardUnixMs > LONGEST_SILENCE_MS)
        this.#instances.delete(key);
    for (const [id, member] of this.#members) {
      for (const [signal, slots] of member.slots)
        if (nowUnixMs - slots.toUnixMs > 2 * slotIntervalMs + windowMs) member.slots.delete(signal);
      if (nowUnixMs - member.toUnixMs > windowMs + slotIntervalMs) this.#members.delete(id);
    }
    for (const [key, lag] of this.#lag) if (nowUnixMs - lag.atUnixMs > LONGEST_SILENCE_MS) this.#lag.delete(key);
  }

  #drop(): void {
    const counted = this.#reports.shift()!;
    this.#rows -= counted.rows;
    this.#count(counted, -1);
  }

  #count({ report, refused }: Counted, sign: 1 | -1): void {
    const member = this.#members.get(report.reporter.id);
    for (const { signal, shards, instances, slots } of report.signals) {
      const byShard = this.#shards.get(signal)!;
      for (const shard of shards) {
        const totals = byShard.get(shard.shard) ?? { items: 0, bytes: 0, errors: 0, latencySumNs: 0, rows: 0 };
        byShard.set(shard.shard, totals);
        totals.items += sign * shard.items;
        totals.bytes += sign * shard.bytes;
        totals.errors += sign * shard.errors;
        totals.latencySumNs += sign * shard.latencySumNs;
        totals.rows += sign;
        // Gone with its last report, so that no rounding error of the sums stays.
        if (totals.rows === 0) byShard.delete(shard.shard);
        if (member) {
          // Not below 0: a member that was forgotten and is heard again began from there.
          member.items = Math.max(0, member.items + sign * shard.items);
          member.bytes = Math.max(0, member.bytes + sign * shard.bytes);
        }
      }
      for (const instance of instances) this.#countInstance(instance, report.toUnixMs, sign, refused);
      if (slots && sign === 1) member?.slots.set(signal, slots);
    }
    if (sign === 1)
      for (const lag of report.lag)
        this.#lag.set(`${lag.topic}/${lag.partition}`, { ...lag, atUnixMs: report.toUnixMs });
  }

  #countInstance(load: InstanceLoad, toUnixMs: number, sign: 1 | -1, refused: Set<InstanceLoad>): void {
    const key = `${load.service}\0${load.instance}`;
    let instance = this.#instances.get(key);
    if (!instance) {
      if (sign === -1 || this.#instances.size >= MAX_REMEMBERED) {
        refused.add(load);
        return;
      }
      instance = {
        service: load.service,
        instance: load.instance,
        totals: { items: 0, bytes: 0, errors: 0, latencySumNs: 0, rows: 0, requests: 0 },
        latency: new Float64Array(LATENCY_BUCKETS),
        cpu: null,
        memory: null,
        lastHeardUnixMs: toUnixMs,
        gapMs: 0,
      };
      this.#instances.set(key, instance);
    }
    if (refused.has(load)) return;
    const { totals } = instance;
    totals.items += sign * load.items;
    totals.bytes += sign * load.bytes;
    totals.errors += sign * load.requestErrors;
    totals.requests += sign * load.requests;
    totals.latencySumNs += sign * load.requestLatencySumNs;
    totals.rows += sign;
    for (let i = 0; i < load.requestLatency.length; i += 2) {
      const bucket = load.requestLatency[i]!;
      if (bucket < LATENCY_BUCKETS) instance.latency[bucket]! += sign * load.requestLatency[i + 1]!;
    }
    if (totals.rows === 0) Object.assign(totals, { items: 0, bytes: 0, errors: 0, latencySumNs: 0, requests: 0 });
    if (sign === -1) return;
    // Halves with each report, so that one outage of the reporters does not stay in it.
    instance.gapMs = Math.max(toUnixMs - instance.lastHeardUnixMs, instance.gapMs / 2);
    instance.lastHeardUnixMs = Math.max(instance.lastHeardUnixMs, toUnixMs);
    if (load.cpuUtilisation !== null) instance.cpu = { value: load.cpuUtilisation, atUnixMs: toUnixMs };
    if (load.memoryUtilisation !== null) instance.memory = { value: load.memoryUtilisation, atUnixMs: toUnixMs };
  }

  /** One that is heard every second is gone after the window; one that is heard every minute is not. */
  #active(instance: Instance, nowUnixMs: number): boolean {
    const patienceMs = Math.min(Math.max(this.#options.windowMs, 2.5 * instance.gapMs), LONGEST_SILENCE_MS);
    return nowUnixMs - instance.lastHeardUnixMs < patienceMs;
  }

  #measured(measured: Measured | null, nowUnixMs: number): number | null {
    return measured && nowUnixMs - measured.atUnixMs <= LONGEST_SILENCE_MS ? measured.value : null;
  }

  /** What the totals are divided by: the window, or what has passed of the first one. */
  #seconds(nowUnixMs: number): number {
    const passedMs = this.#sinceUnixMs === null ? 0 : nowUnixMs - this.#sinceUnixMs;
    return Math.min(Math.max(passedMs, 1_000), this.#options.windowMs) / 1_000;
  }

  #slotRates(signal: Signal): Pick<SignalView, 'slotBytesPerSecond' | 'restBytesPerSecond'> {
    const rates = new Map<number, number>();
    let restBytesPerSecond = 0;
    for (const member of this.#members.values()) {
      const load = member.slots.get(signal);
      if (!load) continue;
      const seconds = Math.max(load.toUnixMs - load.fromUnixMs, 1) / 1_000;
      for (let i = 0; i < load.slotBytes.length; i += 2) {
        const slot = load.slotBytes[i]!;
        rates.set(slot, (rates.get(slot) ?? 0) + load.slotBytes[i + 1]! / seconds);
      }
      restBytesPerSecond += load.restBytes / seconds;
    }
    return { slotBytesPerSecond: rates, restBytesPerSecond };
  }
}

function quantileMs(latency: Float64Array, count: number, quantile: number): number | null {
  if (count <= 0) return null;
  let seen = 0;
  for (let bucket = 0; bucket < latency.length; bucket++) {
    seen += latency[bucket]!;
    if (seen >= quantile * count) return bucketEndNs(bucket) / 1e6;
  }
  return null;
}

/** First latency in ns beyond the bucket: 1,024, then 4 an octave (see `bucketOf` of the split kernel). */
function bucketEndNs(bucket: number): number {
  if (bucket === 0) return 1_024;
  const octave = Math.floor((bucket - 1) / 4) + 10;
  const quarter = (bucket - 1) % 4;
  return 2 ** octave * (1 + (quarter + 1) / 4);
}
