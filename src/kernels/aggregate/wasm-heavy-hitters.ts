import type { KernelHost } from '../host.ts';
import { byWeight, mergeHitterTotals } from './hitter-totals.ts';
import { type HeavyHitter, type HeavyHitters, type HitterTotals, MAX_BATCH } from './kernel.ts';
import { checkBatchPairs, checkHitterCapacity, checkHitterTotal } from './limits.ts';
import type { AggregationRegion } from './wasm.ts';

// Of assembly/heavy-hitters.ts.
const HEADER_BYTES = 64;
const TOTAL = 16;
const COUNTER_BYTES = 32;
const COUNTER_WEIGHT = 8;
const COUNTER_ERROR = 16;
const HEAP_ENTRY_BYTES = 16;

export function createWasmHeavyHitters(host: KernelHost, region: AggregationRegion, capacity: number): HeavyHitters {
  checkHitterCapacity(capacity);
  const { beginHitters, addHitters, restoreHitters } = host.exports;
  const indexBits = Math.max(1, Math.ceil(Math.log2(2 * capacity)));
  const room = region.take(
    HEADER_BYTES + (COUNTER_BYTES + HEAP_ENTRY_BYTES) * capacity + 4 * 2 ** indexBits,
    `${capacity} heavy hitters`,
  );
  const keysColumn = host.exports.BATCH.value;
  const weightsColumn = keysColumn + 8 * MAX_BATCH;
  const reset = () => beginHitters(room.at, capacity, indexBits);
  const total = () => host.u8.readBigUInt64LE(room.at + TOTAL);

  function read(): HitterTotals {
    const { u8, u32 } = host;
    const { at } = room;
    const hitters = Array.from({ length: u32[at / 4]! }, (_, i): HeavyHitter => {
      const counter = at + HEADER_BYTES + i * COUNTER_BYTES;
      return {
        key: u8.readBigUInt64LE(counter),
        weight: u8.readBigUInt64LE(counter + COUNTER_WEIGHT),
        error: u8.readBigUInt64LE(counter + COUNTER_ERROR),
      };
    });
    return { capacity, total: total(), hitters: hitters.sort(byWeight) };
  }

  reset();
  return {
    capacity,
    add(keys, weights) {
      checkBatchPairs(keys.length, weights.length);
      checkHitterTotal(total());
      new BigUint64Array(host.u8.buffer, keysColumn, keys.length).set(keys);
      host.u32.set(weights, weightsColumn / 4);
      addHitters(room.at, keysColumn, weightsColumn, keys.length);
    },
    read,
    merge(totals) {
      const { hitters, total: sum } = mergeHitterTotals(read(), totals);
      const { u8 } = host;
      for (const [i, { key, weight, error }] of hitters.entries()) {
        const counter = room.at + HEADER_BYTES + i * COUNTER_BYTES;
        u8.writeBigUInt64LE(key, counter);
        u8.writeBigUInt64LE(weight, counter + COUNTER_WEIGHT);
        u8.writeBigUInt64LE(error, counter + COUNTER_ERROR);
      }
      restoreHitters(room.at, hitters.length, sum);
    },
    reset,
    release: () => room.release(),
  };
}
