/** What both twins refuse, before anything is added. */
import { MAX_AGGREGATED_SHARDS, MAX_BATCH, MAX_HITTER_TOTAL, MAX_HITTERS, type SlotTotals } from './kernel.ts';

export function checkShardCount(shardCount: number): void {
  if (!(Number.isInteger(shardCount) && shardCount >= 1 && shardCount <= MAX_AGGREGATED_SHARDS)) {
    throw new RangeError(`aggregates are of 1 to ${MAX_AGGREGATED_SHARDS} shards, not of ${shardCount}`);
  }
}

export function checkHitterCapacity(capacity: number): void {
  if (!(Number.isInteger(capacity) && capacity >= 1 && capacity <= MAX_HITTERS)) {
    throw new RangeError(`there may be 1 to ${MAX_HITTERS} heavy hitters, not ${capacity}`);
  }
}

export function checkHitterTotal(total: bigint): void {
  if (total >= MAX_HITTER_TOTAL) throw new RangeError(`heavy hitters with a total weight of ${total}: reset first`);
}

/** The two columns of a batch. */
export function checkBatchPairs(length: number, otherLength: number): void {
  if (length !== otherLength) throw new RangeError(`columns of ${length} and ${otherLength}`);
  if (length > MAX_BATCH) throw new RangeError(`${length} in one batch, but there may be ${MAX_BATCH}`);
}

export function checkSlotTotals(slotBits: number, before: bigint, { slots, bytes }: SlotTotals): void {
  if (slots.length !== bytes.length) throw new RangeError(`${slots.length} slots, but bytes of ${bytes.length}`);
  const beyond = slots.find((slot) => slot >= 2 ** slotBits);
  if (beyond !== undefined) throw slotBeyond(slotBits, `slot ${beyond}`);
  if (bytes.reduce((sum, each) => sum + each, before) >= 2n ** 64n) throw slotOverflow();
}

export function slotBeyond(slotBits: number, slot: string): RangeError {
  return new RangeError(`${slot}, but there are 2^${slotBits} slots`);
}

export function slotOverflow(): RangeError {
  return new RangeError('slots with 2^64 bytes or more: take them out first');
}
