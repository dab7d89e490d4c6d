/**
 * Which slots would go where, when a shard is hot: the fewest slots that bring the shards above `targetRatio` times the mean back below it.
 *
 * | rule | when | then |
 * |---|---|---|
 * | hot-shard | a shard's load > hotRatio * mean of the signal's shards | move_slots; cannot_balance when not one slot can move |
 *
 * Greedy: the hottest shard first; of its slots the lightest that alone is enough, else the heaviest that the least loaded shard can take
 * without getting above the target itself. So no move makes another shard the next hot one, and a slot moves at most once.
 */
import type { Config } from '../config.ts';
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { Signal } from '../signals.ts';
import type { RebalanceProposal } from './decision.ts';
import type { SignalView } from './load-view.ts';

export type RebalancePolicy = Config['control']['rebalance'];

/** null: no shard is hot, or the signal has too little load to judge. */
export function rebalanceWish(
  signal: Signal,
  ring: SignalRing,
  view: SignalView,
  policy: RebalancePolicy,
  windowMs: number,
): RebalanceProposal | null {
  const loads = new Map(ring.shards.map(({ id }) => [id, view.shardBytesPerSecond.get(id) ?? 0]));
  const total = [...loads.values()].reduce((sum, load) => sum + load, 0);
  if (loads.size < 2 || total === 0 || total < policy.minBytesPerSecond) return null;
  const mean = total / loads.size;
  const hot = hottestFirst(loads).filter(([, load]) => load > policy.hotRatio * mean);
  if (hot.length === 0) return null;

  const from = hot[0]![1] / mean;
  const reasons = hot.map(([shard, load]) => ({
    rule: 'hot-shard',
    observed: load / mean,
    threshold: policy.hotRatio,
    window: windowMs,
    text: `shard ${shard} has ${Math.round(load)} B/s, ${ratio(load / mean)} times the mean of ${loads.size} shards`,
  }));
  const { moves, unmovable } = plan(ring, view, loads, policy.targetRatio * mean, policy.maxMoves);
  return {
    kind: 'rebalance',
    subject: signal,
    action: moves.length > 0 ? 'move_slots' : 'cannot_balance',
    priority: 'normal',
    from,
    to: Math.max(...loads.values()) / mean,
    hotShards: hot.map(([shard]) => shard),
    slotsMoved: moves.reduce((count, move) => count + move.slots.length, 0),
    moves,
    unmovable,
    reasons,
  };
}

/** The hot shards, under which slots' owners they are (`epoch` is the ring epoch). */
export function rebalanceFingerprint(wish: RebalanceProposal, epoch: number): string {
  return `epoch ${epoch} hot ${[...wish.hotShards].sort((a, b) => a - b).join(',')}`;
}

/** Whether there is a hot shard that the last decision, whose condition still holds, did not name. */
export function rebalanceIsNews(wish: RebalanceProposal, epoch: number, lastFingerprint: string): boolean {
  const last = /^epoch (\d+) hot ([\d,]+)$/.exec(lastFingerprint);
  if (!last || Number(last[1]) !== epoch) return true;
  const named = new Set(last[2]!.split(',').map(Number));
  return wish.hotShards.some((shard) => !named.has(shard));
}

interface Slot {
  readonly slot: number;
  readonly load: number;
}

