/**
 * The fewest slot moves that bring every shard down to its aim. Greedy: the hottest shard first; it gives to the shard that the score kernel
 * finds best, which of shards is the one with the most room in proportion; of its slots the lightest that alone is enough, else the heaviest that the
 * other can take without getting above its own aim. So no move makes another shard the next hot one, and a slot moves at most once.
 *
 * A shard that one slot alone keeps hot is left alone, as emptying it of all others would move a thousand slots for a few percent; and without another
 * hot one, nothing moves at all.
 */
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import type { RebalanceProposal } from './decision.ts';
import type { SignalView } from './load-view.ts';

export interface PlannedShard {
  readonly shard: number;
  /** Bytes/s; what the plan leaves it with afterwards. */
  load: number;
  /** Bytes/s that it is to stay below. */
  readonly limit: number;
  /** Bytes/s that it is brought down to, or filled up to: below the limit, as measured loads scatter. */
  readonly aim: number;
  /** Bytes/s from which on it is hot. */
  readonly hotFrom: number;
  /** With a slot that alone has more bytes/s it is left alone. */
  readonly keptFrom: number;
}

export interface SlotPlanOptions {
  readonly ring: SignalRing;
  readonly view: SignalView;
  /** Slots that moved a short while ago, and stay where they are. */
  readonly held: ReadonlySet<number>;
  readonly maxMoves: number;
  /** What to say of a shard that stays above its limit because of `maxMoves`. */
  readonly whyNoMore: string;
  readonly score: ScoreKernel;
}

export type SlotPlan = Pick<RebalanceProposal, 'moves' | 'unmovable'>;

interface Slot {
  readonly slot: number;
  readonly load: number;
}

/** Changes the shards' loads to what they would be after the moves. */
export function planSlotMoves(shards: readonly PlannedShard[], options: SlotPlanOptions): SlotPlan {
  const { maxMoves, score } = options;
  const moved: { from: number; to: number; slot: Slot }[] = [];
  const unmovable: RebalanceProposal['unmovable'] = [];
  const filled = ({ load, aim }: PlannedShard) => load / aim;
  const donors = shards.filter(({ load, aim }) => load > aim).sort((a, b) => filled(b) - filled(a));
  const slotsOf = slotsByOwner(options, new Set(donors.map(({ shard }) => shard)));
  const backend = (of: PlannedShard) => ({ load: filled(of), responseMs: 0, health: 'healthy' as const });
  const keptHot = ({ shard, keptFrom }: PlannedShard) => (slotsOf.get(shard)!.heaviest?.load ?? 0) > keptFrom;
  const worthwhile = donors.some((donor) => donor.load > donor.hotFrom && !keptHot(donor));
  score.setBackends(shards.map((shard) => ({ ...backend(shard), location: null })));
  const loadChanged = (index: number) => {
    const { load, responseMs, health } = backend(shards[index]!);
    score.update(index, load, responseMs, health);
  };
  for (const donor of donors) {
    const donorIndex = shards.indexOf(donor);
    // Lightest first.
    const { movable: slots, heaviest } = slotsOf.get(donor.shard)!;
    const gives = worthwhile && !keptHot(donor);
    while (gives && donor.load > donor.aim && moved.length < maxMoves) {
      const receiverIndex = score.pick();
      const receiver = shards[receiverIndex]!;
      const room = receiver.aim - receiver.load;
      // The lightest that is enough on its own, if it fits; else the heaviest that fits.
      let pick = firstAtLeast(slots, donor.load - donor.aim);
      if (pick === slots.length || slots[pick]!.load > room) pick = countAtMost(slots, room) - 1;
      if (receiver === donor || pick < 0) break;
      const [slot] = slots.splice(pick, 1) as [Slot];
      moved.push({ from: donor.shard, to: receiver.shard, slot });
      donor.load -= slot.load;
      receiver.load += slot.load;
      loadChanged(donorIndex);
      loadChanged(receiverIndex);
    }
    if (donor.load <= donor.limit) continue;
    unmovable.push({
      shard: donor.shard,
      slot: heaviest?.slot ?? null,
      slotBytesPerSecond: heaviest?.load ?? 0,
      text: whyUnmovable(donor, heaviest, gives && moved.length >= maxMoves ? options.whyNoMore : null, options.held),
    });
  }
  return { moves: grouped(moved), unmovable };
}

function whyUnmovable(
  { shard, load, limit }: PlannedShard,
  heaviest: Slot | undefined,
  outOfMoves: string | null,
  held: ReadonlySet<number>,
): string {
  const stays = `shard ${shard} stays at ${Math.round(load)} B/s, above the target of ${Math.round(limit)} B/s`;
  if (outOfMoves) return `${stays}: ${outOfMoves}`;
  if (!heaviest) return `${stays}: none of its slots has measured load; an override may hold it`;
  if (held.has(heaviest.slot)) {
    return `${stays}: its slot ${heaviest.slot} came a short while ago and is left alone (control.rebalance.holdMs)`;
  }
  return `${stays}: its slot ${heaviest.slot} alone has ${Math.round(heaviest.load)} B/s, more than any other shard can take; a hot key in it needs a shard of its own`;
}

interface OwnedSlots {
  /** Lightest first. */
  readonly movable: Slot[];
  /** Of all its slots. */
  heaviest: Slot | undefined;
}

/** Bytes/s of a slot. Those that no reporter lists share the rest evenly. */
export function slotLoadOf(ring: SignalRing, view: SignalView): (slot: number) => number {
  const listed = view.slotBytesPerSecond;
  const share = view.restBytesPerSecond / Math.max(ring.slots.length - listed.size, 1);
  return (slot) => listed.get(slot) ?? share;
}

/** Slots with load of the given shards. */
function slotsByOwner(
  { ring, view, held }: SlotPlanOptions,
  shards: ReadonlySet<number>,
): ReadonlyMap<number, OwnedSlots> {
  const byOwner = new Map<number, OwnedSlots>(
    [...shards].map((shard) => [shard, { movable: [], heaviest: undefined }]),
  );
  const slotLoad = slotLoadOf(ring, view);
  ring.slots.forEach((shard, slot) => {
    const load = slotLoad(slot);
    const owned = load > 0 ? byOwner.get(shard) : undefined;
    if (!owned) return;
    if (load > (owned.heaviest?.load ?? 0)) owned.heaviest = { slot, load };
    if (!held.has(slot)) owned.movable.push({ slot, load });
  });
  for (const { movable } of byOwner.values()) movable.sort((a, b) => a.load - b.load || a.slot - b.slot);
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
