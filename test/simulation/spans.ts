/**
 * The spans of the workload: of a few traces at a time and of many services, padded so that they are a load. The load rises and falls, and for a
 * while most of it is of one key: so that shards become too full and too empty, and a key too hot.
 */
import { attribute } from '../../src/loadgen/corpus-vocabulary.ts';
import type { SeededRandom } from '../../src/loadgen/seeded-random.ts';
import { ProtobufWriter } from '../../src/protobuf/writer.ts';
import type { Period, Traits } from './traits.ts';

/** Bytes/s. A key is known to be hot by some dozens of samples, of which there is one for each 16 KiB. */
const HIGH_LOAD = 400_000;
const LOW_LOAD = 60_000;
/** Of the spans, those of the one key: while it is hot, and else, so that there is something of it when it has cooled down. */
const HOT_SHARE = 0.75;
const COOL_SHARE = 0.05;
const SPANS_PER_REQUEST = 4;
const MOST_SPANS_PER_TRACE = 5;
const OPEN_TRACES = 4;
const KEY_SERVICE = 'checkout';
const SERVICES = Array.from({ length: 16 }, (_, n) => `service-${n}`);
/** Of a Span, unknown to OTLP: no decoder takes the time to look into it. */
const PADDING_FIELD = 100;

interface Trace {
  readonly id: Uint8Array;
  spansLeft: number;
}

export interface SpanRequest {
  readonly value: Uint8Array;
  /** In hex. */
  readonly spanIds: readonly string[];
}

export class SpanSource {
  readonly #random: SeededRandom;
  readonly #traits: Traits;
  readonly #keyTrace: Trace;
  readonly #open: Trace[];
  readonly #writer = new ProtobufWriter();
  #spans = 0;

  constructor(random: SeededRandom, traits: Traits) {
    this.#random = random;
    this.#traits = traits;
    this.#keyTrace = this.#trace();
    this.#open = Array.from({ length: OPEN_TRACES }, () => this.#trace());
  }

  /** What comes `nowMs` after the start, when requests are `everyMs` apart in the mean. */
  request(nowMs: number, everyMs: number): SpanRequest {
    const { high, hot } = this.#traits;
    const bytesPerSecond = isIn(high, nowMs) ? HIGH_LOAD : LOW_LOAD;
    const padding = new Uint8Array(Math.round((bytesPerSecond * everyMs) / 1_000 / SPANS_PER_REQUEST));
    const spanIds = Array.from({ length: SPANS_PER_REQUEST }, () => {
      const { traceId, service } = this.#place(this.#random.chance(isIn(hot, nowMs) ? HOT_SHARE : COOL_SHARE));
      return this.#write(traceId, service, padding).toString('hex');
    });
    return { value: this.#writer.finish(), spanIds };
  }

  /** A ResourceSpans with one span. Its id. */
  #write(traceId: Uint8Array, service: string, padding: Uint8Array): Buffer {
    const writer = this.#writer;
    const id = Buffer.alloc(8);
    id.writeUInt32BE(++this.#spans, 4);
    writer.message(1, () => {
      writer.message(1, () => attribute(writer, 1, 'service.name', service));
      writer.message(2, () =>
        writer.message(2, () => {
          writer.bytes(1, traceId);
          writer.bytes(2, id);
          writer.bytes(PADDING_FIELD, padding);
        }),
      );
    });
    return id;
  }

  #place(isOfKey: boolean): { readonly traceId: Uint8Array; readonly service: string } {
    const byService = this.#traits.key === 'service.name';
    return {
      traceId: isOfKey && !byService ? this.#keyTrace.id : this.#nextTrace(),
      service: isOfKey && byService ? KEY_SERVICE : this.#random.pick(SERVICES),
    };
  }

  #nextTrace(): Uint8Array {
    const at = this.#random.integer(0, OPEN_TRACES - 1);
    const trace = this.#open[at]!;
    if (--trace.spansLeft === 0) this.#open[at] = this.#trace();
    return trace.id;
  }

  #trace(): Trace {
    const id = Uint32Array.from({ length: 4 }, () => this.#random.uint32());
    return { id: new Uint8Array(id.buffer), spansLeft: this.#random.integer(1, MOST_SPANS_PER_TRACE) };
  }
}

const isIn = (period: Period | null, nowMs: number) => period !== null && nowMs >= period.fromMs && nowMs < period.toMs;
