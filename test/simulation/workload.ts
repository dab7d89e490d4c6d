/** What an installation has to do: spans that come in, and wishes about its shards. */
import { encodeRequest } from '../../src/coordination/requests.ts';
import type { ControlState } from '../../src/coordination/state.ts';
import type { Wish } from '../../src/coordination/wishes.ts';
import type { Producer } from '../../src/kafka/port.ts';
import type { Names } from '../../src/names.ts';
import { SpanSource } from './spans.ts';
import { ACTIVE_MS, type Tally, type Traits } from './traits.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Requests. */
const MEAN_BATCH = 1.5;

export interface WorkloadOptions {
  readonly time: VirtualTime;
  readonly names: Names;
  readonly producer: Producer;
  readonly traits: Traits;
  readonly tally: Tally;
  /** Of the traces, as they are now. */
  partitions(): number;
  state(): ControlState;
  /** Something is about to be asked for. */
  onWish(): void;
}

export class Workload {
  /** Ids of the spans. */
  readonly sent = new Set<string>();
  readonly #options: WorkloadOptions;
  readonly #spans: SpanSource;
  #wishes = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#spans = new SpanSource(options.time.random, options.traits);
  }

  begin(): void {
    const { time, traits } = this.#options;
    this.#feed();
    for (let i = 0; i < traits.wishes; i++)
      time.schedule(() => this.ask(this.#drawWish()), time.random.integer(500, ACTIVE_MS));
  }

  /** Some are sent twice. */
  ask(wish: Wish): void {
    const { time, names, producer, tally, onWish } = this.#options;
    onWish();
    const id = `wish-${++this.#wishes}`;
    const at = time.nowMs;
    const value = encodeRequest({ version: 1, id, member: 'operator', at, expiresAt: at + 30_000, wish });
    const send = () => void producer.send([{ topic: names.requests, partition: 0, value }]);
    tally(wish.kind);
    send();
    if (time.random.chance(0.25)) time.schedule(send, time.random.integer(0, 3_000));
  }

  #feed(): void {
    const { time, names, producer, traits, partitions } = this.#options;
    const { random } = time;
    if (time.elapsedMs > ACTIVE_MS) return;
    const batch = Array.from({ length: random.integer(1, 2) }, () =>
      this.#spans.request(time.elapsedMs, traits.feedEveryMs / MEAN_BATCH),
    );
    const partition = random.integer(0, partitions() - 1);
    for (const id of batch.flatMap(({ spanIds }) => spanIds)) this.sent.add(id);
    void producer.send(batch.map(({ value }) => ({ topic: names.ingest('traces'), partition, value })));
    time.schedule(() => this.#feed(), random.integer(0, 2 * traits.feedEveryMs));
  }

  #drawWish(): Wish {
    const { random } = this.#options.time;
    const shards = this.#options.state().ring?.signals.traces.shards.map(({ name }) => name) ?? ['traces-0000'];
    const kinds = ['create', 'split', 'move', 'move', 'merge', 'retire', 'abandon', 'abandon'] as const;
    switch (random.pick(kinds)) {
      case 'create':
        return { kind: 'create', signal: 'traces', name: `new-${this.#wishes}`, capacity: 1 };
      case 'split':
        return { kind: 'split', shard: random.pick(shards) };
      case 'move':
        return { kind: 'move', from: random.pick(shards), to: random.pick(shards), slots: random.integer(1, 20_000) };
      case 'merge':
        return { kind: 'merge', shard: random.pick(shards), into: random.pick(shards) };
      case 'retire':
        return { kind: 'retire', shard: random.pick(shards) };
      case 'abandon':
        return { kind: 'abandon' };
    }
  }
}
