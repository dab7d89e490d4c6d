import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketOf } from '../../src/kernels/split/kernel.ts';
import type { InstanceLoad, KeyLoad, LoadReport, ShardLoad, SlotLoad } from '../../src/load/load-report.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';
import { instanceLoad, REPORTER, report, shardLoad } from '../load/reports.ts';

const WINDOW_MS = 15_000;
const create = (maxRows?: number) => {
  const window = new LoadWindow({ windowMs: WINDOW_MS, slotIntervalMs: 10_000, maxRows });
  window.begin(0);
  return window;
};
const traces = (of: { shards?: ShardLoad[]; instances?: InstanceLoad[]; slots?: SlotLoad }) => ({
  signals: [
    { signal: 'traces' as const, shards: of.shards ?? [], instances: of.instances ?? [], slots: of.slots ?? null },
  ],
});
const from = (id: string) => ({ reporter: { ...REPORTER, id } });

describe('the load window', () => {
  it('means over what the reports in it cover', () => {
    const window = create();
    expect(window.coveredSeconds(0)).toBe(0);
    for (let to = 1_000; to <= 30_000; to += 1_000) {
      window.add(report(to, traces({ shards: [shardLoad(3, 1_500)] })), to);
      if (to === 5_000) expect(window.shards('traces', to).get(3)!.bytesPerSecond).toBe(1_500);
    }
    expect(window.coveredSeconds(30_000)).toBe(15);
    expect(window.shards('traces', 30_000).get(3)).toEqual({ bytesPerSecond: 1_500, itemsPerSecond: 15 });
    // A shard that was in the first half of what is covered only.
    window.add(report(31_000), 31_000);
    expect(window.shards('traces', 37_500).get(3)!.bytesPerSecond).toBeCloseTo((1_500 * 8) / 9);
    expect(window.coveredSeconds(37_500)).toBe(9);
    expect(window.shards('traces', 46_000).size).toBe(0);
    expect(window.coveredSeconds(46_000)).toBe(0);
  });

  it('shows the rates of the last reports at once, however late it begins', () => {
    const window = new LoadWindow({ windowMs: WINDOW_MS, slotIntervalMs: 10_000 });
    for (const to of [96_000, 97_000, 98_000]) window.add(report(to, traces({ shards: [shardLoad(3, 900)] })), 100_000);
    expect(window.shards('traces', 100_000).get(3)!.bytesPerSecond).toBe(900);
  });

  it('covers at least a second and at most the window, whatever reporters say', () => {
    const short = create();
    short.add(report(20_000, { fromUnixMs: 19_900, ...traces({ shards: [shardLoad(0, 50)] }) }), 20_000);
    expect(short.coveredSeconds(20_000)).toBe(1);
    const long = create();
    long.add(report(60_000, { fromUnixMs: 1_000, ...traces({ shards: [shardLoad(0, 150)] }) }), 60_000);
    expect([long.coveredSeconds(60_000), long.shards('traces', 60_000).get(0)!.bytesPerSecond]).toEqual([15, 10]);
  });

  it('warms up for one window', () => {
    const window = create();
    expect(window.view(WINDOW_MS - 1).warmingUp).toBe(true);
    expect(window.view(WINDOW_MS).warmingUp).toBe(false);
  });

  it('adds up reporters, and takes a repeated report once', () => {
    const window = create();
    const one = report(20_000, { ...from('a'), ...traces({ shards: [shardLoad(0, 15_000)] }), parts: 2 });
    expect(window.add(one, 20_000)).toBe(true);
    expect(window.add(one, 20_000)).toBe(false);
    expect(window.add({ ...one, part: 1 }, 20_000)).toBe(true);
    expect(window.add({ ...one, toUnixMs: 19_000 }, 20_000)).toBe(false);
    expect(window.add({ ...one, ...from('b') }, 20_000)).toBe(true);
    expect(window.shards('traces', 20_000).get(0)!.bytesPerSecond).toBe(45_000);
    expect(window.members(20_000).map(({ id, bytesPerSecond }) => [id, bytesPerSecond])).toEqual([
      ['a', 30_000],
      ['b', 15_000],
    ]);
  });

  it('leaves out what was already too old when it came', () => {
    expect(create().add(report(5_000, traces({ shards: [shardLoad(0, 1)] })), 20_000)).toBe(false);
  });

  it('drops an instance and a member that have been silent for the window', () => {
    const window = create();
    for (let to = 20_000; to <= 30_000; to += 1_000)
      window.add(report(to, traces({ instances: [instanceLoad('cart', 'a', { requests: 30 })] })), to);
    expect(window.services(44_999).map(({ service }) => service)).toEqual(['cart']);
    expect(window.services(45_000)).toEqual([]);
    expect(window.members(44_999)).toMatchObject([{ id: REPORTER.id, lastHeardUnixMs: 30_000 }]);
    expect(window.members(45_000)).toEqual([]);
  });

  it('names the partitions of the last lag report of a member, all its parts', () => {
    const window = create();
    const lag = (...partitions: number[]) => partitions.map((partition) => ({ topic: 't', partition, records: 1 }));
    window.add(report(20_000, { lag: lag(1, 2) }), 20_000);
    window.add(report(21_000, { lag: lag(1), parts: 2 }), 21_000);
    window.add(report(21_000, { lag: lag(5), part: 1, parts: 2 }), 21_000);
    window.add(report(30_000), 30_000);
    expect(window.members(30_000)).toMatchObject([{ partitions: ['t/1', 't/5'] }]);
    expect(window.members(36_000)).toMatchObject([{ partitions: [] }]);
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

  it('says rates, share of errors and latencies of an instance, and of its service', () => {
    const window = create();
    const a = { requests: 98, requestErrors: 4, requestLatency: [bucketOf(1_000_000n), 98] };
    const b = { requests: 2, requestErrors: 0, requestLatency: [bucketOf(900_000_000n), 2], cpuUtilisation: 0.3 };
    const instances = [
      instanceLoad('cart', 'b', b),
      instanceLoad('cart', 'a', { items: 150, bytes: 30, ...a, cpuUtilisation: 0.4 }),
      instanceLoad('cart', 'c', { memoryUtilisation: 0.5 }),
    ];
    window.add(report(20_000, { fromUnixMs: 10_000, ...traces({ instances }) }), 20_000);
    const [cart] = window.services(20_000);
    const rates = { itemsPerSecond: 15, bytesPerSecond: 3 };
    expect(cart).toMatchObject({ service: 'cart', ...rates, requestsPerSecond: 10, errorShare: 0.04, memory: 0.5 });
    expect(cart!.cpu).toBeCloseTo(0.35);
    expect(cart!.instances).toMatchObject([
      { instance: 'a', ...rates, requestsPerSecond: 9.8, errorShare: 4 / 98, cpu: 0.4, memory: null },
      { instance: 'b', requestsPerSecond: 0.2, errorShare: 0, cpu: 0.3 },
      { instance: 'c', requestsPerSecond: 0, errorShare: 0, p50Ms: null, p99Ms: null, cpu: null, memory: 0.5 },
    ]);
    for (const [said, ms] of [
      [cart!.p50Ms, 1],
      [cart!.p99Ms, 900],
      [cart!.instances[0]!.p99Ms, 1],
    ] as const) {
      expect(said).toBeGreaterThan(ms / 1.12);
      expect(said).toBeLessThan(ms * 1.12);
    }
  });

  it('takes the latest utilisation that an instance told', () => {
    const window = create();
    for (const [to, cpuUtilisation] of [
      [17_000, 0.2],
      [18_000, 0.9],
      [19_000, null],
    ] as const)
      window.add(report(to, traces({ instances: [instanceLoad('cart', 'a', { cpuUtilisation })] })), to);
    expect(window.services(20_000)[0]!.cpu).toBe(0.9);
  });

  it('takes the last slots of each reporter, over the time they cover', () => {
    const window = create();
    const slots = (toUnixMs: number, slotBytes: number[], restBytes = 0, keys: KeyLoad[] = []): SlotLoad => ({
      fromUnixMs: toUnixMs - 10_000,
      toUnixMs,
      slotBytes,
      restSlots: 0,
      restBytes,
      keys,
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
    // Also once the reports have left the window, until two more are overdue.
    expect(window.view(50_000).signals.traces.slotBytesPerSecond.get(7)).toBe(3_000);
    expect(window.view(65_001).signals.traces.slotBytesPerSecond.size).toBe(0);
  });

  it('adds up what reporters say of a key', () => {
    const window = create();
    const key = (keyHash: string, bytes: number) => ({
      ...{ keyHash, bytes, errorBytes: bytes / 10 },
      name: bytes > 40_000 ? '' : `service.name=${keyHash}`,
    });
    const slots = (keys: KeyLoad[]) =>
      traces({ slots: { fromUnixMs: 0, toUnixMs: 10_000, slotBytes: [], restSlots: 0, restBytes: 0, keys } });
    window.add(report(10_000, { ...from('a'), ...slots([key('0a', 50_000), key('0b', 20_000)]) }), 10_000);
    window.add(report(10_000, { ...from('b'), ...slots([key('0a', 10_000)]) }), 10_000);
    expect(window.view(10_000).signals.traces.keys).toEqual(
      new Map([
        ['0a', { bytesPerSecond: 6_000, errorBytesPerSecond: 600, name: 'service.name=0a' }],
        ['0b', { bytesPerSecond: 2_000, errorBytesPerSecond: 200, name: 'service.name=0b' }],
      ]),
    );
  });

  it('lets the oldest reports go early when there are too many rows', () => {
    const window = create(10);
    for (let to = 16_000; to <= 20_000; to += 1_000)
      window.add(report(to, traces({ shards: [0, 1, 2, 3].map((id) => shardLoad(id, 1_500)) })), to);
    // The last two.
    expect(window.coveredSeconds(20_000)).toBe(2);
    expect(window.shards('traces', 20_000).get(0)!.bytesPerSecond).toBe(1_500);
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
              shards: shards.map(([of, bytes]) => shardLoad(of, bytes)),
              instances: requests.map(([instance, count]) => instanceLoad('s', instance, { requests: count })),
            }),
          });
          if (window.add(one, now)) taken.push(one);
        }
        const reports = taken.filter(({ toUnixMs }) => toUnixMs > now - WINDOW_MS);
        const within = reports.flatMap(({ signals }) => signals);
        const oldest = Math.min(...reports.map(({ fromUnixMs }) => fromUnixMs));
        const newest = Math.max(...reports.map(({ toUnixMs }) => toUnixMs));
        const seconds = Math.min(Math.max(newest - oldest, 1_000), WINDOW_MS) / 1_000;
        const bytes = new Map<number, number>();
        const requests = new Map<string, number>();
        for (const { shards, instances } of within) {
          for (const of of shards) bytes.set(of.shard, (bytes.get(of.shard) ?? 0) + of.bytes);
          for (const of of instances) requests.set(of.instance, (requests.get(of.instance) ?? 0) + of.requests);
        }
        const seen = window.shards('traces', now);
        expect(new Map([...seen].map(([id, rates]) => [id, Math.round(rates.bytesPerSecond * seconds)]))).toEqual(
          bytes,
        );
        const services = window.services(now).flatMap(({ instances }) => instances);
        for (const [instance, count] of requests) {
          const found = services.find((one) => one.instance === instance)!;
          expect(Math.round(found.requestsPerSecond * seconds)).toBe(count);
        }
      }),
    );
  });
});
