/** Aggregates as they are usually written: an object a sample, a Map of objects by shard, a sparse exponential histogram each. */
import type { Sample } from '../../../src/kernels/aggregate/sample-batch.ts';

interface ShardSums {
  samples: number;
  bytes: number;
  errors: number;
  latencySumNs: number;
  latencyMinNs: number;
  latencyMaxNs: number;
  readonly buckets: Map<number, number>;
}

export class MapAggregates {
  readonly shards = new Map<number, ShardSums>();

  add(samples: readonly Sample[]): void {
    for (const { shard, bytes, latencyNs, error } of samples) {
      let sums = this.shards.get(shard);
      if (!sums) {
        sums = {
          samples: 0,
          bytes: 0,
          errors: 0,
          latencySumNs: 0,
          latencyMinNs: Number.POSITIVE_INFINITY,
          latencyMaxNs: 0,
          buckets: new Map(),
        };
        this.shards.set(shard, sums);
      }
      sums.samples++;
      sums.bytes += bytes;
      if (error) sums.errors++;
      sums.latencySumNs += latencyNs;
      sums.latencyMinNs = Math.min(sums.latencyMinNs, latencyNs);
      sums.latencyMaxNs = Math.max(sums.latencyMaxNs, latencyNs);
      const bucket = Math.floor(Math.log2(latencyNs + 1) * 64);
      sums.buckets.set(bucket, (sums.buckets.get(bucket) ?? 0) + 1);
    }
  }
}
