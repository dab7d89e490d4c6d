/**
 * Load reports of the last window, added up: what the controller decides on, and what the API shows. Reports are added as they come and taken
 * out again when they have left the window, so that a look costs what changed, not what is there. Pure but for its own memory: time is passed in.
 *
 * Reporters' clocks: a report counts at its own `to`, so members' clocks have to agree within the window (NTP does).
 */
import type { LoadView, SignalView } from '../control/load-view.ts';
import type { InstanceLoad, LoadReport, ShardLoad, Usage } from '../load/load-report.ts';
import { bySignal, SIGNALS, type Signal } from '../signals.ts';
import { type MemberView, ReportingMembers } from './reporting-members.ts';
import { type ServiceDetails, ServiceInstances } from './service-instances.ts';

export interface LoadWindowOptions {
  readonly windowMs: number;
  /** How often reporters send slots: a slot report counts until two later ones are overdue. */
  readonly slotIntervalMs: number;
  /** Rows (shards and instances of reports) held at most; beyond it the oldest reports go early. Default 500,000, ~150 MB. */
  readonly maxRows?: number;
}

export interface ShardRates {
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
}

const DEFAULT_MAX_ROWS = 500_000;
/** Of less than a second no rate is taken. */
const LEAST_COVERED_MS = 1_000;

interface ShardTotals {
  items: number;
  bytes: number;
  /** Reports in the window that hold it. */
  rows: number;
}

/** A report in the window. */
interface Counted {
  readonly report: LoadReport;
  readonly rows: number;
  /** Rows that found no place in the table of instances: they are not taken out again either. */
  readonly refused: ReadonlySet<InstanceLoad>;
}

export class LoadWindow {
  readonly #options: Required<LoadWindowOptions>;
  /** In the order of the topic. */
  readonly #reports: Counted[] = [];
  readonly #members: ReportingMembers;
  readonly #instances: ServiceInstances;
  readonly #shards = new Map<Signal, Map<number, ShardTotals>>(SIGNALS.map((signal) => [signal, new Map()]));
  #rows = 0;
  #sinceUnixMs: number | null = null;
  /** null: to be looked up again. */
  #coveredMs: number | null = 0;

  constructor(options: LoadWindowOptions) {
    this.#options = { maxRows: DEFAULT_MAX_ROWS, ...options };
    const { windowMs, slotIntervalMs } = options;
    this.#members = new ReportingMembers(windowMs, slotIntervalMs);
    this.#instances = new ServiceInstances(windowMs);
  }

  /** Starts the clock of warming up. */
  begin(nowUnixMs: number): void {
    this.#sinceUnixMs ??= nowUnixMs;
  }

