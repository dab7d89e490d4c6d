/**
 * The fewest slot moves that bring every shard down to its aim. Greedy: the hottest shard first gives (`slot-giving.ts`) until it is there. A slot
 * moves at most once.
 *
 * A shard that one slot alone keeps hot is left alone, as emptying it of all others would move a thousand slots for a few percent; and without another
 * hot one, nothing moves at all.
 */
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import type { RebalanceProposal } from './decision.ts';
import { byLoad, type FilledShard, grouped, type LoadedSlot, openSlotGiving } from './slot-giving.ts';
import type { SlotLoad } from './slot-loads.ts';

/** Its aim is below its limit, as measured loads scatter. */
export interface PlannedShard extends FilledShard {
  /** Bytes/s that it is to stay below. */
  readonly limit: number;
  /** Bytes/s from which on it is hot. */
  readonly hotFrom: number;
  /** With a slot that alone has more bytes/s it is left alone. */
  readonly keptFrom: number;
}

export interface SlotPlanOptions {
  readonly ring: SignalRing;
  readonly slotLoad: SlotLoad;
  /** Slots that moved a short while ago, and stay where they are. */
  readonly held: ReadonlySet<number>;
  readonly maxMoves: number;
  /** What to say of a shard that stays above its limit because of `maxMoves`. */
  readonly whyNoMore: string;
  readonly score: ScoreKernel;
}

export type SlotPlan = Pick<RebalanceProposal, 'moves' | 'unmovable'>;

/** Changes the shards' loads to what they would be after the moves. */
export function planSlotMoves(shards: readonly PlannedShard[], options: SlotPlanOptions): SlotPlan {
  const { maxMoves, score } = options;
  const unmovable: RebalanceProposal['unmovable'] = [];
  const donors = shards.filter(({ load, aim }) => load > aim).sort((a, b) => b.load / b.aim - a.load / a.aim);
  const slotsOf = slotsByOwner(options, new Set(donors.map(({ shard }) => shard)));
  const keptHot = ({ shard, keptFrom }: PlannedShard) => (slotsOf.get(shard)!.heaviest?.load ?? 0) > keptFrom;
  const worthwhile = donors.some((donor) => donor.load > donor.hotFrom && !keptHot(donor));
  const giving = openSlotGiving(shards, score);
  for (const donor of donors) {
    const { movable, heaviest } = slotsOf.get(donor.shard)!;
    const gives = worthwhile && !keptHot(donor);
    while (gives && donor.load > donor.aim && giving.moves.length < maxMoves)
      if (!giving.give(donor, movable, donor.load - donor.aim)) break;
    if (donor.load <= donor.limit) continue;
    unmovable.push({
      shard: donor.shard,
      slot: heaviest?.slot ?? null,
      slotBytesPerSecond: heaviest?.load ?? 0,
      text: whyUnmovable(
        donor,
        heaviest,
        gives && giving.moves.length >= maxMoves ? options.whyNoMore : null,
        options.held,
      ),
    });
  }
  return { moves: grouped(giving.moves), unmovable };
}

function whyUnmovable(
  { shard, load, limit }: PlannedShard,
  heaviest: LoadedSlot | undefined,
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
  readonly movable: LoadedSlot[];
  /** Of all its slots. */
  heaviest: LoadedSlot | undefined;
}

/** Slots with load of the given shards. */
function slotsByOwner(
  { ring, slotLoad, held }: SlotPlanOptions,
  shards: ReadonlySet<number>,
): ReadonlyMap<number, OwnedSlots> {
  const byOwner = new Map<number, OwnedSlots>(
    [...shards].map((shard) => [shard, { movable: [], heaviest: undefined }]),
  );
  ring.slots.forEach((shard, slot) => {
    const load = slotLoad(slot);
    const owned = load > 0 ? byOwner.get(shard) : undefined;
    if (!owned) return;
    if (load > (owned.heaviest?.load ?? 0)) owned.heaviest = { slot, load };
    if (!held.has(slot)) owned.movable.push({ slot, load });
  });
  for (const { movable } of byOwner.values()) movable.sort(byLoad);
  return byOwner;
}
