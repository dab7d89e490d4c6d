/**
 * Compares implementations fairly on a noisy machine: they take turns, round by round, and the medians are compared. Each turn is
 * one short run of benchmark.js.
 */
import Benchmark from 'benchmark';
import type { Row } from '../rows.ts';

export interface Comparison {
  readonly name: string;
  readonly case: string;
  /** What one call of `run` works on, so that values are ns per item. */
  readonly items: number;
  readonly unit: string;
  readonly ours: Implementation;
  readonly peers: readonly Implementation[];
}

export interface Implementation {
  readonly name: string;
  run(): unknown | Promise<unknown>;
}

const ROUND_SECONDS = 0.15;

export async function compare(comparison: Comparison, rounds: number): Promise<Row[]> {
  const all = [comparison.ours, ...comparison.peers];
  const nanos = all.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, implementation] of all.entries()) {
      nanos[i]!.push(((await secondsPerCall(implementation)) * 1e9) / comparison.items);
    }
  }
  const [ours, ...peers] = nanos.map(median) as [number, ...number[]];
  const { name, unit } = comparison;
  return comparison.peers.map((peer, i) => ({
    name,
    case: comparison.case,
    value: ours,
    unit,
    peer: peer.name,
    peer_value: peers[i] as number,
    ratio: (peers[i] as number) / ours,
  }));
}

function secondsPerCall({ name, run }: Implementation): Promise<number> {
  return new Promise((resolve, reject) => {
    const benchmark = new Benchmark(name, {
      defer: true,
      maxTime: ROUND_SECONDS,
      minSamples: 3,
      async fn(deferred: { resolve(): void }) {
        await run();
        deferred.resolve();
      },
      onComplete: () => resolve(benchmark.stats.mean),
      onError: () => reject((benchmark as unknown as { error: Error }).error),
    });
    benchmark.run({ async: true });
  });
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
