/**
 * CPU and memory utilisation of a service instance (0..1), out of the metrics that it, or a Collector beside it, exports anyway.
 *
 * | family | metric (OpenTelemetry semantic conventions, older names of the Collector's receivers included) | read as |
 * |---|---|---|
 * | process | `process.cpu.utilization` | CPU utilisation: sum over `cpu.mode` |
 * | process | `process.memory.utilization` | memory utilisation (in percent where its description says so, as the Collector's does) |
 * | process | `process.memory.usage` | memory usage |
 * | container | `k8s.container.cpu.limit.utilization`, `k8s.container.cpu.limit_utilization`, `k8s.container.cpu_limit_utilization` | CPU utilisation |
 * | container | `k8s.container.memory.limit.utilization`, `k8s.container.memory.limit_utilization`, `k8s.container.memory_limit_utilization` | memory utilisation |
 * | container | `container.memory.percent` | memory utilisation in percent |
 * | container | `container.cpu.usage`, `k8s.container.cpu.usage` | CPUs in use: sum over `cpu.mode` |
 * | container | `container.cpu.limit`, `k8s.container.cpu.limit`, `k8s.container.cpu.limit.desired`, `k8s.container.cpu_limit` | CPU limit |
 * | container | `container.memory.usage`, `container.memory.usage.total`, `k8s.container.memory.usage` | memory usage |
 * | container | `container.memory.usage.limit`, `k8s.container.memory.limit`, `k8s.container.memory.limit.desired`, `k8s.container.memory_limit` | memory limit |
 * | container | `container.memory.available` | what is left up to the limit |
 * | pod | `k8s.pod.cpu.limit.utilization`, `k8s.pod.cpu.limit_utilization`, `k8s.pod.cpu_limit_utilization` | CPU utilisation |
 * | pod | `k8s.pod.memory.limit.utilization`, `k8s.pod.memory.limit_utilization`, `k8s.pod.memory_limit_utilization` | memory utilisation |
 * | pod | `k8s.pod.cpu.usage` | CPUs in use |
 * | pod | `k8s.pod.memory.usage` | memory usage |
 * | pod | `k8s.pod.memory.available` | what is left up to the limit |
 * | system | `system.cpu.utilization` | CPU utilisation: sum over the modes but `idle`, mean over the logical CPUs |
 * | system | `system.memory.utilization` | memory utilisation: state `used` |
 * | system | `system.memory.usage` | memory usage: state `used` |
 * | system | `system.memory.limit` | memory limit |
 *
 * Utilisation is taken as it is; usage is divided by the limit of its family or, where that has none, of a later family (so
 * `process.memory.usage` by the container's limit). An instance that says it in several ways is judged by the first family of the
 * table, and there by utilisation before usage. The last value wins; values are clamped to 0..1.
 */
import { ProtobufError, ProtobufReader } from '../protobuf/reader.ts';

export const FAMILIES = ['process', 'container', 'pod', 'system'] as const;
export type Family = (typeof FAMILIES)[number];
export type Resource = 'cpu' | 'memory';

/** One metric's say, its data points combined. */
export interface Reading {
  readonly family: Family;
  readonly resource: Resource;
  readonly measure: 'utilisation' | 'usage' | 'limit' | 'available';
  /** utilisation: 0..1; else CPUs or bytes. */
  readonly value: number;
}

interface Meaning extends Omit<Reading, 'value'> {
  readonly percent?: boolean;
}

