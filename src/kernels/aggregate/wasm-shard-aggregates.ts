import type { KernelHost } from '../host.ts';
import { LATENCY_BUCKETS } from './histogram.ts';
import { MAX_SAMPLES, type ShardAggregates, type ShardTotals } from './kernel.ts';
import { checkShardCount } from './limits.ts';
import { ERROR_UNIT, type SampleBatch } from './sample-batch.ts';
import { checkShardTotals } from './shard-totals.ts';
import type { AggregationRegion, BatchPlace, Room } from './wasm.ts';

// Of assembly/samples.ts.
const ROW_BYTES = 32;
const LEAST = 16;
const SPREAD = 24;
const NONE = 0xffff_ffff_ffff_ffffn;
const SETTLED_ERRORS = 8;
const SETTLED_LATENCY = 16;
const SETTLED_LATENCY_HIGH = 24;

/** What may be pending: a double holds the sums exactly below 2^53, half of which is left for the rounding of `latencySum`. */
const PENDING_SAMPLES = 2 ** 17 - 1;
const PENDING_BYTES = ERROR_UNIT - 1;
const PENDING_LATENCY = 2 ** 52;

export function createWasmShardAggregates(
  host: KernelHost,
  region: AggregationRegion,
  places: WeakMap<SampleBatch, BatchPlace>,
  shardCount: number,
): ShardAggregates {
  checkShardCount(shardCount);
  return new WasmShardAggregates(host, region, places, shardCount);
}

class WasmShardAggregates implements ShardAggregates {
  readonly shardCount: number;
  readonly #host: KernelHost;
  readonly #places: WeakMap<SampleBatch, BatchPlace>;
  readonly #room: Room;
  readonly #histogramBytes: number;
  #samples = 0;
  #pendingSamples = 0;
  #pendingBytes = 0;
  #pendingLatency = 0;

  constructor(
    host: KernelHost,
    region: AggregationRegion,
    places: WeakMap<SampleBatch, BatchPlace>,
    shardCount: number,
  ) {
    this.#host = host;
    this.#places = places;
    this.shardCount = shardCount;
    this.#histogramBytes = host.exports.HISTOGRAM_BYTES.value;
    this.#room = region.take(shardCount * (2 * ROW_BYTES + this.#histogramBytes), `aggregates of ${shardCount} shards`);
    host.exports.beginAggregate(this.#room.at, shardCount);
  }

  get samples(): number {
    return this.#samples;
  }

  add(batch: SampleBatch): void {
    const { at } = this.#room;
    const { shardCount } = this;
    const { length, largestShard, byteSum, latencySum } = batch;
    const place = this.#places.get(batch);
    if (!place) throw new Error('a batch of another kernel: its samples lie in another memory');
    if (largestShard >= shardCount) {
      throw new RangeError(`a sample of shard ${largestShard}, but there are ${shardCount} shards`);
    }
    this.#count(length);
    const { exports } = this.#host;
    if (
      length + this.#pendingSamples > PENDING_SAMPLES ||
      byteSum + this.#pendingBytes > PENDING_BYTES ||
      latencySum + this.#pendingLatency > PENDING_LATENCY
    ) {
      this.#settle();
    }
    if (byteSum > PENDING_BYTES || latencySum > PENDING_LATENCY) {
      exports.addHugeSamples(at, shardCount, place.shardsAt, place.rowsAt, length);
      return;
    }
    exports.addSamples(at, shardCount, place.shardsAt, place.rowsAt, length);
    this.#pendingSamples += length;
    this.#pendingBytes += byteSum;
    this.#pendingLatency += latencySum;
  }

  read(): ShardTotals[] {
    this.#settle();
    const { u8 } = this.#host;
    const totals: ShardTotals[] = [];
    for (let shard = 0; shard < this.shardCount; shard++) {
      const row = this.#room.at + shard * ROW_BYTES;
      const least = u8.readBigUInt64LE(row + LEAST);
      if (least === NONE) continue;
      const settled = row + this.shardCount * ROW_BYTES;
      const { buckets, samples } = this.#buckets(shard);
      // Sums and extremes are of latency + 1.
      const sum = u8.readBigUInt64LE(settled + SETTLED_LATENCY);
      const high = u8.readBigUInt64LE(settled + SETTLED_LATENCY_HIGH);
      totals.push({
        shard,
        samples,
        errors: Number(u8.readBigUInt64LE(settled + SETTLED_ERRORS)),
        bytes: u8.readBigUInt64LE(settled),
        latencyMinNs: doubleOf(least) - 1,
        latencyMaxNs: doubleOf(least + u8.readBigUInt64LE(row + SPREAD)) - 1,
        latencySumNs: (high << 64n) + sum - BigInt(samples),
        buckets,
      });
    }
    return totals;
  }

  merge(totals: readonly ShardTotals[]): void {
    checkShardTotals(totals, this.shardCount);
    this.#count(totals.reduce((sum, each) => sum + each.samples, 0));
    for (const each of totals) this.#mergeShard(each);
  }

  reset(): void {
    this.#host.exports.clearAggregate(this.#room.at, this.shardCount);
    this.#samples = 0;
    this.#nothingPending();
  }

  release(): void {
    this.#room.release();
  }

  #count(samples: number): void {
    if (this.#samples + samples > MAX_SAMPLES) throw new RangeError(`more than ${MAX_SAMPLES} samples: reset first`);
    this.#samples += samples;
  }

  #settle(): void {
    this.#host.exports.settleAggregate(this.#room.at, this.shardCount);
    this.#nothingPending();
  }

