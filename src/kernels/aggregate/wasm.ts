/** Finds room in the AGGREGATION region and works on what assembly/samples.ts, slot-counters.ts and heavy-hitters.ts lay out there. */
import type { KernelHost } from '../host.ts';
import { type Extent, Extents } from '../split/extents.ts';
import type { AggregateKernel } from './kernel.ts';
import { checkCapacity, SampleBatch } from './sample-batch.ts';
import { createWasmHeavyHitters } from './wasm-heavy-hitters.ts';
import { createWasmShardAggregates } from './wasm-shard-aggregates.ts';
import { createWasmSlotCounters } from './wasm-slot-counters.ts';

/** Where the columns of a batch are: its samples are added without being copied. */
export interface BatchPlace {
  readonly shardsAt: number;
  readonly rowsAt: number;
}

/** A lease in the AGGREGATION region. */
export interface Room {
  /** Throws once it is released: it may be another's by then. */
  readonly at: number;
  release(): void;
}

export interface AggregationRegion {
  /** Throws a RangeError when there is no such room. Its content is whatever was there. */
  take(bytes: number, what: string): Room;
}

export function createWasmAggregate(host: KernelHost): AggregateKernel {
  const region = createRegion(host);
  const places = new WeakMap<SampleBatch, BatchPlace>();
  return {
    name: 'wasm',
    createBatch(capacity) {
      checkCapacity(capacity);
      const room = region.take(18 * capacity, `a batch of ${capacity} samples`);
      const rowsAt = room.at;
      const shardsAt = rowsAt + 16 * capacity;
      const columns = () => ({
        shards: new Uint16Array(host.u8.buffer, shardsAt, capacity),
        rows: new Float64Array(host.u8.buffer, rowsAt, 2 * capacity),
      });
      const batch = new SampleBatch(capacity, columns, () => room.release());
      places.set(batch, { shardsAt, rowsAt });
      return batch;
    },
    createShardAggregates: (shardCount) => createWasmShardAggregates(host, region, places, shardCount),
    createSlotCounters: (slotBits) => createWasmSlotCounters(host, region, slotBits),
    createHeavyHitters: (capacity) => createWasmHeavyHitters(host, region, capacity),
  };
}

function createRegion(host: KernelHost): AggregationRegion {
  const extents = new Extents();
  const bytesOfRegion = host.exports.AGGREGATION_BYTES.value;
  extents.cover(host.exports.AGGREGATION.value, bytesOfRegion);
  return {
    take(bytes, what) {
      let extent: Extent | null = extents.take(bytes);
      if (!extent) {
        throw new RangeError(
          `no room for ${what}: they take ${bytes} of the ${bytesOfRegion} bytes that aggregates share; release others`,
        );
      }
      return {
        get at() {
          if (!extent) throw new Error(`${what} used after its release`);
          return extent.at;
        },
        release() {
          if (extent) extents.release(extent);
          extent = null;
        },
      };
    },
  };
}
