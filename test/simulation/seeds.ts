/** Many seeds, on as many threads as there are cores. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { PlantedBug } from './planted.ts';
import type { SimulationResult } from './simulate.ts';
import type { Order } from './worker.ts';

export interface SeedsOptions {
  readonly bug?: PlantedBug;
  /** Threads. Default: one a core. */
  readonly workers?: number | undefined;
  /** Told of each result as it comes; no more seeds are begun once it says 'stop'. */
  onResult?(result: SimulationResult): 'stop' | undefined;
}

/** In the order of the seeds. Rejects when a simulation itself fails. */
export async function simulateSeeds(
  seeds: readonly number[],
  { bug, workers = availableParallelism(), onResult }: SeedsOptions = {},
): Promise<SimulationResult[]> {
  const results: SimulationResult[] = [];
  let next = 0;
  const run = async () => {
    const worker = new Worker(new URL('./worker.ts', import.meta.url));
    const failed = new Promise<never>((_, reject) => worker.once('error', reject));
    try {
      while (next < seeds.length) {
        const index = next++;
        const order: Order = { seed: seeds[index]!, bug };
        const answer = new Promise<SimulationResult>((resolve) => worker.once('message', resolve));
        worker.postMessage(order);
        const result = await Promise.race([answer, failed]);
        results[index] = result;
        if (onResult?.(result) === 'stop') next = seeds.length;
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(workers, seeds.length) }, run));
  return results.filter(Boolean);
}
