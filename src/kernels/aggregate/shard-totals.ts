/**
 * ShardTotals as bytes, for load reports and whoever merges them:
 *
 * Aggregates   1 shards LEN ShardTotals, repeated
 * ShardTotals  1 shard VARINT, 2 errors VARINT, 3 sums LEN: packed fixed64 (bytes; latency sum, low and high 64 bits),
 *              4 latency min VARINT, 5 latency max VARINT, 6 bucket gaps LEN: packed varints, 7 bucket samples LEN: packed varints
 *
 * The first gap is the first bucket, each other one the distance from the bucket before. 64-bit sums are fixed64 since a varint comes out of
 * ProtobufReader as a double.
 */
import { ProtobufError, ProtobufReader } from '../../protobuf/reader.ts';
import { ProtobufWriter } from '../../protobuf/writer.ts';
import { bucketOf, LATENCY_BUCKETS, MAX_LATENCY_NS } from './histogram.ts';
import { MAX_AGGREGATED_SHARDS, MAX_SAMPLES, type ShardTotals } from './kernel.ts';

const MAX_SAMPLE_BYTES = 2n ** 32n - 1n;

export function encodeShardTotals(totals: readonly ShardTotals[]): Buffer {
  const writer = new ProtobufWriter(1_024);
  for (const each of totals) {
    writer.message(1, () => {
      const sums = Buffer.alloc(24);
      sums.writeBigUInt64LE(each.bytes, 0);
      sums.writeBigUInt64LE(BigInt.asUintN(64, each.latencySumNs), 8);
      sums.writeBigUInt64LE(each.latencySumNs >> 64n, 16);
      writer.varint(1, each.shard);
      writer.varint(2, each.errors);
      writer.bytes(3, sums);
      writer.varint(4, each.latencyMinNs);
      writer.varint(5, each.latencyMaxNs);
      const buckets = each.buckets.filter((_, i) => i % 2 === 0);
      writer.packed(
        6,
        buckets.map((bucket, i) => bucket - (i === 0 ? 0 : buckets[i - 1]!)),
      );
      writer.packed(
        7,
        each.buckets.filter((_, i) => i % 2 === 1),
      );
    });
  }
  return writer.finish();
}

/** Throws a ProtobufError for what is no such message, and a RangeError for totals that contradict themselves. */
export function decodeShardTotals(bytes: Uint8Array): ShardTotals[] {
  const totals: ShardTotals[] = [];
  const reader = new ProtobufReader(bytes);
  while (reader.next()) {
    if (reader.field === 1) totals.push(decodeShard(reader.message()));
  }
  checkShardTotals(totals, MAX_AGGREGATED_SHARDS);
  return totals;
}

function decodeShard(reader: ProtobufReader): ShardTotals {
  let shard = 0;
  let errors = 0;
  let latencyMinNs = 0;
  let latencyMaxNs = 0;
  let sums: Uint8Array = new Uint8Array();
  const gaps: number[] = [];
  const counts: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) shard = reader.uint();
    else if (reader.field === 2) errors = reader.uint();
    else if (reader.field === 3) sums = reader.bytes();
    else if (reader.field === 4) latencyMinNs = reader.uint();
    else if (reader.field === 5) latencyMaxNs = reader.uint();
    else if (reader.field === 6) reader.numbers(gaps);
    else if (reader.field === 7) reader.numbers(counts);
  }
  if (sums.length !== 24) throw new ProtobufError(`shard ${shard} has ${sums.length} bytes of sums, not 24`);
  if (gaps.length !== counts.length) {
    throw new ProtobufError(`shard ${shard} has ${gaps.length} buckets, but samples for ${counts.length}`);
  }
  const view = new DataView(sums.buffer, sums.byteOffset, sums.byteLength);
  const buckets = new Uint32Array(2 * gaps.length);
  let bucket = 0;
  let samples = 0;
  for (let i = 0; i < gaps.length; i++) {
    bucket += gaps[i]!;
    samples += counts[i]!;
    // What does not fit would be cut off by the Uint32Array, and could then look right.
    if (bucket >= LATENCY_BUCKETS || samples > MAX_SAMPLES) {
      throw new RangeError(`shard ${shard} has a bucket ${bucket}, and ${samples} samples up to it`);
    }
    buckets[2 * i] = bucket;
    buckets[2 * i + 1] = counts[i]!;
  }
  return {
    shard,
    samples,
    errors,
    bytes: view.getBigUint64(0, true),
    latencyMinNs,
    latencyMaxNs,
    latencySumNs: view.getBigUint64(8, true) + (view.getBigUint64(16, true) << 64n),
    buckets,
  };
}

/**
 * Throws a RangeError for totals that no samples have. Those that pass can be added up without any sum overflowing as long as their
 * samples stay within MAX_SAMPLES: the bounds of bytes and latencies are bounds by sample.
 */
export function checkShardTotals(totals: readonly ShardTotals[], shardCount: number): void {
  for (const each of totals) {
    const { shard, samples, errors, bytes, latencyMinNs: min, latencyMaxNs: max, latencySumNs: sum } = each;
    const refuse = (what: string) => {
      throw new RangeError(`totals of shard ${shard}: ${what}`);
    };
    if (!isIntegerWithin(shard, 0, shardCount - 1)) refuse(`there are ${shardCount} shards`);
    if (!isIntegerWithin(samples, 1, MAX_SAMPLES)) refuse(`${samples} samples`);
    if (!isIntegerWithin(errors, 0, samples)) refuse(`${errors} errors in ${samples} samples`);
    const count = BigInt(samples);
    if (bytes < 0n || bytes > count * MAX_SAMPLE_BYTES) refuse(`${bytes} bytes in ${samples} samples`);
    if (!isIntegerWithin(min, 0, MAX_LATENCY_NS)) refuse(`a least latency of ${min} ns`);
    if (!isIntegerWithin(max, min, MAX_LATENCY_NS)) refuse(`a largest latency of ${max} ns, and a least of ${min} ns`);
    if (sum < count * BigInt(min) || sum > count * BigInt(max)) {
      refuse(`${sum} ns in ${samples} samples of ${min} to ${max} ns`);
    }
    checkBuckets(each, refuse);
  }
}

function checkBuckets({ buckets, samples, latencyMinNs, latencyMaxNs }: ShardTotals, refuse: (what: string) => void) {
  let sum = 0;
  for (let i = 0; i < buckets.length; i += 2) {
    if (i > 0 && buckets[i]! <= buckets[i - 2]!) refuse(`bucket ${buckets[i]} comes after bucket ${buckets[i - 2]}`);
    if (!(buckets[i + 1]! > 0)) refuse(`bucket ${buckets[i]} is listed, but empty`);
    sum += buckets[i + 1]!;
  }
  if (sum !== samples) refuse(`${samples} samples, but ${sum} in the buckets`);
  if (buckets[0] !== bucketOf(latencyMinNs) || buckets.at(-2) !== bucketOf(latencyMaxNs)) {
    refuse(`the buckets do not reach from ${latencyMinNs} to ${latencyMaxNs} ns`);
  }
}

function isIntegerWithin(value: number, low: number, high: number): boolean {
  return Number.isInteger(value) && value >= low && value <= high;
}
