import { describe, expect, it } from 'vitest';
import { type Call, requestsPerSecond, requestThroughShop, SHOP } from '../../src/demo/shop.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';

const callsOf = (call: Call): Call[] => [call, ...call.children.flatMap(callsOf)];

describe('the demo shop', () => {
  const random = createSeededRandom(1);
  const requests = Array.from({ length: 2_000 }, () => requestThroughShop(random));
  const calls = requests.flatMap(callsOf);

  it('has a dozen services of two to five instances, which export in all three encodings', () => {
    expect(SHOP.length).toBeGreaterThanOrEqual(12);
    expect(SHOP.every(({ instances }) => instances >= 2 && instances <= 5)).toBe(true);
    expect(new Set(SHOP.map(({ protocol }) => protocol))).toEqual(new Set(['grpc', 'http-protobuf', 'http-json']));
  });

  it('calls only services that there are, and every instance of each', () => {
    const names = new Set(SHOP.map(({ name }) => name));
    expect(SHOP.flatMap((service) => service.calls.map(([name]) => name)).filter((name) => !names.has(name))).toEqual(
      [],
    );
    const seen = new Set(calls.map(({ service, instance }) => `${service.name}-${instance}`));
    expect(seen.size).toBe(SHOP.reduce((sum, { instances }) => sum + instances, 0));
  });

  it('keeps a call within its caller, one after the other', () => {
    for (const { startMs, endMs, children } of calls) {
      let at = startMs;
      for (const child of children) {
        expect(child.startMs).toBeGreaterThanOrEqual(at);
        at = child.endMs;
      }
      expect(endMs).toBeGreaterThanOrEqual(at);
    }
  });

  it('has errors and slow calls, but most calls are neither', () => {
    const share = (holds: (call: Call) => boolean) => calls.filter(holds).length / calls.length;
    expect(share(({ failed }) => failed)).toBeGreaterThan(0.005);
    expect(share(({ failed }) => failed)).toBeLessThan(0.2);
    expect(share(({ slow }) => slow)).toBeGreaterThan(0.005);
    expect(share(({ slow }) => slow)).toBeLessThan(0.2);
  });

  it('is so busy in its first half minute that instances are above 80% of what they can, and later below 30%', () => {
    const busyAt = (seconds: number) => {
      const rps = requestsPerSecond(seconds, 100);
      const shares = SHOP.map(({ name, instances, capacityRps }) => {
        const perRequest = calls.filter(({ service }) => service.name === name).length / requests.length;
        return (rps * perRequest) / instances / capacityRps;
      });
      return { most: Math.max(...shares), least: Math.min(...shares) };
    };
    expect(busyAt(25).most).toBeGreaterThan(0.8);
    expect(busyAt(65).least).toBeLessThan(0.3);
  });

  it('is the same for the same seed', () => {
    const again = createSeededRandom(1);
    expect(requestThroughShop(again)).toEqual(requests[0]);
  });
});
