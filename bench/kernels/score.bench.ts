/** The best of many backends: for requests with and without a location, one by one and in batches, while backends change. */
import assert from 'node:assert/strict';
import { loadKernels } from '../../src/kernels/index.ts';
import type { Backend, Location, ScoreKernel } from '../../src/kernels/score/kernel.ts';
import { haversineKm } from '../../src/kernels/score/reference.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import type { Comparison } from './interleave.ts';
import {
  baseOf,
  type Columns,
  columnsOf,
  pickFromBase,
  pickFromColumns,
  pickNear,
  pickNearPruned,
  pickTwoFromBase,
} from './tuned-js/score.ts';

/** Picks of one run: a single one is shorter than the clock can tell. */
const PICKS = 64;
const REQUESTS = 256;

export async function scoreComparisons(): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const count of [4, 8, 32, 256]) {
    const { score } = await loadKernels({ kernel: 'wasm' });
    comparisons.push(...comparisonsOf(count, score));
  }
  return comparisons;
}

function comparisonsOf(count: number, score: ScoreKernel): Comparison[] {
  const random = createSeededRandom(count);
  const somewhere = (): Location => ({ latitude: 180 * random.unit() - 90, longitude: 360 * random.unit() - 180 });
  const backends = Array.from({ length: count }, () => ({
    load: random.unit(),
    responseMs: 500 * random.unit(),
    health: random.chance(0.9) ? ('healthy' as const) : ('degraded' as const),
    location: somewhere(),
  }));
  const requests = Array.from({ length: REQUESTS }, somewhere);
  const columns = columnsOf(backends);
  score.setBackends(backends);
  agree(requests, score, [
    (from) => pickObject(backends, from),
    (from) => pickNear(columns, from),
    (from) => pickNearPruned(columns, from),
  ]);
  assert.deepEqual(
    [pickFromColumns(columns), pickFromBase(columns), pickObject(backends, null)],
    Array(3).fill(score.pick()),
  );

  const large = count === 256;
  const goal = (must: number, aim: number) => large && { goal: { must, aim } };
  const unit = 'ns per backend';
  const common = { name: 'score', unit, items: PICKS * count } as const;
  const repeated = (pick: () => unknown) => () => {
    for (let i = 0; i < PICKS; i++) pick();
  };
  const eachRequest = (pick: (from: Location) => unknown) => {
    let next = 0;
    return repeated(() => pick(requests[next++ % REQUESTS]!));
  };
  const single: Comparison[] = [
    {
      ...common,
      case: `best of ${count}`,
      ...(large && { plot: 'best of 256 backends' }),
      ours: { name: 'wasm', run: repeated(() => score.pick()) },
      peers: [
        { name: 'objects + reduce', run: repeated(() => pickObject(backends, null)), ...goal(5, 10) },
        { name: 'typed-array JS', run: repeated(() => pickFromColumns(columns)), ...goal(1.5, 3) },
        {
          name: 'tuned JS',
          run: repeated(() => pickFromBase(columns)),
          ...goal(1.5, 3),
        },
      ],
    },
    {
      ...common,
      case: `best of ${count} with distances`,
      ...(large && { plot: 'best of 256 backends, distances too' }),
      ours: { name: 'wasm', run: eachRequest((from) => score.pick(from)) },
      peers: [
        { name: 'objects + reduce', run: eachRequest((from) => pickObject(backends, from)), ...goal(5, 10) },
        { name: 'typed-array JS', run: eachRequest((from) => pickNear(columns, from)), ...goal(1.5, 3) },
        {
          name: 'tuned JS',
          run: eachRequest((from) => pickNearPruned(columns, from)),
          ...goal(1.5, 3),
        },
      ],
    },
  ];
  if (!large) return single;

  const latitudes = Float64Array.from(requests, ({ latitude }) => latitude);
  const longitudes = Float64Array.from(requests, ({ longitude }) => longitude);
  const winners = new Int32Array(REQUESTS);
  return [
    ...single,
    {
      ...common,
      case: `best of ${count} with distances, ${REQUESTS} requests a call`,
      items: REQUESTS * count,
      ours: { name: 'wasm', run: () => score.pickBatch(latitudes, longitudes, winners) },
      peers: [
        {
          name: 'tuned JS',
          run() {
            for (let i = 0; i < REQUESTS; i++) winners[i] = pickNearPruned(columns, requests[i]!);
          },
          ...goal(1.5, 3),
        },
      ],
    },
    {
      ...common,
      case: `one of ${count} changes, then the best`,
      ours: changing(backends, (i, { load, responseMs, health }) => {
        score.update(i, load, responseMs, health);
        return score.pick();
      }),
      peers: [
        {
          ...changing(backends, (i, backend) => changedColumns(columns, i, backend)),
          name: 'tuned JS',
        },
      ],
    },
    {
      ...common,
      case: `best two of 2 random ones of ${count}`,
      items: PICKS,
      unit: 'ns per pick',
      ours: { name: 'wasm', run: repeated(() => score.pickTwo()) },
      peers: [{ name: 'tuned JS, Math.random', run: repeated(() => pickTwoFromBase(columns)) }],
    },
  ];
}

/** What one writes first. */
function pickObject(backends: readonly Backend[], from: Location | null): number {
  return backends.reduce(
    (best, backend, index) => {
      if (backend.health === 'unhealthy') return best;
      const distance = from && backend.location ? 1 / (1 + haversineKm(from, backend.location) / 1000) : 0;
      const score =
        0.4 * (1 - backend.load) +
        0.3 / (1 + backend.responseMs / 1000) +
        0.2 * (backend.health === 'healthy' ? 1 : 0) +
        0.1 * distance;
      return score > best.score ? { score, index } : best;
    },
    { score: Number.NEGATIVE_INFINITY, index: -1 },
  ).index;
}

function changedColumns(columns: Columns, i: number, { load, responseMs, health }: Backend): number {
  columns.base[i] = baseOf(load, responseMs, health === 'healthy' ? 1 : 0);
  return pickFromBase(columns);
}

/** Changes a backend at each pick, and back again a round later. */
function changing(backends: readonly Backend[], pick: (i: number, backend: Backend) => number) {
  let next = 0;
  return {
    name: 'wasm',
    run() {
      for (let i = 0; i < PICKS; i++, next++) pick(next % backends.length, backends[(next * 7) % backends.length]!);
    },
  };
}

function agree(
  requests: readonly Location[],
  score: ScoreKernel,
  others: ReadonlyArray<(from: Location) => number>,
): void {
  for (const from of requests) {
    for (const pick of others) assert.equal(pick(from), score.pick(from), 'an implementation picks another backend');
  }
}