/** Changes `loads` to what they would be after the moves. `limit` and loads in bytes/s. */
function plan(
  ring: SignalRing,
  view: SignalView,
  loads: Map<number, number>,
  limit: number,
  maxMoves: number,
): Pick<RebalanceProposal, 'moves' | 'unmovable'> {
  const moved: { from: number; to: number; slot: Slot }[] = [];
  const unmovable: RebalanceProposal['unmovable'] = [];
  const donors = hottestFirst(loads).filter(([, load]) => load > limit);
  const slotsOf = slotsByOwner(ring, view, new Set(donors.map(([shard]) => shard)));
  for (const [donor] of donors) {
    // Lightest first.
    const slots = slotsOf.get(donor)!;
    const heaviest = slots.at(-1);
    while (loads.get(donor)! > limit && moved.length < maxMoves) {
      const [receiver, receiverLoad] = leastLoaded(loads);
      const excess = loads.get(donor)! - limit;
      const room = limit - receiverLoad;
      // The lightest that is enough on its own, if it fits; else the heaviest that fits.
      let pick = firstAtLeast(slots, excess);
      if (pick === slots.length || slots[pick]!.load > room) pick = countAtMost(slots, room) - 1;
      if (receiver === donor || pick < 0) break;
      const [slot] = slots.splice(pick, 1) as [Slot];
      moved.push({ from: donor, to: receiver, slot });
      loads.set(donor, loads.get(donor)! - slot.load);
      loads.set(receiver, receiverLoad + slot.load);
    }
    const left = loads.get(donor)!;
    if (left <= limit) continue;
    unmovable.push({
      shard: donor,
      slot: heaviest?.slot ?? null,
      slotBytesPerSecond: heaviest?.load ?? 0,
      text: whyUnmovable(donor, left, limit, heaviest, moved.length >= maxMoves),
    });
  }
  return { moves: grouped(moved), unmovable };
}

function whyUnmovable(
  shard: number,
  load: number,
  limit: number,
  heaviest: Slot | undefined,
  outOfMoves: boolean,
): string {
  const stays = `shard ${shard} stays at ${Math.round(load)} B/s, above the target of ${Math.round(limit)} B/s`;
  if (outOfMoves) return `${stays}: the moves allowed in one decision are used up (control.rebalance.maxMoves)`;
  if (!heaviest) return `${stays}: none of its slots has measured load; an override may hold it`;
  return `${stays}: its slot ${heaviest.slot} alone has ${Math.round(heaviest.load)} B/s, more than any other shard can take; a hot key in it needs a shard of its own`;
}

/** Slots with load of the given shards, each list lightest first. Slots that no reporter lists share the rest evenly. */
function slotsByOwner(ring: SignalRing, view: SignalView, shards: ReadonlySet<number>): Map<number, Slot[]> {
  const byOwner = new Map<number, Slot[]>([...shards].map((shard) => [shard, []]));
  const listed = view.slotBytesPerSecond;
  const share = view.restBytesPerSecond / Math.max(ring.slots.length - listed.size, 1);
  ring.slots.forEach((owner, slot) => {
    const load = listed.get(slot) ?? share;
    if (load > 0) byOwner.get(owner)?.push({ slot, load });
  });
  for (const slots of byOwner.values()) slots.sort((a, b) => a.load - b.load || a.slot - b.slot);
  return byOwner;
}

/** Index of the first slot with at least this load. */
function firstAtLeast(slots: readonly Slot[], load: number): number {
  return firstWhere(slots, (slot) => slot.load >= load);
}

function countAtMost(slots: readonly Slot[], load: number): number {
  return firstWhere(slots, (slot) => slot.load > load);
}

/** By bisection: `holds` is false up to some slot and true from there. */
function firstWhere(slots: readonly Slot[], holds: (slot: Slot) => boolean): number {
  let low = 0;
  let high = slots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(slots[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function hottestFirst(loads: ReadonlyMap<number, number>): [shard: number, load: number][] {
  return [...loads].sort(([a, x], [b, y]) => y - x || a - b);
}

function leastLoaded(loads: ReadonlyMap<number, number>): [shard: number, load: number] {
  let least: [number, number] = [-1, Number.POSITIVE_INFINITY];
  for (const [shard, load] of loads) if (load < least[1]) least = [shard, load];
  return least;
}

function grouped(moved: readonly { from: number; to: number; slot: Slot }[]): RebalanceProposal['moves'] {
  const groups = new Map<string, RebalanceProposal['moves'][number]>();
  for (const { from, to, slot } of moved) {
    const group = groups.get(`${from}>${to}`) ?? { from, to, slots: [], bytesPerSecond: 0 };
    group.slots.push(slot.slot);
    group.bytesPerSecond += slot.load;
    groups.set(`${from}>${to}`, group);
  }
  const sorted = [...groups.values()].sort((a, b) => a.from - b.from || a.to - b.to);
  for (const group of sorted) group.slots.sort((a, b) => a - b);
  return sorted;
}

function ratio(value: number): string {
  return value.toFixed(2);
}
