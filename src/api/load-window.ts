/** The load reports of the last seconds, summed up by shard, member and service instance. Rates are means over the window. */
import type { InstanceLoad, LoadReport } from '../load/load-report.ts';
import type { Signal } from '../signals.ts';
import type { ServiceDocument, ServiceLoadDocument } from './documents.ts';

/** A report comes about a second after the time that it covers, and clocks differ. */
const LATENESS_MS = 3_000;
/** Oldest reports go first beyond this. */
const MOST_REPORTS = 20_000;

export interface ShardRate {
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
}

export class LoadWindow {
  readonly #windowMs: number;
  readonly #now: () => number;
  #reports: LoadReport[] = [];
  readonly #seen = new Set<string>();

  constructor(windowMs: number, now: () => number = Date.now) {
    this.#windowMs = windowMs;
    this.#now = now;
  }

  add(report: LoadReport): void {
    const id = idOf(report);
    // What a producer sent twice counts once.
    if (this.#seen.has(id)) return;
    this.#seen.add(id);
    this.#reports.push(report);
    if (this.#reports.length > MOST_REPORTS || this.#reports[0]!.toUnixMs < this.#oldest) this.#prune();
  }

  /** Of the window, oldest first. */
  reports(): readonly LoadReport[] {
    this.#prune();
    return this.#reports;
  }

  /** What the reports of the window cover: less than the window after a start. 0 without reports. */
  get seconds(): number {
    const reports = this.reports();
    if (reports.length === 0) return 0;
    const from = Math.min(...reports.map(({ fromUnixMs }) => fromUnixMs));
    const to = Math.max(...reports.map(({ toUnixMs }) => toUnixMs));
    return Math.max(0.001, (to - from) / 1e3);
  }

  /** Shards without items in the window are left out. */
  shards(signal: Signal): ReadonlyMap<number, ShardRate> {
    const { seconds } = this;
    const rates = new Map<number, ShardRate>();
    for (const report of this.reports())
      for (const load of report.signals)
        if (load.signal === signal)
          for (const { shard, items, bytes } of load.shards) {
            const sum = rates.get(shard);
            rates.set(shard, {
              itemsPerSecond: (sum?.itemsPerSecond ?? 0) + items / seconds,
              bytesPerSecond: (sum?.bytesPerSecond ?? 0) + bytes / seconds,
            });
          }
    return rates;
  }

  services(): ServiceDocument[] {
    const { seconds } = this;
    const byService = new Map<string, Map<string, InstanceLoad[]>>();
    for (const report of this.reports())
      for (const load of report.signals)
        for (const instance of load.instances) {
          const instances = byService.get(instance.service) ?? new Map<string, InstanceLoad[]>();
          byService.set(instance.service, instances);
          instances.set(instance.instance, [...(instances.get(instance.instance) ?? []), instance]);
        }
    return [...byService]
      .map(([service, instances]) => ({
        service,
        ...loadOf([...instances.values()].flat(), seconds, meanOf([...instances.values()])),
        instances: [...instances]
          .map(([instance, loads]) => ({ instance, ...loadOf(loads, seconds, meanOf([loads])) }))
          .sort((a, b) => a.instance.localeCompare(b.instance)),
      }))
      .sort((a, b) => a.service.localeCompare(b.service));
  }

  get #oldest(): number {
    return this.#now() - this.#windowMs - LATENESS_MS;
  }

  #prune(): void {
    const kept = this.#reports.filter(({ toUnixMs }) => toUnixMs >= this.#oldest).slice(-MOST_REPORTS);
    if (kept.length === this.#reports.length) return;
    this.#reports = kept;
    this.#seen.clear();
    for (const report of kept) this.#seen.add(idOf(report));
  }
}

const idOf = ({ reporter, toUnixMs, part }: LoadReport): string => `${reporter.id}/${toUnixMs}/${part}`;

interface Utilisation {
  readonly cpu: number | null;
  readonly memory: number | null;
}

/** Mean over instances of each one's latest known utilisation. */
function meanOf(instances: readonly (readonly InstanceLoad[])[]): Utilisation {
  const mean = (latest: (load: InstanceLoad) => number | null) => {
    const known = instances.flatMap((loads) => loads.map(latest).findLast((value) => value !== null) ?? []);
    return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
  };
  return { cpu: mean((load) => load.cpuUtilisation), memory: mean((load) => load.memoryUtilisation) };
}

function loadOf(loads: readonly InstanceLoad[], seconds: number, { cpu, memory }: Utilisation): ServiceLoadDocument {
  const sum = (of: (load: InstanceLoad) => number) => loads.reduce((total, load) => total + of(load), 0);
  const requests = sum((load) => load.requests);
  const buckets = new Map<number, number>();
  for (const { requestLatency } of loads)
    for (let i = 0; i < requestLatency.length; i += 2)
      buckets.set(requestLatency[i]!, (buckets.get(requestLatency[i]!) ?? 0) + requestLatency[i + 1]!);
  return {
    itemsPerSecond: sum((load) => load.items) / seconds,
    bytesPerSecond: sum((load) => load.bytes) / seconds,
    requestsPerSecond: requests / seconds,
    errorShare: requests === 0 ? 0 : sum((load) => load.requestErrors) / requests,
    p50Ms: quantileMs(buckets, 0.5),
    p99Ms: quantileMs(buckets, 0.99),
    cpu,
    memory,
  };
}

/** Bucket (see `bucketOf` of the split kernel) -> count. null when empty. */
export function quantileMs(buckets: ReadonlyMap<number, number>, share: number): number | null {
  const total = [...buckets.values()].reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let left = Math.ceil(total * share);
  for (const [bucket, count] of [...buckets].sort(([a], [b]) => a - b)) {
    left -= count;
    if (left <= 0) return middleOfBucketNs(bucket) / 1e6;
  }
  return null;
}

/** The middle, by ratio, of a bucket's two ends. */
function middleOfBucketNs(bucket: number): number {
  if (bucket === 0) return 512;
  const octave = 10 + Math.floor((bucket - 1) / 4);
  const quarter = (bucket - 1) % 4;
  const low = 2 ** octave * (1 + quarter / 4);
  const high = 2 ** octave * (1 + (quarter + 1) / 4);
  return Math.sqrt(low * high);
}
