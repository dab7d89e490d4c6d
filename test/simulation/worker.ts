/** A thread that simulates one seed after the other, as they come. Its globals are its own. */
import { parentPort } from 'node:worker_threads';
import type { PlantedBug } from './planted.ts';
import { simulate } from './simulate.ts';

// Errors are part of what is simulated, in their thousands: who wants to see where one comes from plays its seed again.
Error.stackTraceLimit = 0;

export interface Order {
  readonly seed: number;
  readonly bug: PlantedBug | undefined;
}

parentPort!.on('message', async ({ seed, bug }: Order) => {
  parentPort!.postMessage(await simulate(seed, { bug }));
});
