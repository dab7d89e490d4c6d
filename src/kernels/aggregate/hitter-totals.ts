/**
 * HitterTotals: their merge, and as bytes for load reports:
 *
 * HeavyHitters  1 capacity VARINT, 2 total LEN: one packed fixed64, 3 keys, 4 weights, 5 errors LEN: packed fixed64, as many each
 *
 * The merge (after Agarwal and others, "Mergeable Summaries", 2012) keeps the guarantees. Let m be the least weight of a summary, 0 if it
 * has counters left; a key without counter weighs at most m. So a key that only one summary has may have weighed m in the other: m is added
 * to its weight and error. Of these sums the k largest are kept, and N is the sum of both totals.
 *
 * Claim: with N_i, m_i of the two, sum of weights_i <= N_i and m_i <= N_i / k; the same holds for the result, and what is left out weighs at most
 * N / k. Every merged weight is m_1 + m_2 + r with r >= 0 what each summary has above its own m, and the r add up to at most
 * N - k (m_1 + m_2). So the k kept weights add up to at most N, hence the least of them, and all that are left out below it, are at most N / k.
 * A weight is too large by at most its error, and that is the sum of two, each an error or m of one summary: at most N_1 / k + N_2 / k.
 */
import { ProtobufError, ProtobufReader } from '../../protobuf/reader.ts';
import { ProtobufWriter } from '../../protobuf/writer.ts';
import { type HeavyHitter, type HitterTotals, MAX_HITTER_TOTAL, MAX_HITTERS } from './kernel.ts';

/** Of the capacity of `into`; `from` has at least that one. Throws a RangeError otherwise. */
export function mergeHitterTotals(into: HitterTotals, from: HitterTotals): HitterTotals {
  checkHitterTotals(from);
  const { capacity } = into;
  if (from.capacity < capacity) {
    throw new RangeError(
      `heavy hitters of capacity ${from.capacity} merged into ${capacity}: their bound is too loose`,
    );
  }
  const total = into.total + from.total;
  if (total >= MAX_HITTER_TOTAL) throw new RangeError(`heavy hitters with a total weight of ${total}`);
  const missingHere = missingWeight(into);
  const missingThere = missingWeight(from);
  const there = new Map(from.hitters.map((hitter) => [hitter.key, hitter]));
  const merged: HeavyHitter[] = [];
  for (const { key, weight, error } of into.hitters) {
    const other = there.get(key) ?? { weight: missingThere, error: missingThere };
    there.delete(key);
    merged.push({ key, weight: weight + other.weight, error: error + other.error });
  }
  for (const { key, weight, error } of there.values()) {
    merged.push({ key, weight: weight + missingHere, error: error + missingHere });
  }
  return { capacity, total, hitters: merged.sort(byWeight).slice(0, capacity) };
}

/** The most that a key without counter can weigh. */
function missingWeight({ capacity, hitters }: HitterTotals): bigint {
  return hitters.length < capacity ? 0n : hitters.at(-1)!.weight;
}

/** The order of HitterTotals. */
export function byWeight(a: HeavyHitter, b: HeavyHitter): number {
  if (a.weight !== b.weight) return a.weight < b.weight ? 1 : -1;
  return a.key < b.key ? 1 : -1;
}

/** Throws a RangeError for totals that no stream has. */
function checkHitterTotals({ capacity, total, hitters }: HitterTotals): void {
  const refuse = (what: string) => {
    throw new RangeError(`totals of heavy hitters: ${what}`);
  };
  if (!(Number.isInteger(capacity) && capacity >= 1 && capacity <= MAX_HITTERS)) refuse(`a capacity of ${capacity}`);
  if (hitters.length > capacity) refuse(`${hitters.length} of them in a capacity of ${capacity}`);
  if (new Set(hitters.map(({ key }) => key)).size !== hitters.length) refuse('a key is listed twice');
  let sum = 0n;
  for (const [i, { key, weight, error }] of hitters.entries()) {
    if (i > 0 && byWeight(hitters[i - 1]!, hitters[i]!) > 0) refuse(`key ${key} comes after one with less weight`);
    if (key < 0n || key >= 2n ** 64n) refuse(`the key ${key}`);
    if (error < 0n || error >= weight || error * BigInt(capacity) > total) {
      refuse(`key ${key} with weight ${weight} and error ${error} in a total of ${total}`);
    }
    sum += weight;
  }
  // Only a full one has ever given a key up.
  if (hitters.length < capacity && (sum !== total || hitters.some(({ error }) => error > 0n))) {
    refuse(`weights of ${sum} in a total of ${total}, or errors, with counters left`);
  }
  if (sum > total || total >= MAX_HITTER_TOTAL) refuse(`weights of ${sum} in a total of ${total}`);
}

export function encodeHitterTotals({ capacity, total, hitters }: HitterTotals): Buffer {
  const writer = new ProtobufWriter(64 + 32 * hitters.length);
  const packed = (field: number, values: readonly bigint[]) => {
    const bytes = Buffer.alloc(8 * values.length);
    for (const [i, value] of values.entries()) bytes.writeBigUInt64LE(value, 8 * i);
    writer.bytes(field, bytes);
  };
  writer.varint(1, capacity);
  packed(2, [total]);
  packed(
    3,
    hitters.map(({ key }) => key),
  );
  packed(
    4,
    hitters.map(({ weight }) => weight),
  );
  packed(
    5,
    hitters.map(({ error }) => error),
  );
  return writer.finish();
}

/** Throws a ProtobufError for what is no such message, and a RangeError for totals that no stream has. */
export function decodeHitterTotals(bytes: Uint8Array): HitterTotals {
  let capacity = 0;
  let total: bigint[] = [];
  let keys: bigint[] = [];
  let weights: bigint[] = [];
  let errors: bigint[] = [];
  const reader = new ProtobufReader(bytes);
  while (reader.next()) {
    if (reader.field === 1) capacity = reader.uint();
    else if (reader.field === 2) total = unpacked(reader.bytes());
    else if (reader.field === 3) keys = unpacked(reader.bytes());
    else if (reader.field === 4) weights = unpacked(reader.bytes());
    else if (reader.field === 5) errors = unpacked(reader.bytes());
  }
  if (total.length !== 1) throw new ProtobufError(`heavy hitters with ${total.length} totals`);
  if (keys.length !== weights.length || keys.length !== errors.length) {
    throw new ProtobufError(`${keys.length} keys, ${weights.length} weights and ${errors.length} errors`);
  }
  const hitters = keys.map((key, i) => ({ key, weight: weights[i]!, error: errors[i]! }));
  const totals = { capacity, total: total[0]!, hitters };
  checkHitterTotals(totals);
  return totals;
}

function unpacked(bytes: Uint8Array): bigint[] {
  if (bytes.length % 8 !== 0) throw new ProtobufError(`${bytes.length} bytes are no whole number of fixed64`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 8 }, (_, i) => view.getBigUint64(8 * i, true));
}
