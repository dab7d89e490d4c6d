/** The members whose reports a load window holds: which report is news, and what each said last. */
import { type KeyRate, type SignalView, UNHEARD_KEY } from '../control/load-view.ts';
import type { LoadReport, Reporter, SlotLoad, Usage } from '../load/load-report.ts';
import type { Signal } from '../signals.ts';

export interface MemberView extends Reporter {
  /** Unix ms, by its own clock. */
  readonly lastHeardUnixMs: number;
  readonly ringEpoch: number;
  /** That its last lag report in the window names, such as `otlp_spans/3`. */
  readonly partitions: readonly string[];
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
  /** That it said last; null: nothing yet. */
  readonly usage: Usage | null;
}

/** Remembered beyond the window, too. */
const MAX_MEMBERS = 20_000;

interface Member {
  reporter: Reporter;
  toUnixMs: number;
  ringEpoch: number;
  /** Parts that came of the report with `toUnixMs`. */
  readonly parts: Set<number>;
  readonly slots: Map<Signal, SlotLoad>;
  /** Lag is not told in every report. */
  lag: { readonly toUnixMs: number; readonly partitions: string[] } | null;
  usage: Usage | null;
  leaving: boolean;
  items: number;
  bytes: number;
}

export class ReportingMembers {
  readonly #windowMs: number;
  readonly #slotIntervalMs: number;
  readonly #members = new Map<string, Member>();

  constructor(windowMs: number, slotIntervalMs: number) {
    this.#windowMs = windowMs;
    this.#slotIntervalMs = slotIntervalMs;
  }

  /** Whether this report is news of its reporter: what a producer sent twice counts once. */
  admit(report: LoadReport): boolean {
    const { reporter, toUnixMs, ringEpoch, part } = report;
    const member = this.#members.get(reporter.id);
    if (!member) {
      if (this.#members.size >= MAX_MEMBERS) return false;
      const unheard = { slots: new Map(), lag: null, usage: null, leaving: false, items: 0, bytes: 0 };
      this.#members.set(reporter.id, { reporter, toUnixMs, ringEpoch, parts: new Set([part]), ...unheard });
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

  /** An admitted report. */
  add(report: LoadReport): void {
    const member = this.#count(report, 1);
    if (!member) return;
    for (const { signal, slots } of report.signals) if (slots) member.slots.set(signal, slots);
    member.usage = report.usage ?? member.usage;
    member.leaving = report.leaving;
    if (report.lag.length === 0) return;
    const { toUnixMs } = report;
    if (member.lag?.toUnixMs !== toUnixMs) member.lag = { toUnixMs, partitions: [] };
    for (const { topic, partition } of report.lag) member.lag.partitions.push(`${topic}/${partition}`);
  }

  /** A report that was added and has left the window. */
  remove(report: LoadReport): void {
    this.#count(report, -1);
  }

  expire(nowUnixMs: number): void {
    for (const [id, { slots, toUnixMs }] of this.#members) {
      for (const [signal, load] of slots)
        if (nowUnixMs - load.toUnixMs > 2 * this.#slotIntervalMs + this.#windowMs) slots.delete(signal);
      if (nowUnixMs - toUnixMs > this.#windowMs + this.#slotIntervalMs) this.#members.delete(id);
    }
  }

  /** Heard in the window, and not to have left. */
  views(seconds: number, nowUnixMs: number): MemberView[] {
    const oldestUnixMs = nowUnixMs - this.#windowMs;
    return [...this.#members.values()]
      .filter(({ toUnixMs, leaving }) => toUnixMs > oldestUnixMs && !leaving)
      .map(({ reporter, toUnixMs, ringEpoch, lag, items, bytes, usage }) => ({
        ...reporter,
        lastHeardUnixMs: toUnixMs,
        ringEpoch,
        partitions: lag && lag.toUnixMs > oldestUnixMs ? [...lag.partitions] : [],
        itemsPerSecond: items / seconds,
        bytesPerSecond: bytes / seconds,
        usage,
      }));
  }

  /** The last that each member said of its slots and keys, over the time that it covers. */
  slotRates(signal: Signal): Omit<SignalView, 'shardBytesPerSecond'> {
    const rates = new Map<number, number>();
    const keys = new Map<string, KeyRate>();
    let restBytesPerSecond = 0;
    for (const { slots } of this.#members.values()) {
      const load = slots.get(signal);
      if (!load) continue;
      const seconds = Math.max(load.toUnixMs - load.fromUnixMs, 1) / 1_000;
      for (let i = 0; i < load.slotBytes.length; i += 2) {
        const slot = load.slotBytes[i]!;
        rates.set(slot, (rates.get(slot) ?? 0) + load.slotBytes[i + 1]! / seconds);
      }
      restBytesPerSecond += load.restBytes / seconds;
      for (const { keyHash, bytes, errorBytes, name } of load.keys) {
        const { bytesPerSecond, errorBytesPerSecond, name: known } = keys.get(keyHash) ?? UNHEARD_KEY;
        keys.set(keyHash, {
          bytesPerSecond: bytesPerSecond + bytes / seconds,
          errorBytesPerSecond: errorBytesPerSecond + errorBytes / seconds,
          name: known || name,
        });
      }
    }
    return { slotBytesPerSecond: rates, restBytesPerSecond, keys };
  }

  #count({ reporter, signals, acceptedItems, acceptedBytes }: LoadReport, sign: 1 | -1): Member | undefined {
    const member = this.#members.get(reporter.id);
    if (!member) return undefined;
    const worked = [{ items: acceptedItems, bytes: acceptedBytes }, ...signals.flatMap(({ shards }) => shards)];
    for (const { items, bytes } of worked) {
      // Not below 0: a member that was forgotten and is heard again began from there.
      member.items = Math.max(0, member.items + sign * items);
      member.bytes = Math.max(0, member.bytes + sign * bytes);
    }
    return member;
  }
}
