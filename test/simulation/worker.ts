/** A thread that simulates one seed after the other, as they come. Its globals are its own. */
import { parentPort } from 'node:worker_threads';
import type { PlantedBug } from './planted.ts';
import { simulate } from './simulate.ts';

export interface Order {
  readonly seed: number;
  readonly bug: PlantedBug | undefined;
}

parentPort!.on('message', async ({ seed, bug }: Order) => {
  parentPort!.postMessage(await simulate(seed, { bug }));
});