  /** In the order of the topic. Duplicates and reports from before the window are left out: false. */
  add(report: LoadReport, nowUnixMs: number): boolean {
    if (report.toUnixMs <= nowUnixMs - this.#options.windowMs || !this.#members.admit(report)) return false;
    let rows = 0;
    const refused = new Set<InstanceLoad>();
    this.#members.add(report);
    for (const { signal, shards, instances } of report.signals) {
      rows += shards.length + instances.length;
      this.#countShards(signal, shards, 1);
      for (const instance of instances) if (!this.#instances.add(instance, report.toUnixMs)) refused.add(instance);
    }
    this.#reports.push({ report, rows, refused });
    this.#rows += rows;
    this.#coveredMs = null;
    while (this.#rows > this.#options.maxRows && this.#reports.length > 1) this.#drop();
    return true;
  }

  /** What the reports in the window cover: from 1 s up to the window; 0 without reports. All rates are means over it. */
  coveredSeconds(nowUnixMs: number): number {
    this.#expire(nowUnixMs);
    if (this.#coveredMs === null) {
      let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      for (const { report } of this.#reports) {
        from = Math.min(from, report.fromUnixMs);
        to = Math.max(to, report.toUnixMs);
      }
      // Above the window where a member's clock is wrong, or one has not reported for long.
      this.#coveredMs = from > to ? 0 : Math.min(Math.max(to - from, LEAST_COVERED_MS), this.#options.windowMs);
    }
    return this.#coveredMs / 1_000;
  }

  /** For decide(). */
  view(nowUnixMs: number): LoadView {
    const { windowMs } = this.#options;
    const services = this.#instances.views(this.#divisor(nowUnixMs), nowUnixMs);
    const signals = bySignal((signal): SignalView => {
      const shards = [...this.shards(signal, nowUnixMs)];
      const shardBytesPerSecond = new Map(shards.map(([shard, { bytesPerSecond }]) => [shard, bytesPerSecond]));
      return { shardBytesPerSecond, ...this.#members.slotRates(signal) };
    });
    const warmingUp = this.#sinceUnixMs === null || nowUnixMs - this.#sinceUnixMs < windowMs;
    return { windowMs, warmingUp, services, signals };
  }

  /** Shards without load in the window are left out. */
  shards(signal: Signal, nowUnixMs: number): ReadonlyMap<number, ShardRates> {
    const seconds = this.#divisor(nowUnixMs);
    return new Map(
      [...this.#shards.get(signal)!].map(([shard, { items, bytes }]) => [
        shard,
        { itemsPerSecond: items / seconds, bytesPerSecond: bytes / seconds },
      ]),
    );
  }

  /**
   * What processors use for each shard: of what each said last, the part that the shard has of the bytes that it routed in the window. Shards
   * that no member with such a word routed to are left out. Goes through all reports of the window: for who looks at it, not for each tick.
   */
  shardUsage(signal: Signal, nowUnixMs: number): ReadonlyMap<number, Usage> {
    this.#expire(nowUnixMs);
    const usageOf = new Map(this.members(nowUnixMs).flatMap(({ id, usage }) => (usage ? [[id, usage] as const] : [])));
    const routed = new Map<string, { total: number; readonly byShard: Map<number, number> }>();
    for (const { report } of this.#reports) {
      if (!usageOf.has(report.reporter.id)) continue;
      const of = routed.get(report.reporter.id) ?? { total: 0, byShard: new Map<number, number>() };
      routed.set(report.reporter.id, of);
      for (const { signal: its, shards } of report.signals)
        for (const { shard, bytes } of shards) {
          of.total += bytes;
          if (its === signal) of.byShard.set(shard, (of.byShard.get(shard) ?? 0) + bytes);
        }
    }
    const used = new Map<number, Usage>();
    for (const [id, { total, byShard }] of routed) {
      const { cpuCores, rssBytes } = usageOf.get(id)!;
      for (const [shard, bytes] of byShard) {
        const part = total === 0 ? 0 : bytes / total;
        const before = used.get(shard) ?? { cpuCores: 0, rssBytes: 0 };
        used.set(shard, { cpuCores: before.cpuCores + part * cpuCores, rssBytes: before.rssBytes + part * rssBytes });
      }
    }
    return used;
  }

  /** By hash, 16 hex digits: the heaviest of each reporter. */
  keys(signal: Signal): SignalView['keys'] {
    return this.#members.slotRates(signal).keys;
  }

  services(nowUnixMs: number): ServiceDetails[] {
    return this.#instances.details(this.#divisor(nowUnixMs), nowUnixMs);
  }

  members(nowUnixMs: number): MemberView[] {
    return this.#members.views(this.#divisor(nowUnixMs), nowUnixMs);
  }

  /** What totals are divided by. Without reports they are all 0. */
  #divisor(nowUnixMs: number): number {
    return this.coveredSeconds(nowUnixMs) || 1;
  }

  #expire(nowUnixMs: number): void {
    const oldestUnixMs = nowUnixMs - this.#options.windowMs;
    while (this.#reports.length > 0 && this.#reports[0]!.report.toUnixMs <= oldestUnixMs) this.#drop();
    this.#instances.expire(nowUnixMs);
    this.#members.expire(nowUnixMs);
  }

  #drop(): void {
    const { report, rows, refused } = this.#reports.shift()!;
    this.#rows -= rows;
    this.#coveredMs = null;
    this.#members.remove(report);
    for (const { signal, shards, instances } of report.signals) {
      this.#countShards(signal, shards, -1);
      for (const instance of instances) if (!refused.has(instance)) this.#instances.remove(instance);
    }
  }

  #countShards(signal: Signal, shards: readonly ShardLoad[], sign: 1 | -1): void {
    const byShard = this.#shards.get(signal)!;
    for (const { shard, items, bytes } of shards) {
      const totals = byShard.get(shard) ?? { items: 0, bytes: 0, rows: 0 };
      byShard.set(shard, totals);
      totals.items += sign * items;
      totals.bytes += sign * bytes;
      totals.rows += sign;
      if (totals.rows === 0) byShard.delete(shard);
    }
  }
}
