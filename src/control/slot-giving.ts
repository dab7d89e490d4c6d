/**
 * Slots that go from shards to others, one by one: each to the shard that the score kernel finds best, which of shards is the one with the most room
 * in proportion. Of a shard's slots the lightest goes that alone is enough, else the heaviest that the other can take without getting above its aim. So
 * few slots move, and none makes another shard the next hot one.
 */
import type { ScoreKernel } from '../kernels/score/kernel.ts';

export interface FilledShard {
  readonly shard: number;
  /** Bytes/s; with what it has been given, and without what it has given away. */
  load: number;
  /** Bytes/s that it is filled up to. */
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
  /** Bytes/s of the slot that `give` would take; 0: none. Becomes less as the shards fill up. */
  wouldGive(from: FilledShard, slots: readonly LoadedSlot[], enough: number): number;
  /**
   * Takes one out of `slots`, lightest first, for the best shard. `enough`: bytes/s that `from` is to be rid of; Infinity: of all. False: the best one
   * is `from` itself, or can take none of them.
   */
  give(from: FilledShard, slots: LoadedSlot[], enough: number): boolean;
  /** Nothing goes to the best shard any more. False: there was none. */
  passOverBest(): boolean;
}

/** To any of `shards`. Changes their loads. */
export function openSlotGiving(shards: readonly FilledShard[], score: ScoreKernel): SlotGiving {
  const moves: GivenSlot[] = [];
  const indexOf = new Map(shards.map((of, index) => [of, index]));
  const backend = ({ load, aim }: FilledShard) => ({ load: load / aim, responseMs: 0, health: 'healthy' as const });
  score.setBackends(shards.map((of) => ({ ...backend(of), location: null })));
  const loadChanged = (of: FilledShard) => {
    const index = indexOf.get(of);
    if (index === undefined) return;
    const { load, responseMs, health } = backend(of);
    score.update(index, load, responseMs, health);
  };
  const pickFrom = (best: FilledShard, from: FilledShard, slots: readonly LoadedSlot[], enough: number) => {
    if (best === from) return -1;
    const room = best.aim - best.load;
    const pick = Math.min(
      firstWhere(slots, ({ load }) => load >= enough),
      slots.length - 1,
    );
    return pick >= 0 && slots[pick]!.load > room ? firstWhere(slots, ({ load }) => load > room) - 1 : pick;
  };
  return {
    moves,
    wouldGive(from, slots, enough) {
      const best = shards[score.pick()];
      return (best && slots[pickFrom(best, from, slots, enough)]?.load) ?? 0;
    },
    give(from, slots, enough) {
      const best = shards[score.pick()];
      const pick = best ? pickFrom(best, from, slots, enough) : -1;
      if (!best || pick < 0) return false;
      const [slot] = slots.splice(pick, 1) as [LoadedSlot];
      moves.push({ from: from.shard, to: best.shard, slot });
      from.load -= slot.load;
      best.load += slot.load;
      loadChanged(from);
      loadChanged(best);
      return true;
    },
    passOverBest() {
      const best = score.pick();
      if (!shards[best]) return false;
      score.update(best, 1, 0, 'unhealthy');
      return true;
    },
  };
}

/** Lightest first; of equal ones the lowest. */
export const byLoad = (a: LoadedSlot, b: LoadedSlot) => a.load - b.load || a.slot - b.slot;

/** Index by bisection: `holds` is false up to some slot and true from there. */
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

/** By the losing, then by the gaining shard; slots ascending. */
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
