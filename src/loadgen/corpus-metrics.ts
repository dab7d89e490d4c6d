/** Metrics of the corpus: what SDKs and agents send each interval, resource use among it. */
import type { ItemSource } from './corpus.ts';
import type { ItemContext } from './corpus-spans.ts';
import { attribute, METHODS, ROUTES } from './corpus-vocabulary.ts';

/** Interval of the SDKs' periodic readers. */
const INTERVAL_NANO = 60_000_000_000n;

/**
 * | Metric | | NumberDataPoint | | HistogramDataPoint | |
 * |---|---|---|---|---|---|
 * | 1 name | string | 2 start_time_unix_nano | fixed64 | 2, 3 | as there |
 * | 2 description | string | 3 time_unix_nano | fixed64 | 4 count | fixed64 |
 * | 3 unit | string | 4 as_double | double | 5 sum | double |
 * | 5 gauge | {1 points} | 6 as_int | sfixed64 | 6 bucket_counts | packed fixed64 |
 * | 7 sum | {1 points, 2 temporality, 3 monotonic} | 7 attributes | KeyValue | 7 explicit_bounds | packed double |
 * | 9 histogram | {1 points, 2 temporality} | | | 9 attributes | KeyValue |
 */
export function createMetricSource({ writer, random }: ItemContext): ItemSource {
  const bounds = packedDoubles(BOUNDS_SECONDS);

  function numberPoint(timeUnixNano: bigint, instrument: Instrument): void {
    writer.message(1, () => {
      writer.fixed64(2, timeUnixNano - INTERVAL_NANO);
      writer.fixed64(3, timeUnixNano);
      if (instrument.whole) writer.fixed64(6, BigInt(Math.round(random.unit() * instrument.most)));
      else writer.double(4, random.unit() * instrument.most);
      writePointAttributes(7);
    });
  }

  function histogramPoint(timeUnixNano: bigint): void {
    const counts = BOUNDS_SECONDS.map(() => random.integer(0, 200));
    counts.push(random.integer(0, 3));
    const count = counts.reduce((sum, bucket) => sum + bucket, 0);
    writer.message(1, () => {
      writer.fixed64(2, timeUnixNano - INTERVAL_NANO);
      writer.fixed64(3, timeUnixNano);
      writer.fixed64(4, BigInt(count));
      writer.double(5, count * random.unit());
      writer.bytes(6, packedCounts(counts));
      writer.bytes(7, bounds);
      writePointAttributes(9);
    });
  }

  function writePointAttributes(field: number): void {
    attribute(writer, field, 'http.request.method', random.pick(METHODS));
    attribute(writer, field, 'http.route', random.pick(ROUTES));
    attribute(writer, field, 'http.response.status_code', random.pick([200, 200, 200, 404, 500]));
  }

  return {
    write(_item, timeUnixNano) {
      const instrument = random.pick(INSTRUMENTS);
      const points = random.integer(1, 3);
      writer.message(2, () => {
        writer.string(1, instrument.name);
        writer.string(2, instrument.description);
        writer.string(3, instrument.unit);
        writer.message(FIELD_OF_KIND[instrument.kind], () => {
          for (let point = 0; point < points; point++) {
            if (instrument.kind === 'histogram') histogramPoint(timeUnixNano);
            else numberPoint(timeUnixNano, instrument);
          }
          if (instrument.kind !== 'gauge') writer.varint(2, CUMULATIVE);
          if (instrument.kind === 'counter') writer.varint(3, 1);
        });
      });
    },
  };
}

interface Instrument {
  readonly name: string;
  readonly description: string;
  readonly unit: string;
  readonly kind: 'gauge' | 'counter' | 'updown' | 'histogram';
  readonly whole: boolean;
  /** Values are below it. */
  readonly most: number;
}

const FIELD_OF_KIND = { gauge: 5, counter: 7, updown: 7, histogram: 9 } as const;
const CUMULATIVE = 2;
const BOUNDS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

const instrument = (
  name: string,
  unit: string,
  kind: Instrument['kind'],
  most: number,
  whole: boolean,
  description: string,
): Instrument => ({ name, unit, kind, most, whole, description });

const INSTRUMENTS: readonly Instrument[] = [
  instrument('http.server.request.duration', 's', 'histogram', 5, false, 'Duration of HTTP server requests'),
  instrument('http.client.request.duration', 's', 'histogram', 5, false, 'Duration of HTTP client requests'),
  instrument('db.client.operation.duration', 's', 'histogram', 2, false, 'Duration of database client operations'),
  instrument('http.server.active_requests', '{request}', 'updown', 500, true, 'Active HTTP server requests'),
  instrument('app.orders', '{order}', 'counter', 100_000, true, 'Orders placed'),
  instrument('app.queue.depth', '{message}', 'gauge', 4_096, true, 'Messages that wait'),
  instrument('app.cache.hit_ratio', '1', 'gauge', 1, false, 'Share of look-ups that the cache answered'),
  instrument('process.cpu.utilization', '1', 'gauge', 1, false, 'CPU time over elapsed time and CPUs'),
  instrument('process.memory.usage', 'By', 'updown', 2 ** 31, true, 'Physical memory in use'),
  instrument('container.cpu.usage', '{cpu}', 'gauge', 4, false, 'CPUs in use'),
  instrument('k8s.pod.memory.usage', 'By', 'gauge', 2 ** 31, true, 'Memory in use'),
  instrument('system.cpu.load_average.1m', '{thread}', 'gauge', 16, false, 'Load average over a minute'),
];

function packedDoubles(values: readonly number[]): Uint8Array {
  const packed = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => {
    packed.writeDoubleLE(value, index * 8);
  });
  return packed;
}

function packedCounts(counts: readonly number[]): Uint8Array {
  const packed = Buffer.alloc(counts.length * 8);
  counts.forEach((count, index) => {
    packed.writeBigUInt64LE(BigInt(count), index * 8);
  });
  return packed;
}
