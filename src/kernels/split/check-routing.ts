/** Whether a routing can be given to a kernel. */
import { BY_TRACE_ID, CALL_BOUNDS, MAX_OVERRIDES, type Override, type Routing } from './kernel.ts';

/** RangeError: the kernels do not check again, and an owner beyond the shards would write outside the tables. */
export function checkRouting({ slots, slotBits, shardCount, overrides }: Routing): void {
  if (slots.length !== 2 ** slotBits) throw new RangeError(`${slots.length} slots, but 2^${slotBits} were announced`);
  if (!(shardCount >= 1 && shardCount <= CALL_BOUNDS.shards)) {
    throw new RangeError(`${shardCount} shards, but there may be 1 to ${CALL_BOUNDS.shards}`);
  }
  if (overrides.size > MAX_OVERRIDES) {
    throw new RangeError(`${overrides.size} overrides, but there may be ${MAX_OVERRIDES}`);
  }
  let beyond: Override | undefined = [...overrides.values()].find((to) => to !== BY_TRACE_ID && !(to < shardCount));
  for (let slot = 0; slot < slots.length; slot++) if (slots[slot]! >= shardCount) beyond = slots[slot]!;
  if (beyond !== undefined) throw new RangeError(`a slot or override belongs to shard ${beyond} of ${shardCount}`);
}
