import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import type { InstanceView, ServiceView } from '../../src/control/load-view.ts';
import { scalingFingerprint, scalingIsNews, scalingWish } from '../../src/control/scaling.ts';

const policy = defaultConfig().control.scaling;
const WINDOW = 15_000;

function service(n: number, each: Partial<Omit<InstanceView, 'instance'>>): ServiceView {
  const instances = Array.from({ length: n }, (_, i) => ({
    instance: `i-${i}`,
    requestsPerSecond: each.requestsPerSecond ?? 0,
    cpu: each.cpu ?? null,
    memory: each.memory ?? null,
  }));
  return { service: 'cart', instances };
}

describe('the base policy of scaling', () => {
  const rows: [what: string, of: ServiceView, expected: [action: string, to: number, rules: string[]] | null][] = [
    ['CPU at the upper limit stays', service(3, { cpu: 0.8 }), null],
    ['CPU just above it goes out to 0.7', service(3, { cpu: 0.81 }), ['scale_out', 4, ['cpu-high']]],
    ['CPU of one instance at 100% goes to 2', service(1, { cpu: 1 }), ['scale_out', 2, ['cpu-high']]],
    ['a whole number is not rounded up by a rounding error', service(7, { cpu: 0.9 }), ['scale_out', 9, ['cpu-high']]],
    ['CPU at the lower limit stays', service(4, { cpu: 0.3 }), null],
    ['CPU just below it goes in to 0.5', service(4, { cpu: 0.29 }), ['scale_in', 3, ['cpu-low']]],
    ['idle instances go in to one', service(5, { cpu: 0 }), ['scale_in', 1, ['cpu-low']]],
    ['one idle instance stays', service(1, { cpu: 0 }), null],
    ['a wish to go in that rounds up to n is none', service(2, { cpu: 0.29 }), null],
    ['memory at the limit stays', service(2, { memory: 0.85 }), null],
    ['memory above it goes out', service(10, { memory: 0.9 }), ['scale_out', 13, ['memory-high']]],
    ['memory above it goes out by one at least', service(1, { memory: 0.86 }), ['scale_out', 2, ['memory-high']]],
    ['RPS at the limit stay', service(2, { requestsPerSecond: 1_000 }), null],
    ['RPS above it go out to total / max', service(2, { requestsPerSecond: 1_501 }), ['scale_out', 4, ['rps-high']]],
    [
      'the largest wish wins',
      service(4, { cpu: 0.9, memory: 0.9, requestsPerSecond: 3_000 }),
      ['scale_out', 12, ['rps-high', 'cpu-high', 'memory-high']],
    ],
    [
      'nothing goes in while memory wants out',
      service(4, { cpu: 0.1, memory: 0.9 }),
      ['scale_out', 6, ['memory-high']],
    ],
    [
      'nothing goes in while RPS want out',
      service(4, { cpu: 0.1, requestsPerSecond: 1_100 }),
      ['scale_out', 5, ['rps-high']],
    ],
    ['no measurement, no wish', service(3, {}), null],
    ['no instance, no wish', service(0, {}), null],
  ];
  it.each(rows)('%s', (_what, of, expected) => {
    const wish = scalingWish(of, policy, WINDOW);
    const seen = wish && [wish.action, wish.to, wish.reasons.map(({ rule }) => rule)];
    expect(seen).toEqual(expected);
    if (wish) expect(wish).toMatchObject({ kind: 'scaling', subject: 'cart', from: of.instances.length });
  });

  it('gives memory high priority, and only memory', () => {
    expect(scalingWish(service(2, { memory: 0.9 }), policy, WINDOW)!.priority).toBe('high');
    expect(scalingWish(service(2, { cpu: 0.9 }), policy, WINDOW)!.priority).toBe('normal');
  });

  it('judges by the instances that say their CPU, and counts all of them', () => {
    const of = service(4, {});
    const instances = of.instances.map((instance, i) => (i < 2 ? { ...instance, cpu: i === 0 ? 0.8 : 1 } : instance));
    expect(scalingWish({ ...of, instances }, policy, WINDOW)).toMatchObject({
      action: 'scale_out',
      to: 6,
      reasons: [{ rule: 'cpu-high', observed: 0.9, threshold: 0.8, window: WINDOW, wish: 6 }],
    });
  });

  it('never wishes for n, for less than one, or against its own name', () => {
    const share = fc.option(fc.double({ min: 0, max: 1, noNaN: true }));
    const instance = fc.record({
      instance: fc.string(),
      requestsPerSecond: fc.double({ min: 0, max: 1e6, noNaN: true }),
      cpu: share,
      memory: share,
    });
    fc.assert(
      fc.property(fc.array(instance, { maxLength: 20 }), (instances) => {
        const wish = scalingWish({ service: 's', instances }, policy, WINDOW);
        if (!wish) return;
        expect(Number.isInteger(wish.to) && wish.to >= 1).toBe(true);
        expect(wish.action === 'scale_out' ? wish.to > wish.from : wish.to < wish.from).toBe(true);
        expect(Math.max(...wish.reasons.map((reason) => reason.wish!))).toBe(wish.to);
      }),
    );
  });
});

describe('whether a scaling wish is news', () => {
  const wish = (cpu: number, n: number) => scalingWish(service(n, { cpu }), policy, WINDOW)!;
  const last = scalingFingerprint(wish(0.9, 4));

  it.each([
    ['the same', wish(0.9, 4), false],
    ['further out', wish(1, 5), true],
    ['less far out', wish(0.81, 4), false],
    ['from another number of instances', wish(0.9, 5), true],
    ['the other way', wish(0.1, 4), true],
  ])('%s', (_what, now, news) => {
    expect(last).toBe('scale_out 4>6');
    expect(scalingIsNews(now, last)).toBe(news);
  });

  it('goes further in only', () => {
    expect(scalingIsNews(wish(0.05, 4), scalingFingerprint(wish(0.2, 4)))).toBe(true);
    expect(scalingIsNews(wish(0.2, 4), scalingFingerprint(wish(0.05, 4)))).toBe(false);
  });
});
