import type { KernelHost } from '../host.ts';
import {
  type BackendHealth,
  checkBackend,
  checkBatch,
  checkChoices,
  checkCount,
  type Location,
  type ScoreKernel,
} from './kernel.ts';

/** Requests of one call of the kernel: its three columns and the winners fit BATCH. */
const REQUESTS = 16_384;

const HEALTH: Readonly<Record<BackendHealth, number>> = { unhealthy: 0, degraded: 1, healthy: 2 };

export function createWasmScore(host: KernelHost): ScoreKernel {
  const kernel = host.exports;
  let count = 0;

  return {
    name: 'wasm',
    setBackends(backends) {
      checkCount(backends.length);
      count = backends.length;
      kernel.scoreBegin(count);
      for (const [backend, { load, responseMs, health, location }] of backends.entries()) {
        kernel.scoreUpdate(backend, load, responseMs, HEALTH[health]);
        const { x, y, z } = unitVector(location);
        kernel.scoreLocate(backend, x, y, z);
      }
    },
    update(backend, load, responseMs, health) {
      checkBackend(backend, count);
      kernel.scoreUpdate(backend, load, responseMs, HEALTH[health]);
    },
    scoreOf(backend, from = null) {
      checkBackend(backend, count);
      const { x, y, z } = unitVector(from);
      return kernel.scoreOf(backend, x, y, z);
    },
    pick(from = null) {
      if (from === null) return kernel.scorePick();
      const { x, y, z } = unitVector(from);
      return Number.isNaN(x) ? kernel.scorePick() : kernel.scorePickNear(x, y, z);
    },
    pickBatch(latitudes, longitudes, winners = new Int32Array(latitudes.length)) {
      checkBatch(latitudes, longitudes, winners);
      const column = kernel.BATCH.value / 8;
      const { f64, u8 } = host;
      for (let from = 0; from < latitudes.length; from += REQUESTS) {
        const requests = Math.min(REQUESTS, latitudes.length - from);
        for (let i = 0; i < requests; i++) {
          const { x, y, z } = unitVector({ latitude: latitudes[from + i]!, longitude: longitudes[from + i]! });
          f64[column + i] = x;
          f64[column + REQUESTS + i] = y;
          f64[column + 2 * REQUESTS + i] = z;
        }
        winners.set(new Int32Array(u8.buffer, kernel.scorePickBatch(requests), requests), from);
      }
      return winners;
    },
    pickTwo(from = null, choices = 2) {
      checkChoices(choices);
      const { x, y, z } = unitVector(from);
      const two = kernel.scorePickTwo(choices, x, y, z);
      return [(two & 0xffff) - 1, (two >>> 16) - 1];
    },
    seed(seed) {
      kernel.scoreSeed(seed);
    },
  };
}

const RADIANS = Math.PI / 180;
const NOWHERE = { x: Number.NaN, y: Number.NaN, z: Number.NaN } as const;

/** Where a location lies on the unit sphere; NaN: nowhere. */
function unitVector(location: Location | null): { readonly x: number; readonly y: number; readonly z: number } {
  if (location === null) return NOWHERE;
  const latitude = location.latitude * RADIANS;
  const longitude = location.longitude * RADIANS;
  const onAxis = Math.cos(latitude);
  const x = onAxis * Math.cos(longitude);
  // Sine and cosine of what is not finite are NaN; z alone would not be, if only the longitude is.
  return { x, y: onAxis * Math.sin(longitude), z: Math.sin(latitude) };
}
