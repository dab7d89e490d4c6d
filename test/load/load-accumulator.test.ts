import { describe, expect, it } from 'vitest';
import { createReferenceAggregate } from '../../src/kernels/aggregate/reference.ts';
import { KEY_STRIDE_BYTES } from '../../src/kernels/split/kernel.ts';
import { decodeLoadReport, encodeLoadReport } from '../../src/load/codec.ts';
import { LoadAccumulator } from '../../src/load/load-accumulator.ts';
import { MAX_REPORT_BYTES, MAX_REPORTED_SLOTS } from '../../src/load/load-report.ts';
import { cpuMetric } from './metrics.ts';
import { aggregates, REPORTER, serviceAggregate, shardAggregate } from './reports.ts';

const create = () =>
  new LoadAccumulator({
    ...{ reporter: REPORTER, slotIntervalMs: 10_000, nowUnixMs: 0 },
    aggregate: createReferenceAggregate(),
  });

describe('the load accumulator', () => {
  it('adds up the polls of an interval and begins anew after the drain', () => {
    const load = create();
    load.setRingEpoch(3, 0);
    load.add('traces', aggregates({ shards: [shardAggregate(1, 100, { latencyNs: 50 }), shardAggregate(7, 10)] }));
    load.add('traces', aggregates({ shards: [shardAggregate(1, 40, { items: 2, latencyNs: 20 })] }));
    load.add('traces', aggregates({ services: [serviceAggregate('cart', 'a', 3), serviceAggregate('cart', 'b')] }));
    load.add('traces', aggregates({ services: [serviceAggregate('cart', 'a', 4)] }));
    const [report, ...more] = load.drain(1_000);
    expect(more).toEqual([]);
    expect(report).toMatchObject({ fromUnixMs: 0, toUnixMs: 1_000, ringEpoch: 3, part: 0, parts: 1 });
    const [traces] = report!.signals;
    expect(traces!.shards).toEqual([
      { shard: 1, items: 3, bytes: 140, errors: 0, latencySumNs: 90, latencyMinNs: 20, latencyMaxNs: 50 },
      { shard: 7, items: 1, bytes: 10, errors: 0, latencySumNs: 0, latencyMinNs: 0, latencyMaxNs: 0 },
    ]);
    expect(
      traces!.instances.map(({ instance, requests, requestLatency }) => [instance, requests, requestLatency[1]]),
    ).toEqual([
      ['a', 7, 7],
      ['b', 1, 1],
    ]);
    expect(load.drain(2_000)).toMatchObject([{ fromUnixMs: 1_000, toUnixMs: 2_000, signals: [] }]);
  });

  it('never repeats or turns back `to`, also when the clock does', () => {
    const load = create();
    const ends = [5_000, 5_000, 4_000].map((now) => load.drain(now)[0]!.toUnixMs);
    expect(ends).toEqual([5_000, 5_001, 5_002]);
  });

  it('sends slots every 10 s: the heaviest 4,096 ascending, the others summed', () => {
    const load = create();
    const slots = Uint32Array.from({ length: 2 * 5_000 }, (_, i) => (i % 2 === 0 ? i / 2 : 1 + (i - 1) / 2));
    load.add('logs', aggregates({ slotBytes: slots }));
    expect(load.drain(9_999)[0]!.signals).toEqual([]);
    load.add('logs', aggregates({ slotBytes: Uint32Array.of(4_999, 7, 200_000, 9_000) }));
    const { slots: reported } = load.drain(10_500)[0]!.signals[0]!;
    expect(reported).toMatchObject({ fromUnixMs: 0, toUnixMs: 10_500, restSlots: 5_001 - MAX_REPORTED_SLOTS });
    expect(reported!.slotBytes.slice(0, 2)).toEqual([905, 906]);
    expect(reported!.slotBytes.slice(-4)).toEqual([4_999, 5_007, 200_000, 9_000]);
    expect(reported!.restBytes).toBe((905 * 906) / 2);
    load.add('logs', aggregates({ slotBytes: Uint32Array.of(4_999, 1) }));
    expect(load.drain(20_500)[0]!.signals[0]!.slots!.slotBytes).toEqual([4_999, 1]);
  });

  it('sends the heaviest keys with the slots, and what their sampled loads may be wrong by, overridden ones too', () => {
    const load = create();
    const hashes = BigUint64Array.from({ length: 2_000 }, (_, i) => (i % 2 === 0 ? 0xabn : BigInt(1_000 + i)));
    const names = [{ hash: 0xabn, text: 'service.name=checkout' }];
    const keySamples = { hashes, bytes: new Uint32Array(2_000).fill(KEY_STRIDE_BYTES), names };
    load.add('logs', aggregates({ shards: [shardAggregate(1, 100)], keySamples }));
    const { slots } = load.drain(10_000)[0]!.signals[0]!;
    expect(slots!.keys).toHaveLength(64);
    // 1,000 samples: one standard deviation is the root of 1,000 of them.
    expect(slots!.keys[0]).toEqual({
      ...{ keyHash: '00000000000000ab', bytes: 1_000 * KEY_STRIDE_BYTES },
      errorBytes: Math.round(2 * KEY_STRIDE_BYTES * Math.sqrt(1_000)),
      name: 'service.name=checkout',
    });
    expect(slots!.keys[1]!.name).toBe('');
    // Once named, as long as it is among the heaviest.
    load.add('logs', aggregates({ shards: [shardAggregate(1, 100)], keySamples: { ...keySamples, names: [] } }));
    expect(load.drain(20_000)[0]!.signals[0]!.slots!.keys[0]!.name).toBe('service.name=checkout');
    load.add('logs', aggregates({ shards: [shardAggregate(1, 100)] }));
    expect(load.drain(30_000)[0]!.signals[0]!.slots!.keys).toEqual([]);
  });

  it('splits what does not fit 64 KiB, and loses nothing by it', () => {
    const load = create();
    const long = 'x'.repeat(1_000_000);
    for (let i = 0; i < 2_000; i++)
      load.add(
        'traces',
        aggregates({ services: [serviceAggregate(`service-${i % 40}`, `instance-${i}-${'é'.repeat(100)}`)] }),
      );
    load.add('traces', aggregates({ services: [serviceAggregate(long, long)] }));
    for (const signal of ['traces', 'metrics', 'logs'] as const) {
      load.add(
        signal,
        aggregates({ shards: Array.from({ length: 4_096 }, (_, shard) => shardAggregate(shard, 2 ** 40)) }),
      );
      const slotBytes = Uint32Array.from({ length: 131_072 }, (_, i) => (i % 2 === 0 ? i / 2 : 0xffffffff));
      load.add(signal, aggregates({ slotBytes }));
    }
    const reports = load.drain(10_000);
    const encoded = reports.map(encodeLoadReport);
    expect(Math.max(...encoded.map((value) => value.length))).toBeLessThanOrEqual(MAX_REPORT_BYTES);
    expect(encoded.length).toBeGreaterThan(5);
    const decoded = encoded.map((value) => decodeLoadReport(value)!);
    expect(decoded.map(({ part }) => part)).toEqual(decoded.map((_, index) => index));
    const signals = decoded.flatMap((report) => report.signals);
    expect(signals.reduce((sum, { shards }) => sum + shards.length, 0)).toBe(3 * 4_096);
    expect(signals.reduce((sum, { instances }) => sum + instances.length, 0)).toBe(2_001);
    expect(signals.filter(({ slots }) => slots !== null)).toHaveLength(3);
  });

  it('keeps totals of different ring epochs apart', () => {
    const load = create();
    load.setRingEpoch(1, 0);
    load.add('traces', aggregates({ shards: [shardAggregate(0, 10)] }));
    load.setRingEpoch(2, 400);
    load.add('traces', aggregates({ shards: [shardAggregate(0, 20)] }));
    const reports = load
      .drain(1_000)
      .map((report) => [report.ringEpoch, report.toUnixMs, report.signals[0]!.shards[0]!.bytes]);
    expect(reports).toEqual([
      [1, 400, 10],
      [2, 1_000, 20],
    ]);
  });

  it('is bounded by 16,384 instances, and says how many it left out', () => {
    const load = create();
    for (let i = 0; i < 16_390; i++) load.add('traces', aggregates({ services: [serviceAggregate('s', String(i))] }));
    const reports = load.drain(1_000);
    expect(reports.reduce((sum, { instancesLeftOut }) => sum + instancesLeftOut, 0)).toBe(6);
    expect(encodeLoadReport(reports[0]!).length).toBeLessThanOrEqual(MAX_REPORT_BYTES);
  });

  it('tells CPU and memory once, with the instance that said it', () => {
    const load = create();
    const watched = [{ service: 'cart', instance: 'a', metric: cpuMetric(0.25) }];
    load.add('metrics', aggregates({ services: [{ ...serviceAggregate('cart', 'a', 0), items: 1 }], watched }));
    load.add('metrics', aggregates({ watched: [{ service: 'quiet', instance: 'b', metric: cpuMetric(0.5) }] }));
    const said = load.drain(1_000)[0]!.signals.flatMap(({ instances }) => instances);
    expect(
      said.map(({ service, cpuUtilisation, memoryUtilisation }) => [service, cpuUtilisation, memoryUtilisation]),
    ).toEqual([
      ['cart', 0.25, null],
      ['quiet', 0.5, null],
    ]);
    expect(load.drain(2_000)[0]!.signals).toEqual([]);
  });
});
