/** The service instances of a load window: what the reports in it say of each, added up. */
import { meanOfKnown, type ServiceView } from '../control/load-view.ts';
import { LATENCY_BUCKETS } from '../kernels/split/kernel.ts';
import type { InstanceLoad } from '../load/load-report.ts';
import { latencyQuantileMs } from './latency-quantile.ts';

export interface ServiceRates {
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly requestsPerSecond: number;
  /** 0..1 of the requests. */
  readonly errorShare: number;
  /** null without requests. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** 0..1, null when unknown; of a service the mean over its instances. */
  readonly cpu: number | null;
  readonly memory: number | null;
}

export interface ServiceDetails extends ServiceRates {
  readonly service: string;
  readonly instances: readonly ({ readonly instance: string } & ServiceRates)[];
}

/** Remembered beyond the window, too. */
const MAX_INSTANCES = 20_000;
/** SDKs export metrics every 60 s by default: an instance that is heard only so often is there all the same. */
const LONGEST_SILENCE_MS = 150_000;

class Totals {
  items = 0;
  bytes = 0;
  requests = 0;
  requestErrors = 0;
  readonly latency = new Float64Array(LATENCY_BUCKETS);

  add(load: InstanceLoad, sign: 1 | -1): void {
    this.items += sign * load.items;
    this.bytes += sign * load.bytes;
    this.requests += sign * load.requests;
    this.requestErrors += sign * load.requestErrors;
    for (let i = 0; i < load.requestLatency.length; i += 2) {
      const bucket = load.requestLatency[i]!;
      if (bucket < LATENCY_BUCKETS) this.latency[bucket]! += sign * load.requestLatency[i + 1]!;
    }
  }

  merge(other: Totals): void {
    this.items += other.items;
    this.bytes += other.bytes;
    this.requests += other.requests;
    this.requestErrors += other.requestErrors;
    for (let i = 0; i < LATENCY_BUCKETS; i++) this.latency[i]! += other.latency[i]!;
  }
}

interface Instance {
  readonly service: string;
  readonly instance: string;
  totals: Totals;
  /** Reports in the window that hold it. */
  rows: number;
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

export class ServiceInstances {
  readonly #windowMs: number;
  readonly #instances = new Map<string, Instance>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** false: there is no room for one more instance, so this row must not be removed either. */
  add(load: InstanceLoad, toUnixMs: number): boolean {
    const key = keyOf(load);
    let instance = this.#instances.get(key);
    if (!instance) {
      if (this.#instances.size >= MAX_INSTANCES) return false;
      const { service, instance: name } = load;
      const unheard = { rows: 0, cpu: null, memory: null, lastHeardUnixMs: toUnixMs, gapMs: 0 };
      instance = { service, instance: name, totals: new Totals(), ...unheard };
      this.#instances.set(key, instance);
    }
    instance.totals.add(load, 1);
    instance.rows++;
    // Halves with each report, so that one outage of the reporters does not stay in it.
    instance.gapMs = Math.max(toUnixMs - instance.lastHeardUnixMs, instance.gapMs / 2);
    instance.lastHeardUnixMs = Math.max(instance.lastHeardUnixMs, toUnixMs);
    if (load.cpuUtilisation !== null) instance.cpu = { value: load.cpuUtilisation, atUnixMs: toUnixMs };
    if (load.memoryUtilisation !== null) instance.memory = { value: load.memoryUtilisation, atUnixMs: toUnixMs };
    return true;
  }

  /** A row that was added and has left the window. */
  remove(load: InstanceLoad): void {
    const instance = this.#instances.get(keyOf(load))!;
    instance.totals.add(load, -1);
    instance.rows--;
    // So that no rounding error of huge sums stays.
    if (instance.rows === 0) instance.totals = new Totals();
  }

  /** Forgets who has been silent too long. */
  expire(nowUnixMs: number): void {
    for (const [key, { rows, lastHeardUnixMs }] of this.#instances)
      if (rows === 0 && nowUnixMs - lastHeardUnixMs > LONGEST_SILENCE_MS) this.#instances.delete(key);
  }

  /** By name, instances too. */
  views(seconds: number, nowUnixMs: number): ServiceView[] {
    return this.#activeByService(nowUnixMs).map(([service, instances]) => ({
      service,
      instances: instances.map(({ instance, totals, cpu, memory }) => ({
        instance,
        requestsPerSecond: totals.requests / seconds,
        cpu: latest(cpu, nowUnixMs),
        memory: latest(memory, nowUnixMs),
      })),
    }));
  }

  /** By name, instances too. */
  details(seconds: number, nowUnixMs: number): ServiceDetails[] {
    return this.#activeByService(nowUnixMs).map(([service, active]) => {
      const together = new Totals();
      const instances = active.map(({ instance, totals, cpu, memory }) => {
        together.merge(totals);
        return {
          instance,
          ...ratesOf(totals, seconds),
          cpu: latest(cpu, nowUnixMs),
          memory: latest(memory, nowUnixMs),
        };
      });
      const [cpu, memory] = [meanOfKnown(instances.map((of) => of.cpu)), meanOfKnown(instances.map((of) => of.memory))];
      return { service, ...ratesOf(together, seconds), cpu, memory, instances };
    });
  }

  #activeByService(nowUnixMs: number): [service: string, instances: Instance[]][] {
    const active = [...this.#instances.values()].filter((instance) => this.#isActive(instance, nowUnixMs));
    active.sort((a, b) => byText(a.service, b.service) || byText(a.instance, b.instance));
    return [...Map.groupBy(active, ({ service }) => service)];
  }

  /** One that is heard every second is gone after the window; one that is heard every minute is not. */
  #isActive({ lastHeardUnixMs, gapMs }: Instance, nowUnixMs: number): boolean {
    const patienceMs = Math.min(Math.max(this.#windowMs, 2.5 * gapMs), LONGEST_SILENCE_MS);
    return nowUnixMs - lastHeardUnixMs < patienceMs;
  }
}

function keyOf({ service, instance }: InstanceLoad): string {
  return `${service}\0${instance}`;
}

/** By UTF-16 code unit: the same order on every machine, whatever its locale. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function latest(measured: Measured | null, nowUnixMs: number): number | null {
  return measured && nowUnixMs - measured.atUnixMs <= LONGEST_SILENCE_MS ? measured.value : null;
}

function ratesOf(totals: Totals, seconds: number): Omit<ServiceRates, 'cpu' | 'memory'> {
  return {
    itemsPerSecond: totals.items / seconds,
    bytesPerSecond: totals.bytes / seconds,
    requestsPerSecond: totals.requests / seconds,
    errorShare: totals.requests === 0 ? 0 : totals.requestErrors / totals.requests,
    p50Ms: latencyQuantileMs(totals.latency, 0.5),
    p99Ms: latencyQuantileMs(totals.latency, 0.99),
  };
}
