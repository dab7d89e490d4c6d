import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Backend,
  type BackendHealth,
  type Location,
  MAX_BACKENDS,
  MAX_CHOICES,
  NO_SUITABLE_BACKEND,
  type ScoreKernel,
} from '../../src/kernels/score/kernel.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';

const WITHIN = 1e-12;
/** Near the antipode, where haversine itself is ill-conditioned. */
const WITHIN_ANTIPODE = 1e-9;

const backendOf = (changes: Partial<Backend> = {}): Backend => ({
  load: 0.5,
  responseMs: 100,
  health: 'healthy',
  location: null,
  ...changes,
});
const at = (latitude: number, longitude: number): Location => ({ latitude, longitude });

const BERLIN = at(52.52, 13.405);
const PARIS = at(48.8566, 2.3522);
const SYDNEY = at(-33.8688, 151.2093);

const health = fc.constantFrom<BackendHealth[]>('healthy', 'degraded', 'unhealthy');
const location = fc.record({
  latitude: fc.double({ min: -90, max: 90, noNaN: true }),
  longitude: fc.double({ min: -180, max: 180, noNaN: true }),
});
const backend = fc.record({
  // Few values, so that equal scores occur; and all that is not a load or a time.
  load: fc.oneof(fc.constantFrom(0, 0.5, 1), fc.double()),
  responseMs: fc.oneof(fc.constantFrom(0, 100, 1e6), fc.double({ min: 0 }), fc.double()),
  health,
  location: fc.option(location),
});
const backends = fc.array(backend, { maxLength: 40 });
const from = fc.option(location);

/** Held to what the reference has picked: the same, or one whose score is as good. */
function expectSamePick(
  twin: ScoreKernel,
  reference: ScoreKernel,
  picked: number,
  expected: number,
  origin: Location | null,
) {
  if (picked === expected) return;
  expect([picked, expected]).not.toContain(NO_SUITABLE_BACKEND);
  expect(Math.abs(reference.scoreOf(picked, origin) - reference.scoreOf(expected, origin))).toBeLessThanOrEqual(WITHIN);
  expect(twin.scoreOf(picked, origin)).toBeGreaterThanOrEqual(twin.scoreOf(expected, origin));
}

describe('score twins', () => {
  const [reference, ...others] = KERNEL_TWINS.map((twin) => twin.score);

  it('score any backends within 1e-12 of each other, and pick alike', () => {
    fc.assert(
      fc.property(backends, from, (all, origin) => {
        reference!.setBackends(all);
        const expected = reference!.pick(origin);
        for (const twin of others) {
          twin.setBackends(all);
          for (const index of all.keys()) {
            const score = reference!.scoreOf(index, origin);
            if (score === Number.NEGATIVE_INFINITY) expect(twin.scoreOf(index, origin)).toBe(score);
            else expect(Math.abs(twin.scoreOf(index, origin) - score)).toBeLessThanOrEqual(WITHIN);
          }
          expectSamePick(twin, reference!, twin.pick(origin), expected, origin);
        }
      }),
      { seed: 11, numRuns: 400 },
    );
  });

  it('score alike to the last bit without a location', () => {
    fc.assert(
      fc.property(backends, (all) => {
        reference!.setBackends(all);
        for (const twin of others) {
          twin.setBackends(all);
          for (const index of all.keys()) expect(twin.scoreOf(index)).toBe(reference!.scoreOf(index));
          expect(twin.pick()).toBe(reference!.pick());
        }
      }),
      { seed: 12, numRuns: 200 },
    );
  });

  it('draw the same two of any number of choices from the same seed', () => {
    fc.assert(
      fc.property(backends, fc.integer(), fc.integer({ min: 1, max: MAX_CHOICES }), (all, seed, choices) => {
        reference!.setBackends(all);
        reference!.seed(seed);
        const expected = Array.from({ length: 8 }, () => reference!.pickTwo(null, choices));
        for (const twin of others) {
          twin.setBackends(all);
          twin.seed(seed);
          expect(Array.from({ length: 8 }, () => twin.pickTwo(null, choices))).toEqual(expected);
        }
      }),
      { seed: 13, numRuns: 300 },
    );
  });

  it('pick alike for a batch of requests, some of them without a location', () => {
    const random = createSeededRandom(5);
    const somewhere = () => at(180 * random.unit() - 90, 360 * random.unit() - 180);
    const all = Array.from({ length: 100 }, () =>
      backendOf({
        load: random.unit(),
        responseMs: 400 * random.unit(),
        location: random.chance(0.8) ? somewhere() : null,
      }),
    );
    // More than the kernel takes in one call.
    const requests = Array.from({ length: 20_000 }, (_, i) => (i % 7 === 3 ? at(Number.NaN, 0) : somewhere()));
    const latitudes = Float64Array.from(requests, ({ latitude }) => latitude);
    const longitudes = Float64Array.from(requests, ({ longitude }) => longitude);
    reference!.setBackends(all);
    const expected = reference!.pickBatch(latitudes, longitudes);
    for (const twin of others) {
      twin.setBackends(all);
      const winners = twin.pickBatch(latitudes, longitudes);
      for (const [i, winner] of winners.entries()) {
        if (winner !== expected[i]) expectSamePick(twin, reference!, winner, expected[i]!, requests[i]!);
      }
    }
  });
});

