/** Many seeds, on as many threads as there are cores. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { PlantedBug } from './planted.ts';
import type { SimulationResult } from './simulate.ts';
import type { Order } from './worker.ts';

export interface RunOptions {
  readonly bug?: PlantedBug | undefined;
  /** Told of each result as it comes; no more seeds are begun once it says 'stop'. */
  onResult?(result: SimulationResult): 'stop' | undefined;
}

/** Its threads stay until it is closed: one takes longer to begin than a seed to run. */
export class SeedRunner {
  readonly #workers: readonly Worker[];

  /** `workers`: threads. Default: one a core. */
  constructor(workers: number = availableParallelism()) {
    this.#workers = Array.from({ length: workers }, () => new Worker(new URL('./worker.ts', import.meta.url)));
  }

  /** In the order of the seeds. Rejects when a simulation itself fails. */
  async run(seeds: readonly number[], { bug, onResult }: RunOptions = {}): Promise<SimulationResult[]> {
    const results: SimulationResult[] = [];
    let next = 0;
    const runOn = async (worker: Worker) => {
      while (next < seeds.length) {
        const index = next++;
        const result = await simulateOn(worker, { seed: seeds[index]!, bug });
        results[index] = result;
        if (onResult?.(result) === 'stop') next = seeds.length;
      }
    };
    await Promise.all(this.#workers.map(runOn));
    return results.filter(Boolean);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function simulateOn(worker: Worker, order: Order): Promise<SimulationResult> {
  const { promise, resolve, reject } = Promise.withResolvers<SimulationResult>();
  worker.once('message', resolve).once('error', reject);
  worker.postMessage(order);
  return promise.finally(() => worker.off('message', resolve).off('error', reject));
}