const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ...meanings('process', 'cpu', 'utilisation', 'process.cpu.utilization'),
  ...meanings('process', 'memory', 'utilisation', 'process.memory.utilization'),
  ...meanings('process', 'memory', 'usage', 'process.memory.usage'),
  ...meanings('container', 'cpu', 'utilisation', ...limitUtilisation('k8s.container.cpu')),
  ...meanings('container', 'memory', 'utilisation', ...limitUtilisation('k8s.container.memory')),
  ['container.memory.percent', { family: 'container', resource: 'memory', measure: 'utilisation', percent: true }],
  ...meanings('container', 'cpu', 'usage', 'container.cpu.usage', 'k8s.container.cpu.usage'),
  ...meanings('container', 'cpu', 'limit', 'container.cpu.limit', ...limitNames('k8s.container.cpu')),
  ...meanings('container', 'memory', 'usage', 'container.memory.usage', 'container.memory.usage.total'),
  ...meanings('container', 'memory', 'usage', 'k8s.container.memory.usage'),
  ...meanings('container', 'memory', 'limit', 'container.memory.usage.limit', ...limitNames('k8s.container.memory')),
  ...meanings('container', 'memory', 'available', 'container.memory.available'),
  ...meanings('pod', 'cpu', 'utilisation', ...limitUtilisation('k8s.pod.cpu')),
  ...meanings('pod', 'memory', 'utilisation', ...limitUtilisation('k8s.pod.memory')),
  ...meanings('pod', 'cpu', 'usage', 'k8s.pod.cpu.usage'),
  ...meanings('pod', 'memory', 'usage', 'k8s.pod.memory.usage'),
  ...meanings('pod', 'memory', 'available', 'k8s.pod.memory.available'),
  ...meanings('system', 'cpu', 'utilisation', 'system.cpu.utilization'),
  ...meanings('system', 'memory', 'utilisation', 'system.memory.utilization'),
  ...meanings('system', 'memory', 'usage', 'system.memory.usage'),
  ...meanings('system', 'memory', 'limit', 'system.memory.limit'),
]);

function meanings(
  family: Family,
  resource: Resource,
  measure: Reading['measure'],
  ...names: string[]
): [string, Meaning][] {
  return names.map((name) => [name, { family, resource, measure }]);
}

function limitUtilisation(stem: string): string[] {
  return [`${stem}.limit.utilization`, `${stem}.limit_utilization`, `${stem}_limit_utilization`];
}

function limitNames(stem: string): string[] {
  return [`${stem}.limit`, `${stem}.limit.desired`, `${stem}_limit`];
}

/** Names that the attribute for a CPU mode or memory state has had. */
const STATE_KEYS = new Set(['cpu.mode', 'state', 'process.cpu.state', 'system.cpu.state', 'system.memory.state']);
const LOGICAL_CPU_KEYS = new Set(['cpu.logical_number', 'system.cpu.logical_number', 'cpu']);

/** null: a metric that says nothing of CPU or memory, or is no valid message (it is counted and delivered as it is, all the same). */
export function readingOf(metric: Uint8Array): Reading | null {
  try {
    return parse(metric);
  } catch (error) {
    if (error instanceof ProtobufError) return null;
    throw error;
  }
}

/**
 * Metric: name 1 string, description 2 string, unit 3 string, gauge 5 message, sum 7 message.
 * Gauge and Sum: data_points 1 message, repeated.
 */
function parse(metric: Uint8Array): Reading | null {
  const reader = new ProtobufReader(metric);
  let meaning: Meaning | undefined;
  let percent = false;
  const points: Point[] = [];
  while (reader.next()) {
    if (reader.field === 1) meaning = MEANINGS.get(reader.string());
    else if (reader.field === 2) percent ||= /^percent/i.test(reader.string());
    else if (reader.field === 3) percent ||= reader.string() === '%';
    else if (reader.field === 5 || reader.field === 7) {
      const inner = reader.message();
      while (inner.next()) {
        const point = inner.field === 1 ? parsePoint(inner.message()) : null;
        if (point) points.push(point);
      }
    }
  }
  if (!meaning) return null;
  const combined = combine(meaning, points);
  if (combined === null) return null;
  const { family, resource, measure } = meaning;
  // The Collector describes process.cpu.utilization as a "percentage … expressed as a value between 0 and 1".
  const inPercent = measure === 'utilisation' && (meaning.percent || (percent && resource === 'memory'));
  return { family, resource, measure, value: inPercent ? combined / 100 : combined };
}

interface Point {
  readonly value: number;
  readonly state: string;
  readonly logicalCpu: string;
}

/**
 * NumberDataPoint: as_double 4 double, as_int 6 sfixed64, attributes 7 message, flags 8 uint32 (bit 0: no value).
 * KeyValue: key 1 string, value 2 message. AnyValue: string_value 1 string, int_value 3 varint.
 */
function parsePoint(reader: ProtobufReader): Point | null {
  let value: number | null = null;
  let state = '';
  let logicalCpu = '';
  while (reader.next()) {
    if (reader.field === 4) value = reader.double();
    else if (reader.field === 6) value = reader.sfixed64();
    else if (reader.field === 7) {
      const attribute = parseAttribute(reader.message());
      if (STATE_KEYS.has(attribute.key)) state = attribute.text;
      else if (LOGICAL_CPU_KEYS.has(attribute.key)) logicalCpu = attribute.text;
    } else if (reader.field === 8 && (reader.uint() & 1) === 1) return null;
  }
  return value === null || !Number.isFinite(value) ? null : { value, state, logicalCpu };
}