describe.each(KERNEL_TWINS)('score of the $name kernel', ({ score }) => {
  /** Of one backend. */
  const scoreOf = (changes: Partial<Backend>, origin: Location | null = null) => {
    score.setBackends([backendOf(changes)]);
    return score.scoreOf(0, origin);
  };

  it.each<readonly [string, Partial<Backend>, number]>([
    ['idle, instant, healthy', { load: 0, responseMs: 0 }, 0.9],
    ['half busy, 100 ms', {}, 0.2 + 0.3 / 1.1 + 0.2],
    ['a second', { load: 1, responseMs: 1_000 }, 0.15 + 0.2],
    ['degraded', { load: 0, responseMs: 0, health: 'degraded' }, 0.7],
    ['busier than possible', { load: 7, responseMs: 0 }, 0.5],
    ['less than idle', { load: -3, responseMs: 0 }, 0.9],
    ['never answers', { load: 0, responseMs: Number.POSITIVE_INFINITY }, 0.6],
  ])('is the sum of its terms: %s', (_name, changes, expected) => {
    expect(scoreOf(changes)).toBeCloseTo(expected, 14);
  });

  it.each([
    ['the same place', BERLIN, BERLIN, 0],
    // Great circles as geographers publish them, on a sphere of 6371 km.
    ['Paris to Berlin', PARIS, BERLIN, 877.46],
    ['Berlin to Sydney', BERLIN, SYDNEY, 16_093],
    ['a quarter of a meridian', at(0, 0), at(90, 0), (6_371 * Math.PI) / 2],
    ['across the date line', at(0, 179.5), at(0, -179.5), (6_371 * Math.PI) / 180],
    ['pole to pole', at(90, 12), at(-90, 77), 6_371 * Math.PI],
    ['a metre', at(0, 0), at(0, 180 / Math.PI / 6_371_000), 0.001],
  ])('takes the great-circle distance: %s', (_name, origin, location, km) => {
    const near = (scoreOf({ location }, origin) - scoreOf({ location })) / 0.1;
    const measuredKm = 1_000 * (1 / near - 1);
    expect(Math.abs(measuredKm - km)).toBeLessThanOrEqual(Math.max(1e-8, km * 1e-3));
  });

  it('scores the antipode and its surroundings within 1e-9', () => {
    for (const degrees of [0, 1e-9, 1e-7, 1e-5, 1e-3, 0.1]) {
      const km = 6_371 * Math.PI * (1 - degrees / 180);
      const expected = scoreOf({}) + 0.1 / (1 + km / 1_000);
      expect(Math.abs(scoreOf({ location: at(0, 180 - degrees) }, at(0, 0)) - expected)).toBeLessThan(WITHIN_ANTIPODE);
    }
  });

  it('counts no distance without a location on either side', () => {
    const without = scoreOf({});
    expect(scoreOf({ location: null }, BERLIN)).toBe(without);
    expect(scoreOf({ location: BERLIN }, null)).toBe(without);
    expect(scoreOf({ location: at(Number.NaN, 3) }, BERLIN)).toBe(without);
    expect(scoreOf({ location: at(3, Number.POSITIVE_INFINITY) }, BERLIN)).toBe(without);
    expect(scoreOf({ location: BERLIN }, at(3, Number.NaN))).toBe(without);
  });

  it.each<readonly [string, Partial<Backend>]>([
    ['unhealthy', { health: 'unhealthy' }],
    ['a response time of NaN', { responseMs: Number.NaN }],
    ['a negative response time', { responseMs: -1e-9 }],
    ['a load of NaN', { load: Number.NaN }],
  ])('takes for no candidate: %s', (_name, changes) => {
    score.setBackends([backendOf({ ...changes, location: BERLIN }), backendOf({ load: 1, health: 'degraded' })]);
    expect(score.scoreOf(0)).toBe(Number.NEGATIVE_INFINITY);
    expect(score.scoreOf(0, BERLIN)).toBe(Number.NEGATIVE_INFINITY);
    expect(score.pick()).toBe(1);
    expect(score.pick(BERLIN)).toBe(1);
    expect(score.pickTwo()).toEqual([1, NO_SUITABLE_BACKEND]);
  });

  it.each<readonly [string, readonly Backend[]]>([
    ['no backend', []],
    ['unhealthy ones only', Array.from({ length: 9 }, () => backendOf({ health: 'unhealthy', location: PARIS }))],
  ])('has no suitable one of %s', (_name, all) => {
    score.setBackends(all);
    expect(score.pick()).toBe(NO_SUITABLE_BACKEND);
    expect(score.pick(BERLIN)).toBe(NO_SUITABLE_BACKEND);
    expect(score.pickTwo()).toEqual([NO_SUITABLE_BACKEND, NO_SUITABLE_BACKEND]);
    expect([...score.pickBatch(Float64Array.of(1, Number.NaN), Float64Array.of(2, 3))]).toEqual([
      NO_SUITABLE_BACKEND,
      NO_SUITABLE_BACKEND,
    ]);
  });

  it.each([1, 2, 3, 7, 8, 9, 63, 256, MAX_BACKENDS])(
    'finds the best of %i wherever it stands, and the first of equals',
    (count) => {
      score.setBackends(Array.from({ length: count }, () => backendOf({ location: PARIS })));
      expect(score.pick()).toBe(0);
      expect(score.pick(BERLIN)).toBe(0);
      for (const best of new Set([count - 1, count >> 1, count >> 2, 0])) {
        score.update(best, 0.1, 100, 'healthy');
        expect(score.pick()).toBe(best);
        expect(score.pick(BERLIN)).toBe(best);
      }
    },
  );

  it('forgets the backends before', () => {
    score.setBackends(Array.from({ length: 20 }, () => backendOf({ load: 0, location: BERLIN })));
    score.setBackends(Array.from({ length: 3 }, (_, i) => backendOf({ load: 1 - i / 10 })));
    expect([score.pick(), score.pick(BERLIN), ...score.pickTwo(null, MAX_CHOICES)]).toEqual([2, 2, 2, 1]);
  });

  it('prefers the nearer of two that are alike', () => {
    score.setBackends([backendOf({ location: SYDNEY }), backendOf({ location: PARIS }), backendOf()]);
    expect(score.pick(BERLIN)).toBe(1);
    expect(score.pick(at(-37.8, 144.9))).toBe(0);
    expect(score.pick()).toBe(0);
    expect([...score.pickBatch(Float64Array.of(52, -37, Number.NaN), Float64Array.of(13, 145, 0))]).toEqual([1, 0, 0]);
  });

  it('follows updates, which leave the location alone', () => {
    score.setBackends([backendOf({ location: PARIS }), backendOf({ location: PARIS })]);
    score.update(0, 0.9, 100, 'healthy');
    expect(score.pick(BERLIN)).toBe(1);
    score.update(1, 0.1, 100, 'unhealthy');
    expect([score.pick(BERLIN), ...score.pickTwo()]).toEqual([0, 0, NO_SUITABLE_BACKEND]);
    score.update(1, 0.1, 100, 'degraded');
    score.update(0, 0.1, 100, 'degraded');
    expect(score.scoreOf(0, BERLIN)).toBe(score.scoreOf(1, BERLIN));
    expect(score.scoreOf(0, BERLIN)).toBeGreaterThan(score.scoreOf(0));
    expect(score.pickTwo()).toEqual([0, 1]);
  });

  it('writes the winners of a batch where it is told to', () => {
    score.setBackends([backendOf()]);
    const winners = new Int32Array(3).fill(7);
    expect(score.pickBatch(new Float64Array(2), new Float64Array(2), winners)).toBe(winners);
    expect([...winners]).toEqual([0, 0, 7]);
  });

  describe('the best two of some random ones', () => {
    it('are the best of all where there are no more than the choices, and then nothing is drawn', () => {
      score.setBackends([0.9, 0.2, 0.5, 0.1].map((load) => backendOf({ load })));
      score.seed(7);
      for (let i = 0; i < 20; i++) expect(score.pickTwo(null, 4)).toEqual([3, 1]);
      const twenty = () => Array.from({ length: 20 }, () => score.pickTwo().join());
      const after = twenty();
      score.seed(7);
      expect(twenty()).toEqual(after);
    });

    it('take the distance into account', () => {
      score.setBackends([backendOf({ location: SYDNEY }), backendOf(), backendOf({ location: PARIS })]);
      expect(score.pickTwo(BERLIN, 3)).toEqual([2, 0]);
    });

    it('are two different candidates, the better one first', () => {
      const random = createSeededRandom(9);
      score.setBackends(
        Array.from({ length: 30 }, (_, i) =>
          backendOf({ load: random.unit(), health: i % 3 ? 'healthy' : 'unhealthy' }),
        ),
      );
      score.seed(1);
      for (let i = 0; i < 500; i++) {
        const [best, other] = score.pickTwo();
        expect(best % 3).not.toBe(0);
        expect(other % 3).not.toBe(0);
        expect(best).not.toBe(other);
        expect(score.scoreOf(best)).toBeGreaterThanOrEqual(score.scoreOf(other));
      }
    });

    it('are each pair of candidates as often as another', () => {
      const count = 8;
      const pairs = new Map<string, number>();
      score.setBackends(Array.from({ length: count }, (_, i) => backendOf({ load: i / 10 })));
      score.seed(2026);
      const draws = 28_000;
      for (let i = 0; i < draws; i++) {
        const pair = score.pickTwo().join();
        pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
      }
      expect(pairs.size).toBe((count * (count - 1)) / 2);
      const expected = draws / pairs.size;
      const chiSquare = [...pairs.values()].reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
      // 27 degrees of freedom: above 55 once in 1,000 seeds.
      expect(chiSquare).toBeLessThan(55);
    });

    it('spread the requests of a thousand balancers that know the same, which pick would send to one', () => {
      score.setBackends(Array.from({ length: 10 }, (_, i) => backendOf({ load: i / 100 })));
      const firsts = new Set<number>();
      for (let balancer = 0; balancer < 1_000; balancer++) {
        score.seed(balancer);
        firsts.add(score.pickTwo()[0]);
      }
      expect(firsts.size).toBe(9);
      expect(score.pick()).toBe(0);
    });

    it('begin anew with a seed', () => {
      score.setBackends(Array.from({ length: 50 }, (_, i) => backendOf({ load: i / 50 })));
      const twenty = (seed: number) => {
        score.seed(seed);
        return Array.from({ length: 20 }, () => score.pickTwo().join());
      };
      expect(twenty(7)).toEqual(twenty(7));
      expect(twenty(7)).not.toEqual(twenty(8));
    });

    it('are one where the choice is of one', () => {
      score.setBackends([backendOf(), backendOf()]);
      expect(score.pickTwo(null, 1)[1]).toBe(NO_SUITABLE_BACKEND);
    });
  });

  it('refuses what is out of range', () => {
    score.setBackends([backendOf()]);
    expect(() => score.update(1, 0, 0, 'healthy')).toThrow(/backend 1 of 1/);
    expect(() => score.scoreOf(-1)).toThrow(RangeError);
    expect(() => score.scoreOf(0.5)).toThrow(RangeError);
    expect(() => score.pickTwo(null, 0)).toThrow(/the best two of 0 choices/);
    expect(() => score.pickTwo(null, MAX_CHOICES + 1)).toThrow(RangeError);
    expect(() => score.pickBatch(new Float64Array(2), new Float64Array(1))).toThrow(RangeError);
    expect(() => score.pickBatch(new Float64Array(2), new Float64Array(2), new Int32Array(1))).toThrow(RangeError);
    expect(() => score.setBackends(Array.from({ length: MAX_BACKENDS + 1 }, () => backendOf()))).toThrow(
      /4097 backends/,
    );
    expect(score.pick(), 'the backends before stay').toBe(0);
  });
});
