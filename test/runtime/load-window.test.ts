import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketOf } from '../../src/kernels/split/kernel.ts';
import type { InstanceLoad, LoadReport, ShardLoad, SlotLoad } from '../../src/load/load-report.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';
import { instanceLoad, REPORTER, report } from '../load/reports.ts';

const WINDOW_MS = 15_000;
const create = (maxRows?: number) => {
  const window = new LoadWindow({ windowMs: WINDOW_MS, slotIntervalMs: 10_000, maxRows });
  window.begin(0);
  return window;
};
const shard = (id: number, bytes: number): ShardLoad => ({
  shard: id,
  items: bytes / 100,
  bytes,
  errors: 0,
  latencySumNs: 0,
  latencyMinNs: 0,
  latencyMaxNs: 0,
});
const traces = (of: { shards?: ShardLoad[]; instances?: InstanceLoad[]; slots?: SlotLoad }) => ({
  signals: [
    { signal: 'traces' as const, shards: of.shards ?? [], instances: of.instances ?? [], slots: of.slots ?? null },
  ],
});
const from = (id: string) => ({ reporter: { ...REPORTER, id } });

describe('the load window', () => {
  it('means over the window, and over what has passed of the first one', () => {
    const window = create();
    for (let to = 1_000; to <= 30_000; to += 1_000) {
      window.add(report(to, traces({ shards: [shard(3, 1_500)] })), to);
      if (to === 5_000) expect(window.shards('traces', to).get(3)!.bytesPerSecond).toBe(1_500);
    }
    expect(window.shards('traces', 30_000).get(3)).toMatchObject({ bytesPerSecond: 1_500, itemsPerSecond: 15 });
    expect(window.shards('traces', 37_500).get(3)!.bytesPerSecond).toBe(800);
    expect(window.shards('traces', 45_000).size).toBe(0);
  });

  it('warms up for one window', () => {
    const window = create();
    expect(window.view(WINDOW_MS - 1).warmingUp).toBe(true);
    expect(window.view(WINDOW_MS).warmingUp).toBe(false);
  });

  it('adds up reporters, and takes a repeated report once', () => {
    const window = create();
    const one = report(20_000, { ...from('a'), ...traces({ shards: [shard(0, 15_000)] }), parts: 2 });
    expect(window.add(one, 20_000)).toBe(true);
    expect(window.add(one, 20_000)).toBe(false);
    expect(window.add({ ...one, part: 1 }, 20_000)).toBe(true);
    expect(window.add({ ...one, toUnixMs: 19_000 }, 20_000)).toBe(false);
    expect(window.add({ ...one, ...from('b') }, 20_000)).toBe(true);
    expect(window.shards('traces', 20_000).get(0)!.bytesPerSecond).toBe(3_000);
    expect(window.members(20_000).map(({ id, bytesPerSecond }) => [id, bytesPerSecond])).toEqual([
      ['a', 2_000],
      ['b', 1_000],
    ]);
  });

  it('leaves out what was already too old when it came', () => {
    expect(create().add(report(5_000, traces({ shards: [shard(0, 1)] })), 20_000)).toBe(false);
  });

  it('drops an instance that falls silent after the window, and a member a slot interval later', () => {
    const window = create();
    for (let to = 20_000; to <= 30_000; to += 1_000)
      window.add(report(to, traces({ instances: [instanceLoad('cart', 'a', { requests: 30 })] })), to);
    expect(window.services(44_999).map(({ service }) => service)).toEqual(['cart']);
    expect(window.services(45_000)).toEqual([]);
    expect(window.members(55_000)).toHaveLength(1);
    expect(window.members(55_001)).toEqual([]);
  });

  it('keeps an instance that is heard once a minute, with its last CPU, between two times', () => {
    const window = create();
    const say = (to: number, cpu: number) =>
      window.add(report(to, traces({ instances: [instanceLoad('cart', 'a', { cpuUtilisation: cpu })] })), to);
    say(60_000, 0.5);
    expect(window.services(80_000)).toEqual([]);
    say(120_000, 0.6);
    expect(window.services(170_000)[0]!.instances).toMatchObject([{ instance: 'a', cpu: 0.6, requestsPerSecond: 0 }]);
    say(180_000, 0.7);
    expect(window.services(329_999)[0]!.instances).toMatchObject([{ cpu: 0.7 }]);
    expect(window.services(330_000)).toEqual([]);
  });

  it('says rates, mean and 95th percentile of an instance', () => {
    const window = create();
    const latency = [bucketOf(1_000_000n), 90, bucketOf(200_000_000n), 10];
    const of = { requests: 100, requestErrors: 5, requestLatencySumNs: 2.09e9, requestLatency: latency };
    window.add(report(20_000, traces({ instances: [instanceLoad('cart', 'a', { items: 150, ...of })] })), 20_000);
    const [instance] = window.services(20_000)[0]!.instances;
    expect(instance).toMatchObject({ itemsPerSecond: 10, meanLatencyMs: 20.9, cpu: null });
    expect(instance!.requestsPerSecond).toBeCloseTo(100 / 15);
    // The end of the bucket that holds 200 ms: 2^27 * 1.5 ns.
    expect(instance!.p95LatencyMs).toBeCloseTo(201.326592, 6);
  });

  it('takes the last slots of each reporter, over the time they cover', () => {
    const window = create();
    const slots = (toUnixMs: number, slotBytes: number[], restBytes = 0): SlotLoad => ({
      fromUnixMs: toUnixMs - 10_000,
      toUnixMs,
      slotBytes,
      restSlots: 0,
      restBytes,
    });
    window.add(report(20_000, { ...from('a'), ...traces({ slots: slots(20_000, [7, 50_000]) }) }), 20_000);
    window.add(
      report(30_000, { ...from('a'), ...traces({ slots: slots(30_000, [7, 20_000, 9, 10_000], 40_000) }) }),
      30_000,
    );
    window.add(report(30_000, { ...from('b'), ...traces({ slots: slots(30_000, [7, 10_000]) }) }), 30_000);
    const { slotBytesPerSecond, restBytesPerSecond } = window.view(30_000).signals.traces;
    expect(slotBytesPerSecond).toEqual(
      new Map([
        [7, 3_000],
        [9, 1_000],
      ]),
    );
    expect(restBytesPerSecond).toBe(4_000);
    expect(window.view(65_001).signals.traces.slotBytesPerSecond.size).toBe(0);
  });

  it('lets the oldest reports go early when there are too many rows', () => {
    const window = create(10);
    for (let to = 16_000; to <= 20_000; to += 1_000)
      window.add(report(to, traces({ shards: [0, 1, 2, 3].map((id) => shard(id, 1_500)) })), to);
    expect(window.shards('traces', 20_000).get(0)!.bytesPerSecond).toBe(200);
  });

  it('has exactly the sums of the reports in the window, whatever came and went', () => {
    const step = fc.record({
      waitMs: fc.integer({ min: 0, max: 6_000 }),
      id: fc.constantFrom('a', 'b', 'c'),
      shards: fc.array(fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 1e12 })), { maxLength: 4 }),
      requests: fc.array(fc.tuple(fc.constantFrom('x', 'y'), fc.nat({ max: 1e6 })), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const window = create();
        const taken: LoadReport[] = [];
        let now = 100_000;
        for (const { waitMs, id, shards, requests } of steps) {
          now += waitMs;
          const one = report(now, {
            ...from(id),
            ...traces({
              shards: shards.map(([of, bytes]) => shard(of, bytes)),
              instances: requests.map(([instance, count]) => instanceLoad('s', instance, { requests: count })),
            }),
          });
          if (window.add(one, now)) taken.push(one);
        }
        const within = taken.filter(({ toUnixMs }) => toUnixMs > now - WINDOW_MS).flatMap(({ signals }) => signals);
        const bytes = new Map<number, number>();
        const requests = new Map<string, number>();
        for (const { shards, instances } of within) {
          for (const of of shards) bytes.set(of.shard, (bytes.get(of.shard) ?? 0) + of.bytes);
          for (const of of instances) requests.set(of.instance, (requests.get(of.instance) ?? 0) + of.requests);
        }
        const seen = window.shards('traces', now);
        expect(new Map([...seen].map(([id, rates]) => [id, Math.round(rates.bytesPerSecond * 15)]))).toEqual(bytes);
        const services = window.services(now).flatMap(({ instances }) => instances);
        for (const [instance, count] of requests) {
          const found = services.find((one) => one.instance === instance)!;
          expect(Math.round(found.requestsPerSecond * 15)).toBe(count);
        }
      }),
    );
  });
});
