/** Runs a poll through every split kernel and fails where they differ; what comes back is owned, and holds for all. */
import { expect } from 'vitest';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import type {
  RecordStatus,
  Routing,
  SplitAggregates,
  SplitInput,
  SplitKernel,
  SplitLimits,
  SplitResult,
} from '../../src/kernels/split/kernel.ts';
import { RECORD_STATUS } from '../../src/kernels/split/kernel.ts';
import type { Signal } from '../../src/signals.ts';
import { KERNEL_TWINS } from './kernel-twins.ts';

/** What is held against each other; the first is right. */
export type NamedSplit = { readonly name: string; readonly split: SplitKernel };

export interface SplitAnswer {
  readonly taken: number;
  readonly statuses: ReadonlyArray<keyof typeof RECORD_STATUS>;
  readonly outputs: ReadonlyArray<{ readonly shard: number; readonly group: number; readonly value: Buffer }>;
  readonly aggregates: SplitAggregates;
}

export const ROOMY: SplitLimits = { maxRecordBytes: 1024 * 1024, maxOutputBytes: 256 * 1024 * 1024 };

const SLOTS_OF_16_SHARDS = createReferenceRing().assign(
  Array.from({ length: 16 }, (_, shard) => ({ shard, weight: 1 })),
  160,
  16,
);

/** 16 shards on 2^16 slots, by trace id, without overrides, unless told otherwise. */
export function routingWith(changes: Partial<Routing> = {}): Routing {
  return {
    selector: { kind: 'trace_id' },
    slotBits: 16,
    slots: SLOTS_OF_16_SHARDS,
    shardCount: 16,
    overrides: new Map(),
    ...changes,
  };
}

const routingSet = new WeakMap<SplitKernel, Map<Signal, Routing>>();

export async function splitWithAll(
  signal: Signal,
  input: SplitInput,
  limits: SplitLimits = ROOMY,
  routing: Routing = DEFAULT_ROUTING,
  kernels: readonly NamedSplit[] = KERNEL_TWINS,
): Promise<SplitAnswer> {
  const answers: Array<{ name: string; answer: SplitAnswer }> = [];
  for (const { name, split } of kernels) {
    setRoutingOnce(split, signal, routing);
    const result = await split.split(signal, input, limits);
    answers.push({ name, answer: answerOf(result) });
    result.release();
  }
  const [first, ...others] = answers as [{ name: string; answer: SplitAnswer }, ...typeof answers];
  for (const { name, answer } of others) {
    if (same(first.answer, answer)) continue;
    expect
      .soft(printable(answer), `${name} against ${first.name} for ${describeInput(signal, input, limits)}`)
      .toEqual(printable(first.answer));
    throw new Error(`${name} and ${first.name} differ`);
  }
  return first.answer;
}

const DEFAULT_ROUTING = routingWith();

function setRoutingOnce(kernel: SplitKernel, signal: Signal, routing: Routing): void {
  const routings = routingSet.get(kernel) ?? new Map<Signal, Routing>();
  routingSet.set(kernel, routings);
  if (routings.get(signal) === routing) return;
  kernel.setRouting(signal, routing);
  routings.set(signal, routing);
}

const STATUS_NAMES = Object.fromEntries(Object.entries(RECORD_STATUS).map(([name, code]) => [code, name])) as Readonly<
  Record<RecordStatus, keyof typeof RECORD_STATUS>
>;

export function answerOf(result: SplitResult): SplitAnswer {
  return {
    taken: result.taken,
    statuses: result.statuses.map((status) => STATUS_NAMES[status]),
    outputs: result.outputs.map(({ shard, group, value }) => ({ shard, group, value: Buffer.from(value) })),
    aggregates: result.aggregates,
  };
}

function same(a: SplitAnswer, b: SplitAnswer): boolean {
  return (
    a.outputs.length === b.outputs.length &&
    a.outputs.every((output, index) => {
      const other = b.outputs[index]!;
      return output.shard === other.shard && output.group === other.group && output.value.equals(other.value);
    }) &&
    JSON.stringify(printable({ ...a, outputs: [] })) === JSON.stringify(printable({ ...b, outputs: [] }))
  );
}

function printable({ taken, statuses, outputs, aggregates }: SplitAnswer) {
  return {
    taken,
    statuses: [...statuses],
    outputs: outputs.map(({ shard, group, value }) => `${shard}/${group} ${value.toString('hex')}`),
    aggregates: {
      ...aggregates,
      slotBytes: [...aggregates.slotBytes],
      keySamples: {
        hashes: [...aggregates.keySamples.hashes].map(String),
        bytes: [...aggregates.keySamples.bytes],
        names: aggregates.keySamples.names.map(({ hash, text }) => `${hash} ${text}`),
      },
      services: aggregates.services.map((service) => ({ ...service, requestLatency: [...service.requestLatency] })),
      watched: aggregates.watched.map((watched) => ({
        ...watched,
        metric: Buffer.from(watched.metric).toString('hex'),
      })),
    },
  };
}

function describeInput(signal: Signal, { values, groups }: SplitInput, limits: SplitLimits): string {
  const texts = values.map((value) => (value === null ? 'null' : Buffer.from(value).toString('hex').slice(0, 8_192)));
  return `${signal} ${JSON.stringify(limits)} groups ${groups?.join() ?? 'none'} values ${texts.join(' | ')}`;
}
