/** What the shards of the traces hold: each item once, where its ring epoch says, copied where a change says so and nowhere twice. */
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';
import type { ProposedRing } from '../../src/coordination/state.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { type ItemRoute, shardOf } from '../support/item-routes.ts';
import { endsOf, type Holding, type RingCensus, RingCount } from '../support/ring-census.ts';
import { type LogReader, readOn } from './read-on.ts';

interface Activated {
  readonly proposed: ProposedRing;
  readonly cutShort: boolean;
  /** Partitions of the traces that had adopted it by then. */
  readonly adopted: number;
}

export class ShardAudit {
  readonly #port: KafkaPort;
  readonly #rings: ReadonlyMap<number, RingEpoch>;
  readonly #violated: (what: string) => void;
  /** By topic. */
  readonly #shards = new Map<string, { readonly reader: LogReader; readonly id: number }>();
  /** Of each epoch, where the shards' topics ended when it became active. */
  readonly #ends = new Map<number, Map<string, bigint>>();
  readonly #activated = new Map<number, Activated>();
  readonly #count: RingCount;

  /** `rings`: every ring epoch that there was; grows. */
  constructor(port: KafkaPort, rings: ReadonlyMap<number, RingEpoch>, violated: (what: string) => void) {
    this.#port = port;
    this.#rings = rings;
    this.#violated = violated;
    this.#count = new RingCount(rings, this.#ends);
  }

  async follow({ signals }: RingEpoch): Promise<void> {
    for (const { id, topic } of signals.traces.shards) {
      if (this.#shards.has(topic)) continue;
      const reader = this.#port.reader({ topic, partition: 0 });
      await reader.seek('earliest');
      this.#shards.set(topic, { reader, id });
    }
  }

  async activated(epoch: number): Promise<void> {
    if (this.#ends.has(epoch)) this.#violated(`ring epoch ${epoch} becomes active twice`);
    this.#ends.set(epoch, await endsOf(this.#port, this.#rings));
  }

  changed(proposed: ProposedRing, how: Omit<Activated, 'proposed'>): void {
    this.#activated.set(proposed.ring.epoch, { proposed, ...how });
  }

  /** `written`: topics that have perhaps more to be read than before. */
  async advance(written: Iterable<string>): Promise<void> {
    for (const topic of written) {
      const shard = this.#shards.get(topic);
      if (!shard) continue;
      await readOn(shard.reader, async (poll, i) =>
        this.#count.take(shard.id, topic, {
          ...{ offset: poll.offset(i), timestampMs: poll.timestampMs(i) },
          ...{ value: poll.value(i), headers: poll.headers(i) },
        }),
      );
    }
    if (this.#count.faults > 0) this.#checkRecords();
  }

  /** `sent`: span ids. */
  async finish(sent: ReadonlySet<string>): Promise<void> {
    await this.advance(this.#shards.keys());
    const { census } = this.#count;
    const counts = [...sent].map((id) => census.spans.get(id) ?? 0);
    this.#none(counts.filter((count) => count === 0).length, 'spans are in no shard');
    this.#none(counts.filter((count) => count > 1).length, 'spans are in a shard more than once');
    this.#none(census.items - counts.reduce((sum, count) => sum + count, 0), 'spans are in a shard that nobody sent');
    for (const [epoch, { proposed, cutShort, adopted }] of this.#activated) {
      if (!cutShort) this.#none(this.#uncopied(census, proposed), `spans are not copied by ring epoch ${epoch}`);
      if (proposed.ring.touched.traces.length === 0) continue;
      const marked = census.markers.get(epoch)?.size ?? 0;
      this.#none(Math.max(0, adopted - marked), `partitions have not marked where ring epoch ${epoch} begins`);
    }
  }

  #checkRecords(): void {
    const { misrouted, torn, backwards, late, badCopies } = this.#count.census;
    this.#none(misrouted, 'spans are in another shard than their ring epoch says');
    this.#none(torn, 'keys, or traces of a spread one, are in more than one shard of a ring epoch');
    this.#none(backwards, 'records of a partition are of an earlier ring epoch than the ones before them');
    this.#none(late, 'records are of an earlier ring epoch than the one that was active');
    this.#none(badCopies, 'copies are in the wrong shard, or where their items are already');
  }

  /** Of what the moved slots and keys got in the time that is copied, what is not in its new shard. */
  #uncopied({ holdings }: RingCensus, { ring, before, carryFrom }: ProposedRing): number {
    if (carryFrom === null) return 0;
    const [old, next] = [before.signals.traces, ring.signals.traces];
    const isMissing = (all: readonly Holding[], holding: Holding) => {
      const { shard, epoch, timestampMs, isCopy } = holding;
      const to = shardOf(next, holding);
      if (shardOf(old, holding) !== shard || to === shard || epoch >= ring.epoch || timestampMs < carryFrom)
        return false;
      // What a change that was cut short had under way may come late.
      if (isCopy && this.#activated.get(epoch)?.cutShort) return false;
      return (
        !all.some((of) => of.shard === to) &&
        !this.#couldHaveBeenCopied(holding, to, Math.min(...all.map((of) => of.epoch)), ring.epoch, carryFrom)
      );
    };
    return [...holdings.values()].filter((all) => all.some((holding) => isMissing(all, holding))).length;
  }

  /** By a change in between that brought it to the shard, but was cut short, or began with later items as a clock had been wrong. */
  #couldHaveBeenCopied(item: ItemRoute, to: number, since: number, until: number, carryFrom: number): boolean {
    return [...this.#activated].some(
      ([epoch, { proposed, cutShort }]) =>
        epoch > since &&
        epoch < until &&
        shardOf(proposed.ring.signals.traces, item) === to &&
        shardOf(proposed.before.signals.traces, item) !== to &&
        proposed.carryFrom !== null &&
        (cutShort || proposed.carryFrom > carryFrom),
    );
  }

  #none(count: number, what: string): void {
    if (count !== 0) this.#violated(`${count} ${what}`);
  }
}
