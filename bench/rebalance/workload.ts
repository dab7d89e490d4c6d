/**
 * Keys with Zipf popularity, whose traffic is drawn item by item: a second's counts scatter as real ones do. Moving hot spots: now and then
 * the most popular keys go out of fashion together.
 */
import { createSeededRandom, type SeededRandom } from '../../src/loadgen/seeded-random.ts';

export interface WorkloadOptions {
  readonly seed: number;
  readonly keys: number;
  /** Popularity of the r-th key is r^-exponent. 0: all alike. */
  readonly exponent: number;
  /** The most popular key gets at most this share of the items: ranks begin where it does. 1: at rank 1. */
  readonly largestShare: number;
  readonly itemsPerSecond: number;
}

export interface Workload {
  /** Hash of each key. */
  readonly hashes: BigUint64Array;
  /** Items of each key in one second, `times` those of others. The same array at each call. */
  second(times?: number): Uint32Array;
  /** The `count` most popular keys change places with unpopular ones. */
  moveHotSpot(count: number): void;
  readonly largestShare: number;
  /** Keys with a greater share of the items. */
  keysAbove(share: number): readonly number[];
}

export function createWorkload({ seed, keys, exponent, largestShare, itemsPerSecond }: WorkloadOptions): Workload {
  const random = createSeededRandom(seed);
  const hashes = new BigUint64Array(Uint32Array.from({ length: 2 * keys }, () => random.uint32()).buffer);
  const popularity = zipf(keys, exponent, largestShare);
  const draw = aliasTable(popularity, random);
  /** Which key has the popularity of a rank. */
  const keyOf = Uint32Array.from({ length: keys }, (_, rank) => rank);
  const counts = new Uint32Array(keys);
  return {
    hashes,
    second(times = 1) {
      counts.fill(0);
      for (let i = 0; i < times * itemsPerSecond; i++) counts[keyOf[draw()]!]!++;
      return counts;
    },
    moveHotSpot(count) {
      for (let rank = 0; rank < count; rank++) {
        const other = random.integer(count, keys - 1);
        const key = keyOf[rank]!;
        keyOf[rank] = keyOf[other]!;
        keyOf[other] = key;
      }
    },
    largestShare: popularity[0]!,
    keysAbove: (share) => [
      ...keyOf.subarray(
        0,
        popularity.findIndex((of) => of <= share),
      ),
    ],
  };
}

/** Shares, the largest first. */
function zipf(keys: number, exponent: number, largestShare: number): Float64Array {
  const sharesFrom = (firstRank: number) => {
    const shares = Float64Array.from({ length: keys }, (_, i) => (firstRank + i) ** -exponent);
    const sum = shares.reduce((total, share) => total + share, 0);
    return shares.map((share) => share / sum);
  };
  let firstRank = 1;
  let shares = sharesFrom(firstRank);
  while (shares[0]! > largestShare) shares = sharesFrom(++firstRank);
  return shares;
}

/** Draws a rank in constant time (Walker's alias method, in Vose's form). */
function aliasTable(shares: Float64Array, random: SeededRandom): () => number {
  const count = shares.length;
  const scaled = shares.map((share) => share * count);
  const alias = new Uint32Array(count);
  const small: number[] = [];
  const large: number[] = [];
  scaled.forEach((share, rank) => {
    (share < 1 ? small : large).push(rank);
  });
  while (small.length > 0 && large.length > 0) {
    const less = small.pop()!;
    const more = large.pop()!;
    alias[less] = more;
    scaled[more]! -= 1 - scaled[less]!;
    (scaled[more]! < 1 ? small : large).push(more);
  }
  // What rounding left over.
  for (const rank of [...small, ...large]) scaled[rank] = 1;
  return () => {
    const rank = random.integer(0, count - 1);
    return random.unit() < scaled[rank]! ? rank : alias[rank]!;
  };
}