  #nothingPending(): void {
    this.#pendingSamples = 0;
    this.#pendingBytes = 0;
    this.#pendingLatency = 0;
  }

  #histogramAt(shard: number): number {
    return this.#room.at + 2 * this.shardCount * ROW_BYTES + shard * this.#histogramBytes;
  }

  #buckets(shard: number): { buckets: Uint32Array; samples: number } {
    const at = this.#histogramAt(shard) / 4;
    const { u32 } = this.#host;
    const pairs: number[] = [];
    let samples = 0;
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      const count = u32[at + bucket]!;
      if (count === 0) continue;
      pairs.push(bucket, count);
      samples += count;
    }
    return { buckets: Uint32Array.from(pairs), samples };
  }

  #mergeShard(totals: ShardTotals): void {
    const { u8, u32 } = this.#host;
    const row = this.#room.at + totals.shard * ROW_BYTES;
    const settled = row + this.shardCount * ROW_BYTES;
    const histogram = this.#histogramAt(totals.shard) / 4;

    const before = u8.readBigUInt64LE(row + LEAST);
    const mostBefore = before === NONE ? 0n : before + u8.readBigUInt64LE(row + SPREAD);
    const least = smaller(before, bitsOf(totals.latencyMinNs + 1));
    const most = larger(mostBefore, bitsOf(totals.latencyMaxNs + 1));
    u8.writeBigUInt64LE(least, row + LEAST);
    u8.writeBigUInt64LE(most - least, row + SPREAD);

    const sum =
      u8.readBigUInt64LE(settled + SETTLED_LATENCY) +
      (u8.readBigUInt64LE(settled + SETTLED_LATENCY_HIGH) << 64n) +
      totals.latencySumNs +
      BigInt(totals.samples);
    u8.writeBigUInt64LE(u8.readBigUInt64LE(settled) + totals.bytes, settled);
    u8.writeBigUInt64LE(u8.readBigUInt64LE(settled + SETTLED_ERRORS) + BigInt(totals.errors), settled + SETTLED_ERRORS);
    u8.writeBigUInt64LE(BigInt.asUintN(64, sum), settled + SETTLED_LATENCY);
    u8.writeBigUInt64LE(sum >> 64n, settled + SETTLED_LATENCY_HIGH);

    const { buckets } = totals;
    for (let i = 0; i < buckets.length; i += 2) u32[histogram + buckets[i]!]! += buckets[i + 1]!;
  }
}

const double = new Float64Array(1);
const bits = new BigUint64Array(double.buffer);

function bitsOf(value: number): bigint {
  double[0] = value;
  return bits[0]!;
}

function doubleOf(value: bigint): number {
  bits[0] = value;
  return double[0]!;
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
