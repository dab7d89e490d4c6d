import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InstanceUtilisation, readingOf } from '../../src/load/utilisation.ts';
import { cpuMetric, metric, type Point } from './metrics.ts';

const modes = (shares: Record<string, number>, key = 'cpu.mode'): Point[] =>
  Object.entries(shares).map(([mode, value]) => ({ value, attributes: { [key]: mode } }));

describe('readingOf', () => {
  const cases: [what: string, bytes: Uint8Array, value: number | null][] = [
    ['one point', cpuMetric(0.4), 0.4],
    ['an integer point of a sum', metric('process.memory.usage', [{ int: 5_000_000_000 }], { kind: 'sum' }), 5e9],
    [
      'modes of a process, summed',
      metric('process.cpu.utilization', modes({ user: 0.2, system: 0.1, wait: 0.05 })),
      0.35,
    ],
    ['modes under an older name', metric('process.cpu.utilization', modes({ user: 0.2, system: 0.1 }, 'state')), 0.3],
    ['a total beside its modes', metric('process.cpu.utilization', [{ value: 0.5 }, ...modes({ user: 0.3 })]), 0.5],
    ['a host: all modes but idle', metric('system.cpu.utilization', modes({ user: 0.3, system: 0.2, idle: 0.5 })), 0.5],
    ['a host that tells the idle share only', metric('system.cpu.utilization', modes({ idle: 0.9 })), 0.1],
    [
      'a host: the mean over its logical CPUs',
      metric('system.cpu.utilization', [
        { value: 0.8, attributes: { 'cpu.logical_number': 0, 'cpu.mode': 'user' } },
        { value: 0.2, attributes: { 'cpu.logical_number': 0, 'cpu.mode': 'idle' } },
        { value: 0.2, attributes: { 'cpu.logical_number': 1, 'cpu.mode': 'user' } },
        { value: 0.8, attributes: { 'cpu.logical_number': 1, 'cpu.mode': 'idle' } },
      ]),
      0.5,
    ],
    ['the last of two points of one series', metric('process.cpu.utilization', [{ value: 0.9 }, { value: 0.3 }]), 0.3],
    [
      'memory in state used',
      metric('system.memory.utilization', modes({ free: 0.3, used: 0.6 }, 'system.memory.state')),
      0.6,
    ],
    ['memory without state used', metric('system.memory.utilization', modes({ free: 0.3 }, 'state')), null],
    ['percent by its unit', metric('process.memory.utilization', [{ value: 40 }], { unit: '%' }), 0.4],
    [
      "percent by the Collector's description",
      metric('process.memory.utilization', [{ value: 0.9 }], {
        description: 'Percentage of total physical memory that is used by the process.',
      }),
      0.009,
    ],
    [
      "the Collector's process.cpu.utilization, which is a share whatever it says",
      metric('process.cpu.utilization', [{ value: 0.9 }], {
        description:
          'Percentage of total CPU time used by the process since last scrape, expressed as a value between 0 and 1.',
      }),
      0.9,
    ],
    ['percent by its name', metric('container.memory.percent', [{ value: 12 }]), 0.12],
    ['a point that says it has no value', metric('process.cpu.utilization', [{ value: 0.5, flags: 1 }]), null],
    ['NaN', cpuMetric(Number.NaN), null],
    ['no point', metric('process.cpu.utilization', []), null],
    ['a histogram', metric('process.cpu.utilization', [], { kind: 'histogram' }), null],
    ['a metric that is not in the table', metric('process.thread.count', [{ int: 5 }]), null],
  ];
  it.each(cases)('reads %s', (_what, bytes, value) => {
    const reading = readingOf(bytes);
    if (value === null) expect(reading).toBeNull();
    else expect(reading!.value).toBeCloseTo(value, 12);
  });

  it('takes any bytes without failing', () => {
    const good = metric('system.cpu.utilization', modes({ user: 0.3, idle: 0.5 }));
    fc.assert(
      fc.property(
        fc.nat({ max: good.length - 1 }),
        fc.nat({ max: 255 }),
        fc.nat({ max: good.length }),
        (at, byte, end) => {
          const bent = Uint8Array.from(good);
          bent[at] = byte;
          const reading = readingOf(bent.subarray(0, end));
          expect(reading === null || Number.isFinite(reading.value)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the utilisation of an instance', () => {
  const say = (said: InstanceUtilisation, ...metrics: Uint8Array[]) => {
    for (const one of metrics) said.observe(readingOf(one)!);
  };
  const gauge = (name: string, value: number) => metric(name, [{ value }]);

  it('is the last value, within 0..1, and told once', () => {
    const said = new InstanceUtilisation();
    say(said, cpuMetric(0.1), cpuMetric(1.7));
    expect(said.take(1_000)).toEqual({ cpu: 1, memory: null });
    expect(said.take(2_000)).toEqual({ cpu: null, memory: null });
  });

  it('divides usage by the limit, which may have come long before', () => {
    const said = new InstanceUtilisation();
    say(said, gauge('k8s.container.cpu.limit.desired', 2), gauge('k8s.container.memory_limit', 1_000));
    expect(said.take(0)).toEqual({ cpu: null, memory: null });
    say(said, gauge('container.cpu.usage', 0.5), gauge('container.memory.usage', 900));
    expect(said.take(500_000)).toEqual({ cpu: 0.25, memory: 0.9 });
  });

  it("takes a later family's limit for a usage without one of its own", () => {
    const said = new InstanceUtilisation();
    say(said, gauge('process.memory.usage', 200), gauge('system.memory.limit', 800));
    expect(said.take(0).memory).toBe(0.25);
  });

  it('makes a limit of what is used and what is available', () => {
    const said = new InstanceUtilisation();
    say(said, gauge('container.memory.usage', 300), gauge('container.memory.available', 100));
    expect(said.take(0).memory).toBe(0.75);
  });

  it('does not waver between two ways to say it: the first of the table counts while it is said', () => {
    const said = new InstanceUtilisation();
    say(said, cpuMetric(0.2));
    expect(said.take(0).cpu).toBe(0.2);
    say(said, gauge('system.cpu.utilization', 0.9));
    expect(said.take(60_000).cpu).toBeNull();
    say(said, gauge('system.cpu.utilization', 0.8));
    expect(said.take(180_001).cpu).toBe(0.8);
  });
});
