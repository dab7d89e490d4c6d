/**
 * The aggregate kernel against JS as fast as it can be made, and against Maps of objects. Batches are filled already, on all sides, where
 * the case does not say otherwise. Before anything is timed, all sides have to come to the same sums.
 */
import assert from 'node:assert/strict';
import type { AggregateKernel } from '../../src/kernels/aggregate/kernel.ts';
import { createReferenceAggregate } from '../../src/kernels/aggregate/reference.ts';
import { ERROR_UNIT, type Sample, type SampleBatch } from '../../src/kernels/aggregate/sample-batch.ts';
import { loadKernels } from '../../src/kernels/index.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import type { Comparison } from './interleave.ts';
import { MapAggregates } from './peers/map-aggregate.ts';
import * as tuned from './tuned-js/aggregate.ts';

/** Batches that take turns, so that branches cannot be learnt by heart; few enough to be in the cache, as one just filled is. */
const BATCHES = 16;
const GOALS = { typedArrays: { must: 2.2, aim: 3 }, maps: { must: 20, aim: 40 } };

export async function* aggregateComparisons(): AsyncGenerator<Comparison> {
  const { aggregate: ours } = await loadKernels();
  const reference = createReferenceAggregate();
  yield shardComparison(ours, reference, 16, 1_000, 'Load aggregation, 16 shards');
  yield shardComparison(ours, reference, 256, 1_000);
  yield shardComparison(ours, reference, 16, 10_000);
  yield shardComparison(ours, reference, 16, 100);
  yield fillingComparison(ours);
  yield slotComparison(ours, reference);
  yield* hitterComparisons(ours, reference);
}

const turns = <T>(batches: readonly T[], run: (batch: T) => void) => {
  let turn = 0;
  return () => run(batches[turn++ % batches.length]!);
};

function shardComparison(
  ours: AggregateKernel,
  reference: AggregateKernel,
  shards: number,
  batchSamples: number,
  plot?: string,
): Comparison {
  const batches = Array.from({ length: BATCHES }, (_, seed) => samplesOf(seed, shards, batchSamples));
  const aggregates = ours.createShardAggregates(shards);
  const resident = batches.map((batch) => filled(ours, batch));
  const columns = batches.map(columnsOf);
  const rows = batches.map(rowsOf);
  const maps = new MapAggregates();
  const plain = reference.createShardAggregates(shards);
  const plainBatches = batches.slice(0, 3).map((batch) => filled(reference, batch));
  assertSameSums(ours, shards, batches[0]!);
  tuned.clear();

  let samples = 0;
  const addOurs = turns(resident, (batch) => {
    // Not to come to 2^32 in a long run.
    samples += batch.length;
    if (samples > 2 ** 31) {
      aggregates.reset();
      samples = 0;
    }
    aggregates.add(batch);
  });
  const addRows = turns(rows, (batch) => {
    tuned.addRows(batch);
    samplesSinceSettling += batch.length;
    if (samplesSinceSettling < 2 ** 17 - batchSamples) return;
    tuned.settleRows();
    samplesSinceSettling = 0;
  });
  let samplesSinceSettling = 0;
  const goal = batchSamples >= 1_000;
  return {
    name: 'aggregate',
    case: `samples into ${shards} shards, batches of ${batchSamples.toLocaleString('en')}`,
    items: batchSamples,
    unit: 'ns per sample',
    ...(plot !== undefined && { plot }),
    ours: { name: 'wasm', run: addOurs },
    peers: [
      {
        name: 'tuned JS',
        run: turns(columns, (batch) => tuned.addColumns(batch)),
        ...(goal && { goal: GOALS.typedArrays }),
      },
      { name: "tuned JS on the kernel's rows", run: addRows, ...(goal && { goal: GOALS.typedArrays }) },
      { name: 'Map of objects', run: turns(batches, (batch) => maps.add(batch)), ...(goal && { goal: GOALS.maps }) },
      { name: 'reference twin', run: turns(plainBatches, (batch) => plain.add(batch)) },
    ],
  };
}

/** From loose numbers on: what a caller pays who has no batch yet. */
function fillingComparison(ours: AggregateKernel): Comparison {
  const shards = 16;
  const batches = Array.from({ length: BATCHES }, (_, seed) => samplesOf(seed, shards, 1_000));
  const columns = batches.map(columnsOf);
  const aggregates = ours.createShardAggregates(shards);
  const batch = ours.createBatch(1_000);
  tuned.clear();
  const own = columnsOf(batches[0]!);
  return {
    name: 'aggregate',
    case: 'samples into 16 shards, filling the batch included',
    items: 1_000,
    unit: 'ns per sample',
    ours: {
      name: 'wasm',
      run: turns(columns, (from) => {
        batch.clear();
        for (let i = 0; i < from.length; i++) {
          batch.push(from.shards[i]!, from.bytes[i]!, from.latencies[i]!, from.errors[i] === 1);
        }
        if (aggregates.samples > 2 ** 31) aggregates.reset();
        aggregates.add(batch);
      }),
    },
    peers: [
      { name: 'tuned JS, straight from where they are', run: turns(columns, (from) => tuned.addColumns(from)) },
      {
        name: 'tuned JS, columns copied',
        run: turns(columns, (from) => {
          for (let i = 0; i < from.length; i++) {
            own.shards[i] = from.shards[i]!;
            own.bytes[i] = from.bytes[i]!;
            own.latencies[i] = from.latencies[i]!;
            own.errors[i] = from.errors[i]!;
          }
          tuned.addColumns(own);
        }),
      },
    ],
  };
}

