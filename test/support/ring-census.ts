/** Reads the shard topics of the traces and holds every record against the ring epoch that it says it was routed by. */
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { decodeItems } from './otlp-schema.ts';
import { recordsOf } from './shard-census.ts';

export interface RingCensus {
  /** Span id (hex) -> how often it was seen. */
  readonly spans: ReadonlyMap<string, number>;
  /** Span id -> every time that a shard has it, copies too. */
  readonly holdings: ReadonlyMap<string, readonly Holding[]>;
  readonly items: number;
  /** Spans in a shard that does not own their slot under their record's epoch. */
  readonly misrouted: number;
  /** Traces with spans of one epoch in more than one shard. */
  readonly torn: number;
  /** Records of a source behind ones, or behind a marker, of a later epoch of that source. */
  readonly backwards: number;
  /** Epoch -> sources that left a marker of it in each of the shards that it touches. */
  readonly markers: ReadonlyMap<number, ReadonlySet<string>>;
  /** Spans that were copied with a change, by span id, once for each epoch: where they were copied to. */
  readonly copies: ReadonlyMap<string, readonly { readonly epoch: number; readonly shard: number }[]>;
  /** Copies of a span into a shard that does not own its slot, or that has it already. */
  readonly badCopies: number;
  /** Records of an earlier epoch at or after the offset that its topic ended at when a later one was seen active. */
  readonly late: number;
}

export interface Holding {
  readonly traceId: string;
  /** That it was routed or copied by. */
  readonly epoch: number;
  readonly shard: number;
  readonly timestampMs: number;
  readonly isCopy: boolean;
}

const hash = createReferenceHash();
export const slotOf = (traceId: string, slotBits: number) =>
  Number(hash.xxh64(Buffer.from(traceId, 'hex')) >> BigInt(64 - slotBits));

/** `rings`: every ring epoch that there was. `ends`: of each epoch, where the topics ended when it was seen active. */
export async function takeRingCensus(
  port: KafkaPort,
  rings: ReadonlyMap<number, RingEpoch>,
  ends: ReadonlyMap<number, ReadonlyMap<string, bigint>> = new Map(),
): Promise<RingCensus> {
  const spans = new Map<string, number>();
  const holdings = new Map<string, Holding[]>();
  const shardOfTrace = new Map<string, number>();
  const slots = new Map<string, number>();
  const torn = new Set<string>();
  const hold = (spanId: string, holding: Holding) => {
    const before = holdings.get(spanId) ?? [];
    holdings.set(spanId, [...before, holding]);
    return before;
  };
  const marked = new Map<string, Set<number>>();
  const copies = new Map<string, { epoch: number; shard: number }[]>();
  let [items, misrouted, backwards, late, badCopies] = [0, 0, 0, 0, 0];
  const shards = new Map([...rings.values()].flatMap((ring) => ring.signals.traces.shards.map((of) => [of.id, of])));
  for (const { id: shard, topic } of shards.values()) {
    const epochOf = new Map<string, number>();
    for await (const { offset, timestampMs, value, headers } of recordsOf(port, topic)) {
      const header = new Map(headers.map(([name, bytes]) => [name, new TextDecoder().decode(bytes)]));
      const epoch = Number(header.get('weir-ring-epoch'));
      const ring = rings.get(epoch)!.signals.traces;
      if (header.has('weir-migrated-from')) {
        for (const { spanId, traceId } of decodeItems('traces', value!)) {
          const before = hold(spanId, { traceId, epoch, shard, timestampMs, isCopy: true });
          const isThere = before.some((of) => of.shard === shard);
          if (isThere || ring.slots[slotOf(traceId, ring.slotBits)] !== shard) badCopies++;
          copies.set(spanId, [...(copies.get(spanId) ?? []), { epoch, shard }]);
        }
        continue;
      }
      const source = header.get('weir-source')!.split('/').slice(0, 2).join('/');
      if (epoch < (epochOf.get(source) ?? 0)) backwards++;
      epochOf.set(source, epoch);
      for (const [later, offsets] of ends) if (epoch < later && offset >= (offsets.get(topic) ?? 0n)) late++;
      if (header.has('weir-marker')) {
        const key = `${epoch} ${source}`;
        marked.set(key, (marked.get(key) ?? new Set()).add(shard));
        continue;
      }
      for (const { spanId, traceId } of decodeItems('traces', value!)) {
        items++;
        spans.set(spanId, (spans.get(spanId) ?? 0) + 1);
        hold(spanId, { traceId, epoch, shard, timestampMs, isCopy: false });
        const slot = slots.get(traceId) ?? slotOf(traceId, ring.slotBits);
        slots.set(traceId, slot);
        if (ring.slots[slot] !== shard) misrouted++;
        const trace = `${epoch} ${traceId}`;
        const seen = shardOfTrace.get(trace);
        if (seen === undefined) shardOfTrace.set(trace, shard);
        else if (seen !== shard) torn.add(trace);
      }
    }
  }
  const markers = new Map<number, Set<string>>();
  for (const [key, in_] of marked) {
    const [epoch, source] = key.split(' ') as [string, string];
    if (!rings.get(Number(epoch))!.touched.traces.every((shard) => in_.has(shard))) continue;
    markers.set(Number(epoch), (markers.get(Number(epoch)) ?? new Set()).add(source));
  }
  return { spans, holdings, items, misrouted, torn: torn.size, backwards, markers, copies, badCopies, late };
}

/** Where each topic that one of the rings names ends, open transactions included: these may hold others' older records behind them. */
export async function endsOf(port: KafkaPort, rings: ReadonlyMap<number, RingEpoch>): Promise<Map<string, bigint>> {
  const topics = new Set([...rings.values()].flatMap((ring) => ring.signals.traces.shards.map(({ topic }) => topic)));
  const ends = [...topics].map(async (topic) => {
    const reader = port.reader({ topic, partition: 0 }, { isolation: 'read_uncommitted' });
    await reader.seek('latest');
    const end = reader.position;
    await reader.close();
    return [topic, end] as const;
  });
  return new Map(await Promise.all(ends));
}
