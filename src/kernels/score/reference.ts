import {
  type Backend,
  checkBackend,
  checkBatch,
  checkChoices,
  checkCount,
  type Location,
  NO_SUITABLE_BACKEND,
  type ScoreKernel,
} from './kernel.ts';

const EARTH_RADIUS_KM = 6_371;

export function createReferenceScore(): ScoreKernel {
  let backends: Backend[] = [];
  let drawBelow = mulberry32(0);

  const bestOf = (indices: Iterable<number>, from: Location | null): number => {
    let best = NO_SUITABLE_BACKEND;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (const index of indices) {
      const score = scoreOf(backends[index]!, from);
      if (score > bestScore) {
        best = index;
        bestScore = score;
      }
    }
    return best;
  };

  return {
    name: 'reference',
    setBackends(all) {
      checkCount(all.length);
      backends = all.map((backend) => ({ ...backend }));
    },
    update(backend, load, responseMs, health) {
      checkBackend(backend, backends.length);
      backends[backend] = { ...backends[backend]!, load, responseMs, health };
    },
    scoreOf(backend, from = null) {
      checkBackend(backend, backends.length);
      return scoreOf(backends[backend]!, from);
    },
    pick: (from = null) => bestOf(backends.keys(), from),
    pickBatch(latitudes, longitudes, winners = new Int32Array(latitudes.length)) {
      checkBatch(latitudes, longitudes, winners);
      latitudes.forEach((latitude, i) => {
        winners[i] = bestOf(backends.keys(), { latitude, longitude: longitudes[i]! });
      });
      return winners;
    },
    pickTwo(from = null, choices = 2) {
      checkChoices(choices);
      const candidates = [...backends.keys()].filter((index) => isCandidate(backends[index]!));
      const drawn = drawPlaces(candidates.length, choices, drawBelow)
        .map((place) => candidates[place]!)
        .sort((a, b) => a - b);
      const best = bestOf(drawn, from);
      return [
        best,
        bestOf(
          drawn.filter((index) => index !== best),
          from,
        ),
      ];
    },
    seed(seed) {
      drawBelow = mulberry32(seed);
    },
  };
}

function isCandidate({ health, load, responseMs }: Backend): boolean {
  return health !== 'unhealthy' && !Number.isNaN(load) && responseMs >= 0;
}

function scoreOf(backend: Backend, from: Location | null): number {
  if (!isCandidate(backend)) return Number.NEGATIVE_INFINITY;
  const load = Math.min(Math.max(backend.load, 0), 1);
  const healthy = backend.health === 'healthy' ? 1 : 0;
  const base = 0.4 * (1 - load) + 0.3 / (1 + backend.responseMs / 1000) + 0.2 * healthy;
  if (!isLocation(from) || !isLocation(backend.location)) return base;
  return base + 0.1 / (1 + haversineKm(from, backend.location) / 1000);
}

function isLocation(location: Location | null): location is Location {
  return location !== null && Number.isFinite(location.latitude) && Number.isFinite(location.longitude);
}

export function haversineKm(a: Location, b: Location): number {
  const radians = Math.PI / 180;
  const haversine = (angle: number) => Math.sin(angle / 2) ** 2;
  const half =
    haversine((b.latitude - a.latitude) * radians) +
    Math.cos(a.latitude * radians) * Math.cos(b.latitude * radians) * haversine((b.longitude - a.longitude) * radians);
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(half)));
}

/** `choices` different places of a list of `count`, by Floyd's sampling; all of them where there are no more. */
function drawPlaces(count: number, choices: number, drawBelow: (bound: number) => number): number[] {
  if (count <= choices) return Array.from({ length: count }, (_, place) => place);
  const drawn: number[] = [];
  for (let last = count - choices; last < count; last++) {
    const guess = drawBelow(last + 1);
    drawn.push(drawn.includes(guess) ? last : guess);
  }
  return drawn;
}

/** Integers below a bound, by the generator mulberry32. */
function mulberry32(seed: number): (bound: number) => number {
  let state = seed | 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) * bound) / 2 ** 32);
  };
}