function slotComparison(ours: AggregateKernel, reference: AggregateKernel): Comparison {
  const random = createSeededRandom(3);
  const batches = Array.from({ length: BATCHES }, () => ({
    slots: Uint32Array.from({ length: 1_000 }, () => random.integer(0, 65_535)),
    bytes: Uint32Array.from({ length: 1_000 }, () => random.integer(100, 1_000)),
  }));
  const [counters, plain] = [ours.createSlotCounters(16), reference.createSlotCounters(16)];
  return {
    name: 'aggregate',
    case: 'bytes into 2^16 slots, batches of 1,000 copied in',
    items: 1_000,
    unit: 'ns per pair',
    ours: { name: 'wasm', run: turns(batches, ({ slots, bytes }) => counters.add(slots, bytes)) },
    peers: [
      { name: 'tuned JS', run: turns(batches, ({ slots, bytes }) => tuned.addSlots(slots, bytes)) },
      { name: 'reference twin', run: turns(batches, ({ slots, bytes }) => plain.add(slots, bytes)) },
    ],
  };
}

function* hitterComparisons(ours: AggregateKernel, reference: AggregateKernel): Generator<Comparison> {
  const random = createSeededRandom(4);
  const universe = Array.from({ length: 100_000 }, () => (BigInt(random.uint32()) << 32n) | BigInt(random.uint32()));
  const zipf = () => universe[Math.floor(universe.length ** random.unit()) - 1]!;
  const scenarios = [
    ['Zipf over 100,000 keys', zipf],
    ['keys that never come again', () => (BigInt(random.uint32()) << 32n) | BigInt(random.uint32())],
  ] as const;
  for (const [what, draw] of scenarios) {
    const batches = Array.from({ length: BATCHES }, () => ({
      keys: BigUint64Array.from({ length: 1_000 }, draw),
      weights: Uint32Array.from({ length: 1_000 }, () => random.integer(100, 1_000)),
    }));
    const hitters = ours.createHeavyHitters(1_024);
    const plain = reference.createHeavyHitters(1_024);
    const exact = new Map<bigint, number>();
    yield {
      name: 'aggregate',
      case: `1,024 heavy hitters, ${what}, batches of 1,000 copied in`,
      items: 1_000,
      unit: 'ns per key',
      ours: { name: 'wasm', run: turns(batches, ({ keys, weights }) => hitters.add(keys, weights)) },
      peers: [
        {
          name: 'Map of all keys, unbounded',
          run: turns(batches, ({ keys, weights }) => {
            for (let i = 0; i < keys.length; i++) exact.set(keys[i]!, (exact.get(keys[i]!) ?? 0) + weights[i]!);
          }),
        },
        { name: 'reference twin', run: turns(batches, ({ keys, weights }) => plain.add(keys, weights)) },
      ],
    };
    hitters.release();
  }
}

/** Lognormal latencies around 1.2 ms, 6 % errors. */
function samplesOf(seed: number, shards: number, length: number): Sample[] {
  const random = createSeededRandom(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random.unit())) * Math.cos(2 * Math.PI * random.unit());
  return Array.from({ length }, () => ({
    shard: random.integer(0, shards - 1),
    bytes: random.integer(100, 1_000),
    latencyNs: Math.floor(Math.exp(14 + 1.2 * normal())),
    error: random.chance(0.06),
  }));
}

function filled(kernel: AggregateKernel, samples: readonly Sample[]): SampleBatch {
  const batch = kernel.createBatch(samples.length);
  for (const { shard, bytes, latencyNs, error } of samples) batch.push(shard, bytes, latencyNs, error);
  return batch;
}

function columnsOf(samples: readonly Sample[]): tuned.Columns {
  const latencies = Float64Array.from(samples, ({ latencyNs }) => latencyNs);
  return {
    length: samples.length,
    shards: Uint16Array.from(samples, ({ shard }) => shard),
    bytes: Uint32Array.from(samples, ({ bytes }) => bytes),
    latencies,
    latencyWords: new Uint32Array(latencies.buffer),
    errors: Uint8Array.from(samples, ({ error }) => (error ? 1 : 0)),
  };
}

function rowsOf(samples: readonly Sample[]): tuned.Rows {
  const rows = Float64Array.from(
    samples.flatMap(({ latencyNs, bytes, error }) => [latencyNs + 1, bytes + (error ? ERROR_UNIT : 0)]),
  );
  return {
    length: samples.length,
    shards: Uint16Array.from(samples, ({ shard }) => shard),
    rows,
    rowWords: new Uint32Array(rows.buffer),
  };
}

function assertSameSums(ours: AggregateKernel, shards: number, samples: readonly Sample[]): void {
  const aggregates = ours.createShardAggregates(shards);
  const batch = filled(ours, samples);
  aggregates.add(batch);
  const maps = new MapAggregates();
  tuned.clear();
  tuned.addColumns(columnsOf(samples));
  tuned.addRows(rowsOf(samples));
  maps.add(samples);
  const { columnSums, columnWords, rowSums } = tuned.state();
  for (const totals of aggregates.read()) {
    const { shard, samples: count, errors, latencyMinNs: min, latencyMaxNs: max } = totals;
    const bytes = Number(totals.bytes);
    const latency = Number(totals.latencySumNs);
    const own = columnSums.subarray(8 * shard);
    assert.deepEqual([own[0], own[1], own[2], own[3], columnWords[16 * shard + 8]], [bytes, latency, min, max, errors]);
    assert.deepEqual(
      [...rowSums.subarray(4 * shard, 4 * shard + 4)],
      [latency + count, bytes + errors * ERROR_UNIT, min + 1, max + 1],
    );
    const map = maps.shards.get(shard)!;
    assert.deepEqual([map.samples, map.bytes, map.errors, map.latencySumNs], [count, bytes, errors, latency]);
  }
  batch.release();
  aggregates.release();
}
