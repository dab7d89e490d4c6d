/**
 * Which backend is best for a request:
 *
 *   score = 0.4 (1 - load) + 0.3 / (1 + responseMs / 1000) + 0.2 healthy + 0.1 / (1 + km / 1000)
 *
 * | term | what |
 * |---|---|
 * | load | of the backend's capacity, clamped to 0..1 |
 * | responseMs | what it takes to answer, >= 0 |
 * | healthy | 1 when healthy, 0 when degraded |
 * | km | great-circle distance from request to backend, by haversine; without a location on either side that term is 0 |
 *
 * Candidates are the healthy and the degraded; not the unhealthy, and none whose load is NaN or whose response time is NaN or
 * negative. Of equal scores the lowest index wins. The twins' scores differ by 1e-12 at most (within 10 km of the antipode, where
 * haversine itself is ill-conditioned, by 1e-9), their winners only where the scores are that close.
 */
export type BackendHealth = 'healthy' | 'degraded' | 'unhealthy';

/** In degrees, north and east positive. */
export interface Location {
  readonly latitude: number;
  readonly longitude: number;
}

export interface Backend {
  readonly load: number;
  readonly responseMs: number;
  readonly health: BackendHealth;
  /** null, or a coordinate that is not finite: without a location. */
  readonly location: Location | null;
}

/** Instead of a backend's index: there is no candidate. */
export const NO_SUITABLE_BACKEND = -1;
export const MAX_BACKENDS = 4_096;
export const MAX_CHOICES = 64;

/** Best first; NO_SUITABLE_BACKEND where there is none. */
export type BestTwo = readonly [best: number, other: number];

/** Holds one set of backends, which are named by their indices. RangeError: an index, count or number of choices out of range. */
export interface ScoreKernel {
  readonly name: 'wasm' | 'reference';
  /** Replaces all backends; at most MAX_BACKENDS. */
  setBackends(backends: readonly Backend[]): void;
  /** Changes what a response tells of a backend; its location stays. */
  update(backend: number, load: number, responseMs: number, health: BackendHealth): void;
  /** -Infinity: it is no candidate. */
  scoreOf(backend: number, from?: Location | null): number;
  pick(from?: Location | null): number;
  /** The best for each of many requests; a coordinate that is not finite: without a location. Results go to `winners` where it is given. */
  pickBatch(latitudes: Float64Array, longitudes: Float64Array, winners?: Int32Array): Int32Array;
  /**
   * The two best of `choices` different random candidates, 2 by default and at most MAX_CHOICES: many balancers that know the same then do not all
   * rush to one backend. Of no more candidates than choices, all are looked at and nothing is drawn.
   */
  pickTwo(from?: Location | null, choices?: number): BestTwo;
  /** Begins the random numbers anew: equal seeds (u32), equal picks. */
  seed(seed: number): void;
}

/** Throws the RangeErrors of ScoreKernel. */
export function checkBackend(backend: number, count: number): void {
  if (!(Number.isInteger(backend) && backend >= 0 && backend < count)) {
    throw new RangeError(`backend ${backend} of ${count}`);
  }
}

export function checkCount(count: number): void {
  if (count > MAX_BACKENDS) throw new RangeError(`${count} backends, but there may be ${MAX_BACKENDS}`);
}

export function checkChoices(choices: number): void {
  if (!(Number.isInteger(choices) && choices >= 1 && choices <= MAX_CHOICES)) {
    throw new RangeError(`the best two of ${choices} choices, but there may be 1 to ${MAX_CHOICES}`);
  }
}

export function checkBatch(latitudes: Float64Array, longitudes: Float64Array, winners: Int32Array): void {
  if (latitudes.length !== longitudes.length || winners.length < latitudes.length) {
    throw new RangeError(
      `a batch of ${latitudes.length} latitudes, ${longitudes.length} longitudes and room for ${winners.length} winners`,
    );
  }
}
