/**
 * Moves slots from shards to others, one by one, each to the shard that the score kernel finds best: the one with the most room relative to its aim. Of the
 * giver's slots, the lightest one goes that is enough by itself; where none is, or it does not fit, the heaviest that the taker can take without getting above
 * its aim. So few slots move, and none of them makes another shard hot.
 */
import type { ScoreKernel } from '../kernels/score/kernel.ts';

export interface FilledShard {
  readonly shard: number;
  /** Bytes/s, including slots that it was given, without those that it gave away. */
  load: number;
  /** Bytes/s up to which it takes slots. */
  readonly aim: number;
}

export interface LoadedSlot {
  readonly slot: number;
  /** Bytes/s. */
  readonly load: number;
}

export interface GivenSlot {
  readonly from: number;
  readonly to: number;
  readonly slot: LoadedSlot;
}

export interface SlotGiving {
  readonly moves: readonly GivenSlot[];
  /** Bytes/s of the slot that `give` would move now; 0: none. Only goes down, as the shards fill up. */
  wouldGive(from: FilledShard, slots: readonly LoadedSlot[], enough: number): number;
  /**
   * Moves one of `slots` (sorted, lightest first) to the best shard, and takes it out of `slots`. `enough`: bytes/s that `from` should lose; Infinity: all of
   * its load. false: the best shard is `from` itself, or can take none of the slots.
   */
  give(from: FilledShard, slots: LoadedSlot[], enough: number): boolean;
  /** The shard that gains the next one. */
  best(): FilledShard | undefined;
  /** Takes that at `pick` out of `slots`, for a shard that has the room. */
  giveTo(to: FilledShard, from: FilledShard, slots: LoadedSlot[], pick: number): void;
  /** From now on nothing goes to the shard that is the best now. false: there was none. */
  passOverBest(): boolean;
}

/** Slots go to any of `shards`, whose loads are updated. */
export function openSlotGiving(shards: readonly FilledShard[], score: ScoreKernel): SlotGiving {
  const moves: GivenSlot[] = [];
  const passedOver = new Set<number>();
  const indexOf = new Map(shards.map((of, index) => [of, index]));
  const backend = ({ load, aim }: FilledShard) => ({ load: load / aim, responseMs: 0, health: 'healthy' as const });
  score.setBackends(shards.map((of) => ({ ...backend(of), location: null })));
  const loadChanged = (of: FilledShard) => {
    const index = indexOf.get(of);
    if (index === undefined || passedOver.has(index)) return;
    const { load, responseMs, health } = backend(of);
    score.update(index, load, responseMs, health);
  };
  const pickFrom = (best: FilledShard, from: FilledShard, slots: readonly LoadedSlot[], enough: number) => {
    if (best === from) return -1;
    const room = best.aim - best.load;
    const pick = lightestEnough(slots, enough);
    return pick >= 0 && slots[pick]!.load > room ? firstWhere(slots, ({ load }) => load > room) - 1 : pick;
  };
  const giveTo = (to: FilledShard, from: FilledShard, slots: LoadedSlot[], pick: number) => {
    const [slot] = slots.splice(pick, 1) as [LoadedSlot];
    moves.push({ from: from.shard, to: to.shard, slot });
    from.load -= slot.load;
    to.load += slot.load;
    loadChanged(from);
    loadChanged(to);
  };
  return {
    moves,
    best: () => shards[score.pick()],
    giveTo,
    wouldGive(from, slots, enough) {
      const best = shards[score.pick()];
      return (best && slots[pickFrom(best, from, slots, enough)]?.load) ?? 0;
    },
    give(from, slots, enough) {
      const best = shards[score.pick()];
      const pick = best ? pickFrom(best, from, slots, enough) : -1;
      if (!best || pick < 0) return false;
      giveTo(best, from, slots, pick);
      return true;
    },
    passOverBest() {
      const best = score.pick();
      if (!shards[best]) return false;
      passedOver.add(best);
      score.update(best, 1, 0, 'unhealthy');
      return true;
    },
  };
}

/** Lightest first; of equal ones the lowest. */
export const byLoad = (a: LoadedSlot, b: LoadedSlot) => a.load - b.load || a.slot - b.slot;

/** Index of the lightest that alone is enough, else of the heaviest; -1: there is none. */
export function lightestEnough(slots: readonly LoadedSlot[], enough: number): number {
  return Math.min(
    firstWhere(slots, ({ load }) => load >= enough),
    slots.length - 1,
  );
}

/** Index of the first slot that `holds` is true of, by bisection: it must be true of all after that one. */
function firstWhere(slots: readonly LoadedSlot[], holds: (slot: LoadedSlot) => boolean): number {
  let low = 0;
  let high = slots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(slots[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

export interface GroupedMoves {
  from: number;
  to: number;
  slots: number[];
  bytesPerSecond: number;
}

/** Moves between the same two shards as one, ordered by the losing, then by the gaining shard; their slots ascending. */
export function grouped(moves: readonly GivenSlot[]): GroupedMoves[] {
  const groups = new Map<string, GroupedMoves>();
  for (const { from, to, slot } of moves) {
    const key = `${from}>${to}`;
    const group = groups.get(key) ?? { from, to, slots: [], bytesPerSecond: 0 };
    groups.set(key, group);
    group.slots.push(slot.slot);
    group.bytesPerSecond += slot.load;
  }
  const sorted = [...groups.values()].sort((a, b) => a.from - b.from || a.to - b.to);
  for (const group of sorted) group.slots.sort((a, b) => a - b);
  return sorted;
}
