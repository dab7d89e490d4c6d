/** Reads the shard topics of the traces and holds every record against the ring epoch that it says it was routed by. */
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';
import type { Headers, KafkaPort, Value } from '../../src/kafka/port.ts';
import { type ItemRoute, ItemRoutes, shardOf, togetherBy } from './item-routes.ts';
import { decodeItems } from './otlp-schema.ts';
import { endOf, recordsOf } from './shard-census.ts';

export interface RingCensus {
  /** Span id (hex) -> how often it was seen. */
  readonly spans: ReadonlyMap<string, number>;
  /** Span id -> every time that a shard has it, copies too. */
  readonly holdings: ReadonlyMap<string, readonly Holding[]>;
  readonly items: number;
  /** Spans in another shard than their record's epoch says. */
  readonly misrouted: number;
  /** Keys with spans of one epoch in more than one shard; of a key that is spread its traces. */
  readonly torn: number;
  /** Records of a source behind ones, or behind a marker, of a later epoch of that source. */
  readonly backwards: number;
  /** Epoch -> sources that left a marker of it in each of the shards that it touches. */
  readonly markers: ReadonlyMap<number, ReadonlySet<string>>;
  /** Spans that were copied with a change, by span id, once for each epoch: where they were copied to. */
  readonly copies: ReadonlyMap<string, readonly { readonly epoch: number; readonly shard: number }[]>;
  /** Copies of a span into another shard than the epoch of the copy says, or into one that has it already. */
  readonly badCopies: number;
  /** Records of an earlier epoch at or after the offset that its topic ended at when a later one was seen active. */
  readonly late: number;
}

export interface Holding extends ItemRoute {
  readonly traceId: string;
  /** That it was routed or copied by. */
  readonly epoch: number;
  readonly shard: number;
  readonly timestampMs: number;
  readonly isCopy: boolean;
}

export interface ShardRecord {
  readonly offset: bigint;
  readonly timestampMs: number;
  readonly value: Value;
  readonly headers: Headers;
}

/** `rings`: every ring epoch that there was. `ends`: of each epoch, where the topics ended when it was seen active. */
export async function takeRingCensus(
  port: KafkaPort,
  rings: ReadonlyMap<number, RingEpoch>,
  ends: ReadonlyMap<number, ReadonlyMap<string, bigint>> = new Map(),
): Promise<RingCensus> {
  const count = new RingCount(rings, ends);
  const shards = new Map([...rings.values()].flatMap((ring) => ring.signals.traces.shards.map((of) => [of.id, of])));
  for (const { id, topic } of shards.values())
    for await (const record of recordsOf(port, topic)) count.take(id, topic, record);
  return count.census;
}

/** The census while it is taken, record by record: each shard's in order. What `rings` and `ends` hold may grow meanwhile. */
export class RingCount {
  readonly #rings: ReadonlyMap<number, RingEpoch>;
  readonly #ends: ReadonlyMap<number, ReadonlyMap<string, bigint>>;
  readonly #spans = new Map<string, number>();
  readonly #holdings = new Map<string, Holding[]>();
  readonly #copies = new Map<string, { epoch: number; shard: number }[]>();
  /** By epoch and what has to be together. */
  readonly #shardOf = new Map<string, number>();
  readonly #routes = new ItemRoutes();
  readonly #torn = new Set<string>();
  readonly #marked = new Map<string, Set<number>>();
  /** By shard and source: of its last record. */
  readonly #epochs = new Map<string, number>();
  readonly #counts = { items: 0, misrouted: 0, backwards: 0, late: 0, badCopies: 0 };

  constructor(rings: ReadonlyMap<number, RingEpoch>, ends: ReadonlyMap<number, ReadonlyMap<string, bigint>>) {
    this.#rings = rings;
    this.#ends = ends;
  }

  take(shard: number, topic: string, { offset, timestampMs, value, headers }: ShardRecord): void {
    const header = new Map(headers.map(([name, bytes]) => [name, new TextDecoder().decode(bytes)]));
    const epoch = Number(header.get('weir-ring-epoch'));
    const ring = this.#rings.get(epoch)!.signals.traces;
    if (header.has('weir-migrated-from')) {
      for (const item of decodeItems('traces', value!)) {
        const { spanId, traceId } = item;
        const route = this.#routes.of(ring, item);
        const before = this.#hold(spanId, { ...route, traceId, epoch, shard, timestampMs, isCopy: true });
        const isThere = before.some((of) => of.shard === shard);
        if (isThere || shardOf(ring, route) !== shard) this.#counts.badCopies++;
        this.#copies.set(spanId, [...(this.#copies.get(spanId) ?? []), { epoch, shard }]);
      }
      return;
    }
    const source = header.get('weir-source')!.split('/').slice(0, 2).join('/');
    if (epoch < (this.#epochs.get(`${shard} ${source}`) ?? 0)) this.#counts.backwards++;
    this.#epochs.set(`${shard} ${source}`, epoch);
    for (const [later, offsets] of this.#ends)
      if (epoch < later && offset >= (offsets.get(topic) ?? 0n)) this.#counts.late++;
    if (header.has('weir-marker')) {
      const key = `${epoch} ${source}`;
      this.#marked.set(key, (this.#marked.get(key) ?? new Set()).add(shard));
      return;
    }
    for (const item of decodeItems('traces', value!)) {
      const { spanId, traceId } = item;
      const route = this.#routes.of(ring, item);
      this.#counts.items++;
      this.#spans.set(spanId, (this.#spans.get(spanId) ?? 0) + 1);
      this.#hold(spanId, { ...route, traceId, epoch, shard, timestampMs, isCopy: false });
      if (shardOf(ring, route) !== shard) this.#counts.misrouted++;
      const together = `${epoch} ${togetherBy(ring, route)}`;
      const seen = this.#shardOf.get(together);
      if (seen === undefined) this.#shardOf.set(together, shard);
      else if (seen !== shard) this.#torn.add(together);
    }
  }

  /** What should never be; what the census has of it, all together. */
  get faults(): number {
    const { misrouted, backwards, late, badCopies } = this.#counts;
    return misrouted + backwards + late + badCopies + this.#torn.size;
  }

  get census(): RingCensus {
    const markers = new Map<number, Set<string>>();
    for (const [key, in_] of this.#marked) {
      const [epoch, source] = key.split(' ') as [string, string];
      if (!this.#rings.get(Number(epoch))!.touched.traces.every((shard) => in_.has(shard))) continue;
      markers.set(Number(epoch), (markers.get(Number(epoch)) ?? new Set()).add(source));
    }
    const [spans, holdings, copies, torn] = [this.#spans, this.#holdings, this.#copies, this.#torn.size];
    return { spans, holdings, copies, torn, markers, ...this.#counts };
  }

  #hold(spanId: string, holding: Holding): readonly Holding[] {
    const before = this.#holdings.get(spanId) ?? [];
    this.#holdings.set(spanId, [...before, holding]);
    return before;
  }
}

/** Where each topic that one of the rings names ends, open transactions included: these may hold others' older records behind them. */
export async function endsOf(port: KafkaPort, rings: ReadonlyMap<number, RingEpoch>): Promise<Map<string, bigint>> {
  const topics = new Set([...rings.values()].flatMap((ring) => ring.signals.traces.shards.map(({ topic }) => topic)));
  const ends = [...topics].map(async (topic) => [topic, await endOf(port, topic)] as const);
  return new Map(await Promise.all(ends));
}
