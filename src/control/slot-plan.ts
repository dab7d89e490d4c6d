/**
 * The fewest slot moves that bring every shard down to its aim. A greedy plan: shards give slots away (`slot-giving.ts`), the heaviest first, until they are
 * down to their aim. A slot moves at most once.
 *
 * A heavy slot that fits nowhere gets room made for it (`slot-room.ts`).
 *
 * A shard that stays hot because of one slot alone keeps its light slots: giving those away would move a thousand slots for a few percent. Where no other shard
 * is hot, nothing moves at all.
 */
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { ScoreKernel } from '../kernels/score/kernel.ts';
import type { RebalanceProposal } from './decision.ts';
import { rate } from './figures.ts';
import { byLoad, type FilledShard, grouped, type LoadedSlot, openSlotGiving, type SlotGiving } from './slot-giving.ts';
import type { SlotLoad } from './slot-loads.ts';
import { type Giver, makeRoomForHeavy } from './slot-room.ts';

/** The aim is below the limit, since measured loads scatter. */
export interface PlannedShard extends FilledShard {
  /** Bytes/s that the shard should stay below. */
  readonly limit: number;
  /** Bytes/s above which the shard is hot. */
  readonly hotFrom: number;
  /** Bytes/s of one slot above which that slot alone keeps the shard hot. */
  readonly keptFrom: number;
}

/** Of a shard's aim. A shard that one slot keeps hot gives away no slot that is lighter than that. */
const HEAVY_SHARE = 0.02;
/** Of a shard's aim. Such a shard gives slots away only if they bring at least this relief together. */
const WORTHWHILE_SHARE = 0.1;

export interface SlotPlanOptions {
  readonly ring: SignalRing;
  readonly slotLoad: SlotLoad;
  /** Slots that moved a short while ago, and so stay where they are. */
  readonly held: ReadonlySet<number>;
  readonly maxMoves: number;
  /** The text for a shard that stays above its limit because of `maxMoves`. */
  readonly whyNoMore: string;
  readonly score: ScoreKernel;
}

export type SlotPlan = Pick<RebalanceProposal, 'moves' | 'unmovable'>;

/** Updates the shards' loads to what they are after the moves. */
export function planSlotMoves(shards: readonly PlannedShard[], options: SlotPlanOptions): SlotPlan {
  const { maxMoves, score } = options;
  const donors = shards.filter(({ load, aim }) => load > aim).sort((a, b) => b.load / b.aim - a.load / a.aim);
  const slotsOf = slotsByOwner(options, new Set(donors.map(({ shard }) => shard)));
  const slotsToGive = donors.map((donor) => [donor, slotsToGiveOf(donor, slotsOf.get(donor.shard)!)] as const);
  const worthwhile = slotsToGive.some(([{ load, hotFrom }, slots]) => load > hotFrom && slots !== null);
  const givers = worthwhile ? slotsToGive.flatMap(([donor, slots]) => (slots ? [{ donor, slots }] : [])) : [];
  const giving = openSlotGiving(shards, score);
  giveHeaviestFirst(giving, givers, maxMoves);
  const slotsOfOne = (shard: number) => slotsByOwner(options, new Set([shard])).get(shard)!.movable;
  makeRoomForHeavy(giving, givers, { shards, maxMoves, slotsOf: slotsOfOne });
  const outOfMoves = new Set(giving.moves.length >= maxMoves ? givers.map(({ donor }) => donor) : []);
  const unmovable = donors
    .filter(({ load, limit }) => load > limit)
    .map((donor) => {
      const { heaviest } = slotsOf.get(donor.shard)!;
      return {
        shard: donor.shard,
        slot: heaviest?.slot ?? null,
        slotBytesPerSecond: heaviest?.load ?? 0,
        text: whyUnmovable(donor, heaviest, outOfMoves.has(donor) ? options.whyNoMore : null, options.held),
      };
    });
  return { moves: grouped(giving.moves), unmovable };
}

/** The slots that a shard may give away; null: one slot alone keeps it hot, and its other slots are too light to be worth moving. */
function slotsToGiveOf({ aim, keptFrom }: PlannedShard, { movable, heaviest }: OwnedSlots): LoadedSlot[] | null {
  if (!heaviest || heaviest.load <= keptFrom) return movable;
  const heavy = movable.filter((slot) => slot.slot !== heaviest.slot && slot.load >= HEAVY_SHARE * aim);
  return heavy.reduce((sum, { load }) => sum + load, 0) >= WORTHWHILE_SHARE * aim ? heavy : null;
}

/** At each step the giver with the heaviest slot gives it: later there is still room for light slots, but no longer for that one. */
function giveHeaviestFirst(giving: SlotGiving, givers: readonly Giver[], maxMoves: number): void {
  const canGive = ({ donor, slots }: Giver) =>
    donor.load > donor.aim ? giving.wouldGive(donor, slots, donor.load - donor.aim) : 0;
  // Upper bounds: these only go down as others give and the takers fill up.
  const most = givers.map(canGive);
  while (giving.moves.length < maxMoves) {
    const heaviest = most.reduce((best, load, i) => (load > (most[best] ?? 0) ? i : best), -1);
    const giver = givers[heaviest];
    if (!giver) break;
    const load = canGive(giver);
    // The bound was out of date: another giver may come first now.
    if (load < most[heaviest]!) most[heaviest] = load;
    else giving.give(giver.donor, giver.slots, giver.donor.load - giver.donor.aim);
  }
}

function whyUnmovable(
  { shard, load, limit }: PlannedShard,
  heaviest: LoadedSlot | undefined,
  outOfMoves: string | null,
  held: ReadonlySet<number>,
): string {
  const stays = `shard ${shard} stays at ${rate(load)}, above the target of ${rate(limit)}`;
  if (outOfMoves) return `${stays}: ${outOfMoves}`;
  if (!heaviest) return `${stays}: none of its slots has measured load; an override may hold it`;
  if (held.has(heaviest.slot)) {
    return `${stays}: its slot ${heaviest.slot} came a short while ago and is left alone (control.rebalance.holdMs)`;
  }
  return `${stays}: its slot ${heaviest.slot} alone has ${rate(heaviest.load)}, more than any other shard can take; a hot key in it needs a shard of its own`;
}

interface OwnedSlots {
  /** Lightest first. */
  readonly movable: LoadedSlot[];
  /** Of all its slots, held ones included. */
  heaviest: LoadedSlot | undefined;
}

/** The slots of each given shard that have load. */
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
