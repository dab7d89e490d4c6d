/**
 * Places for heavy slots that fit nowhere, as the light ones of all shards have filled them evenly: the shard with the most room gives light ones of
 * its own away until it can take the heavy one.
 */
import { type FilledShard, type LoadedSlot, lightestEnough, type SlotGiving } from './slot-giving.ts';

/** A shard above its aim, and what it may give, lightest first. */
export interface Giver {
  readonly donor: FilledShard & { /** Bytes/s that it is to stay below. */ readonly limit: number };
  readonly slots: LoadedSlot[];
}

export interface SlotRoomOptions {
  readonly shards: readonly FilledShard[];
  readonly maxMoves: number;
  /** What a shard may give, lightest first. */
  slotsOf(shard: number): LoadedSlot[];
}

/** For givers that are still above their limit. A shard makes room once; where there is too little, or it takes too many moves, all stays. */
export function makeRoomForHeavy(giving: SlotGiving, givers: readonly Giver[], options: SlotRoomOptions): void {
  const donors = new Set<FilledShard>(givers.map(({ donor }) => donor));
  for (const { donor, slots } of givers) {
    while (donor.load > donor.limit) {
      const taker = giving.best();
      if (!taker || donors.has(taker)) return;
      const pick = lightestEnough(slots, donor.load - donor.aim);
      const heavy = slots[pick];
      if (!heavy || !makeRoom(giving, taker, donor, heavy.load, options)) break;
      giving.giveTo(taker, donor, slots, pick);
    }
  }
}

/** False: it has not got so much, and nothing was moved; or too little in the end, as what it has is too coarse. */
function makeRoom(
  giving: SlotGiving,
  taker: FilledShard,
  donor: FilledShard,
  load: number,
  { shards, maxMoves, slotsOf }: SlotRoomOptions,
): boolean {
  const excess = () => taker.load + load - taker.aim;
  const others = shards.filter((shard) => shard !== taker && shard !== donor);
  const room = others.reduce((sum, { load: has, aim }) => sum + Math.max(0, aim - has), 0);
  const own = slotsOf(taker.shard);
  // The heavy one is a move, too.
  if (room < excess() || movesToGive(own, excess()) >= maxMoves - giving.moves.length) return false;
  giving.passOverBest();
  while (excess() > 0 && giving.moves.length < maxMoves - 1 && giving.give(taker, own, excess()));
  return excess() <= 0;
}

/** Of the heaviest first, which is the fewest; Infinity: all together are not enough. */
function movesToGive(slots: readonly LoadedSlot[], load: number): number {
  let left = load;
  let moves = 0;
  for (let i = slots.length - 1; left > 0; i--, moves++) {
    if (i < 0) return Number.POSITIVE_INFINITY;
    left -= slots[i]!.load;
  }
  return moves;
}