function parseAttribute(reader: ProtobufReader): { key: string; text: string } {
  let key = '';
  let text = '';
  while (reader.next()) {
    if (reader.field === 1) key = reader.string();
    else if (reader.field === 2) {
      const value = reader.message();
      while (value.next()) {
        if (value.field === 1) text = value.string();
        else if (value.field === 3) text = String(value.uint());
      }
    }
  }
  return { key, text };
}

function combine(meaning: Meaning, points: readonly Point[]): number | null {
  const last = new Map<string, Map<string, number>>();
  for (const point of points) {
    const states = last.get(point.logicalCpu) ?? new Map<string, number>();
    last.set(point.logicalCpu, states.set(point.state, point.value));
  }
  if (last.size === 0) return null;
  let sum = 0;
  let counted = 0;
  for (const states of last.values()) {
    const value = meaning.resource === 'cpu' ? busy(states) : used(states);
    if (value === null) continue;
    sum += value;
    counted++;
  }
  return counted === 0 ? null : sum / counted;
}

/** Data points come either without a mode or by mode; a total among them stands for all. */
function busy(states: ReadonlyMap<string, number>): number | null {
  const total = states.get('');
  if (total !== undefined) return total;
  let sum = 0;
  for (const [state, value] of states) if (state !== 'idle') sum += value;
  // Only the idle share is told: the rest is busy.
  return states.size === 1 && states.has('idle') ? 1 - states.get('idle')! : sum;
}

function used(states: ReadonlyMap<string, number>): number | null {
  return states.get('') ?? states.get('used') ?? null;
}

/** After this a value of an earlier family no longer hides a later family's. Three of the SDKs' default export intervals. */
const FAMILY_HOLD_MS = 180_000;

type Measures = Map<Reading['measure'], { value: number; sinceDrain: boolean; atUnixMs: number }>;

/** What one instance said so far. */
export class InstanceUtilisation {
  readonly #measures = new Map<string, Measures>();
  #lastUnixMs = 0;

  /** When something was last said, by the clock given to `take`; 0 before. */
  get lastUnixMs(): number {
    return this.#lastUnixMs;
  }

  observe(reading: Reading): void {
    const key = `${reading.family}/${reading.resource}`;
    const measures: Measures = this.#measures.get(key) ?? new Map();
    this.#measures.set(key, measures);
    measures.set(reading.measure, { value: reading.value, sinceDrain: true, atUnixMs: 0 });
  }

  /** What is new since the last call; null: nothing. */
  take(nowUnixMs: number): Record<Resource, number | null> {
    for (const measures of this.#measures.values()) {
      for (const measure of measures.values()) {
        if (!measure.sinceDrain) continue;
        measure.atUnixMs = nowUnixMs;
        this.#lastUnixMs = nowUnixMs;
      }
    }
    const taken = { cpu: this.#judge('cpu', nowUnixMs), memory: this.#judge('memory', nowUnixMs) };
    for (const measures of this.#measures.values()) for (const measure of measures.values()) measure.sinceDrain = false;
    return taken;
  }

  #judge(resource: Resource, nowUnixMs: number): number | null {
    for (const family of FAMILIES) {
      const measures = this.#measures.get(`${family}/${resource}`);
      const utilisation = measures?.get('utilisation');
      if (utilisation && nowUnixMs - utilisation.atUnixMs <= FAMILY_HOLD_MS)
        return utilisation.sinceDrain ? clamp(utilisation.value) : null;
      const usage = measures?.get('usage');
      const limit = usage && this.#limit(resource, family, usage.value);
      if (usage && limit && nowUnixMs - usage.atUnixMs <= FAMILY_HOLD_MS)
        return usage.sinceDrain ? clamp(usage.value / limit) : null;
    }
    return null;
  }

  #limit(resource: Resource, from: Family, usage: number): number | null {
    for (const family of FAMILIES.slice(FAMILIES.indexOf(from))) {
      const measures = this.#measures.get(`${family}/${resource}`);
      const limit = measures?.get('limit')?.value;
      if (limit !== undefined && limit > 0) return limit;
      const available = measures?.get('available')?.value;
      const used = measures?.get('usage')?.value ?? usage;
      if (available !== undefined && available + used > 0) return available + used;
    }
    return null;
  }
}

function clamp(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}
