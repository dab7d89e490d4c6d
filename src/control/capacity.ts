/**
 * Whether a signal needs another shard, or could do with one less. A shard can carry its weight times `bytesPerSecond`.
 *
 * | rule | when | then |
 * |---|---|---|
 * | over-capacity | a shard's load > what it can carry, and slot moves cannot help | split the fullest one that can be; cannot_split |
 * | under-capacity | two shards' load <= half of what one of them can carry, and all that is left would be half full at most | merge the lightest two |
 *
 * Slot moves come before a split: they can help as long as all shards at `targetRatio` times their fair share are below their capacity (`rebalance.ts`).
 * What keeps a plan from being followed by its contrary: between a merge and a split the load has to double; a shard that was changed
 * within `holdMs` is not merged; nor is one whose slots came from another within `rebalance.holdMs`, as they might go back; and nothing is
 * judged by what was measured before the last change (`decide.ts`).
 *
 * A shard that an override leads to is not merged: a key has it for itself. A signal with next to no load is not merged either: that is
 * what an outage looks like.
 */
import type { Config } from '../config.ts';
import type { ShardState, SignalRing } from '../coordination/ring-epoch.ts';
import type { Signal } from '../signals.ts';
import { churnLeft, slotsMovedWithin } from './churn.ts';
import type { CapacityProposal, RebalanceProposal } from './decision.ts';
import { distributionOf, fairShares, loadsOf } from './distribution.ts';
import type { SignalView } from './load-view.ts';
import { hasRoom, type PastMoves } from './rebalance.ts';
import { ownedSlots, ownedSlotsOfEach, upperHalf } from './shard-slots.ts';
import { slotLoadOf } from './slot-plan.ts';

export type CapacityPolicy = Pick<Config['control'], 'capacity' | 'rebalance' | 'ring'>;

export interface CapacityState {
  readonly signal: Signal;
  readonly ring: SignalRing;
  readonly view: SignalView;
  readonly windowMs: number;
  readonly pastMoves: readonly PastMoves[];
  /** By shard id: Unix ms at which it came to be, was split or took in another. */
  readonly reshapedAt: ReadonlyMap<number, number>;
  /** What the signal's slot moves would be now. */
  readonly rebalance: RebalanceProposal | null;
}

/** Of what one shard can carry, or all of them: what two that are merged may fill. */
const MERGED_FILL = 0.5;

/** null: the shards are as many as they should be, or slot moves are to help first. */
export function capacityWish(state: CapacityState, policy: CapacityPolicy, now: number): CapacityProposal | null {
  const { ring, view } = state;
  const { loads, total } = loadsOf(ring.shards, view);
  const shards = ring.shards.map((shard, i): LoadedShard => {
    return { ...shard, load: loads[i]!, capacity: shard.weight * policy.capacity.bytesPerSecond };
  });
  if (total === 0 || total < policy.rebalance.minBytesPerSecond) return null;
  const full = shards
    .filter(({ load, capacity }) => load > capacity)
    .sort((a, b) => fillOf(b) - fillOf(a) || a.id - b.id);
  const planning: Planning = {
    ...{ state, policy, now, shards, total, full },
    held: slotsMovedWithin(state.pastMoves, policy.rebalance.holdMs, now),
  };
  return full.length > 0 ? splitWish(planning) : mergeWish(planning);
}

/** The shards that it is about, under which ring epoch. */
export function capacityFingerprint(wish: CapacityProposal, epoch: number): string {
  const about = wish.action === 'merge' ? [wish.shard, wish.into!] : [...wish.overCapacity].sort((a, b) => a - b);
  return `epoch ${epoch} ${wish.action} ${about.join(',')}`;
}

/** Another epoch or action, or a shard above its capacity that the last decision did not name. Which two to merge may waver. */
export function capacityIsNews(wish: CapacityProposal, epoch: number, lastFingerprint: string): boolean {
  const last = /^epoch (\d+) (\w+) ([\d,]+)$/.exec(lastFingerprint);
  if (!last || Number(last[1]) !== epoch || last[2] !== wish.action) return true;
  const named = new Set(last[3]!.split(',').map(Number));
  return wish.overCapacity.some((shard) => !named.has(shard));
}

interface LoadedShard extends ShardState {
  /** Bytes/s, as `capacity`. */
  readonly load: number;
  readonly capacity: number;
}

interface Planning {
  readonly state: CapacityState;
  readonly policy: CapacityPolicy;
  readonly now: number;
  readonly shards: readonly LoadedShard[];
  readonly total: number;
  /** Above their capacity, the fullest first. */
  readonly full: readonly LoadedShard[];
  /** Slots that moved a short while ago. */
  readonly held: ReadonlySet<number>;
}

const fillOf = ({ load, capacity }: LoadedShard) => load / capacity;
const capacityOf = (shards: readonly LoadedShard[]) => shards.reduce((sum, { capacity }) => sum + capacity, 0);
const percent = (share: number) => `${Math.round(share * 100)} %`;
const rate = (bytesPerSecond: number) => `${Math.round(bytesPerSecond)} B/s`;

function splitWish(planning: Planning): CapacityProposal | null {
  const { state, policy, shards, total, full, held } = planning;
  const { maxShards } = policy.capacity;
  if (state.rebalance?.action === 'move_slots' && policy.rebalance.apply) return null;
  const room = hasRoom(
    total,
    shards.map(({ capacity }) => capacity),
    policy.rebalance,
  );
  const cuts = cutsOf(full, state);
  // Moves would help once these slots are free to move again.
  if (room && cuts.some(({ slots }) => slots.some((slot) => held.has(slot)))) return null;
  const fill = total / capacityOf(shards);
  const cut = cuts.find(({ whyNot }) => whyNot === null) ?? cuts[0]!;
  const movesText = room
    ? whyNoMoves(cut.shard, state)
    : `all shards together are at ${percent(fill)} of what they can carry: even ones could be above it, too`;
  const alternatives = [{ action: 'move_slots', text: movesText }];
  const spent = policy.rebalance.churnSlots - churnLeft(state.pastMoves, policy.rebalance, planning.now);
  const whyNot =
    shards.length >= maxShards
      ? `there are ${shards.length} shards already (control.capacity.maxShards)`
      : (cut.whyNot ?? whyTooMuchChurn(cut.moved.length, spent, policy));
  const { shard } = cut;
  const common = {
    kind: 'capacity',
    subject: state.signal,
    priority: 'normal',
    shard: shard.id,
    from: fillOf(shard),
    overCapacity: full.map(({ id }) => id),
    reasons: full.map((of) => ({
      rule: 'over-capacity',
      observed: of.load,
      threshold: of.capacity,
      window: state.windowMs,
      text: `shard ${of.name} has ${rate(of.load)}, more than the ${rate(of.capacity)} that it can carry`,
    })),
  } as const;
  if (whyNot !== null)
    return {
      ...common,
      ...unmoved(planning),
      action: 'cannot_split',
      to: common.from,
      alternatives: [...alternatives, { action: 'split', text: whyNot }],
    };
  const halves = [shard.load - cut.movedLoad, cut.movedLoad].map((load): LoadedShard => ({ ...shard, load }));
  const after = shards.flatMap((of) => (of === shard ? halves : [of]));
  return {
    ...common,
    ...moved(planning, after, cut.moved.length, cut.movedLoad),
    action: 'split',
    to: Math.max(...halves.map(fillOf)),
    alternatives,
  };
}

/** Where there is room in other shards. */
function whyNoMoves({ id }: LoadedShard, { rebalance }: CapacityState): string {
  const unmovable = rebalance?.unmovable.find(({ shard }) => shard === id);
  return (
    unmovable?.text ?? 'there is room in other shards, but slot moves are not carried out (control.rebalance.apply)'
  );
}

interface Cut {
  readonly shard: LoadedShard;
  readonly slots: readonly number[];
  /** Slots that would go, and their load. */
  readonly moved: readonly number[];
  readonly movedLoad: number;
  /** null: it can be split. */
  readonly whyNot: string | null;
}

function cutsOf(shards: readonly LoadedShard[], { ring, view }: CapacityState): Cut[] {
  const measured = slotLoadOf(ring, view);
  const slotsOf = ownedSlotsOfEach(
    ring,
    shards.map(({ id }) => id),
  );
  return shards.map((shard) => cutOf(shard, slotsOf.get(shard.id)!, ring, measured));
}

function cutOf(
  shard: LoadedShard,
  slots: readonly number[],
  ring: SignalRing,
  measured: (slot: number) => number,
): Cut {
  const inSlots = slots.reduce((sum, slot) => sum + measured(slot), 0);
  const overridden = [...ring.overrides.values()].includes(shard.id);
  // Slots and shards are measured over different times: without an override it is all in the slots.
  const scale = overridden || inSlots === 0 ? 1 : shard.load / inSlots;
  const moved = slots.length < 2 ? [] : upperHalf(slots, measured);
  const movedLoad =
    inSlots === 0 && !overridden
      ? (shard.load * moved.length) / slots.length
      : scale * moved.reduce((sum, slot) => sum + measured(slot), 0);
  const heaviest = slots.reduce((most, slot) => (measured(slot) > measured(most) ? slot : most), slots[0] ?? 0);
  const beside = overridden ? shard.load - inSlots : 0;
  let whyNot: string | null = null;
  if (slots.length < 2) whyNot = `shard ${shard.name} has ${slots.length} slots: there is nothing to split`;
  else if (scale * measured(heaviest) > shard.capacity)
    whyNot = `slot ${heaviest} of shard ${shard.name} alone has ${rate(scale * measured(heaviest))}: no split brings it below its capacity; a hot key in it needs more than one shard`;
  else if (beside > shard.capacity)
    whyNot = `keys that overrides send to shard ${shard.name} have ${rate(beside)}: a split would leave them where they are`;
  return { shard, slots, moved, movedLoad, whyNot };
}

/** null: it is within the budget; or too large for any, and then it may use up that of a whole window. */
function whyTooMuchChurn(slots: number, spent: number, { rebalance }: CapacityPolicy): string | null {
  if (spent === 0 || spent + slots <= rebalance.churnSlots) return null;
  return `it would move ${slots} slots, and ${spent} of the ${rebalance.churnSlots} of the churn budget are used up (control.rebalance.churnSlots in churnWindowMs)`;
}

function mergeWish(planning: Planning): CapacityProposal | null {
  const { state, policy, now, shards, held } = planning;
  const { ring, pastMoves, reshapedAt } = state;
  const { minShards, holdMs } = policy.capacity;
  if (shards.length <= minShards) return null;
  const overridden = new Set(ring.overrides.values());
  // The lightest first; of equal ones the latest.
  const free = shards
    .filter(({ id }) => !overridden.has(id) && now - (reshapedAt.get(id) ?? Number.NEGATIVE_INFINITY) >= holdMs)
    .sort((a, b) => a.load - b.load || b.id - a.id);
  const spent = policy.rebalance.churnSlots - churnLeft(pastMoves, policy.rebalance, now);
  for (const goes of free.slice(0, MOST_LOOKED_AT)) {
    const into = takerOf(goes, free, planning);
    if (!into) continue;
    const slots = ownedSlots(ring, goes.id);
    if (slots.some((slot) => held.has(slot)) || whyTooMuchChurn(slots.length, spent, policy) !== null) continue;
    return mergeOf(goes, into, slots.length, planning);
  }
  return null;
}

/** Which of the lightest shards goes is looked for among so many: it costs a walk over the slot table. */
const MOST_LOOKED_AT = 8;

/** Whom both together fill least; null: none to half at most, or without `goes` all would be above that. */
function takerOf(goes: LoadedShard, free: readonly LoadedShard[], { shards, total }: Planning): LoadedShard | null {
  if (total > MERGED_FILL * (capacityOf(shards) - goes.capacity)) return null;
  const fill = ({ load, capacity }: LoadedShard) => (load + goes.load) / capacity;
  const [into] = free.filter((shard) => shard !== goes).sort((a, b) => fill(a) - fill(b) || a.id - b.id);
  return into && fill(into) <= MERGED_FILL ? into : null;
}

function mergeOf(goes: LoadedShard, into: LoadedShard, slotsMoved: number, planning: Planning): CapacityProposal {
  const { state, shards } = planning;
  const together = goes.load + into.load;
  const after = shards.flatMap((of) => (of === goes ? [] : of === into ? [{ ...into, load: together }] : [of]));
  const from = together / into.capacity;
  const effects = moved(planning, after, slotsMoved, goes.load);
  return {
    kind: 'capacity',
    subject: state.signal,
    action: 'merge',
    priority: 'normal',
    shard: goes.id,
    into: into.id,
    from,
    to: from,
    overCapacity: [],
    ...effects,
    alternatives: [
      {
        action: 'keep',
        text: `the ${shards.length} shards are at ${percent(effects.fill.before)} of what they can carry; one less would be at ${percent(effects.fill.after)}`,
      },
    ],
    reasons: [
      {
        rule: 'under-capacity',
        observed: together,
        threshold: MERGED_FILL * into.capacity,
        window: state.windowMs,
        text: `shards ${goes.name} and ${into.name} have ${rate(together)} together, at most half of the ${rate(into.capacity)} that ${into.name} can carry`,
      },
    ],
  };
}

type Effects = Pick<
  CapacityProposal,
  'shards' | 'fill' | 'distribution' | 'slotsMoved' | 'bytesPerSecond' | 'copiedBytes'
>;

function moved(
  { policy, shards, total }: Planning,
  after: readonly LoadedShard[],
  slotsMoved: number,
  bytesPerSecond: number,
): Effects {
  const evenness = (of: readonly LoadedShard[]) =>
    distributionOf(
      of.map(({ load }) => load),
      fairShares(of, total),
    );
  return {
    shards: { before: shards.length, after: after.length },
    fill: { before: total / capacityOf(shards), after: total / capacityOf(after) },
    distribution: { before: evenness(shards), after: evenness(after) },
    slotsMoved,
    bytesPerSecond,
    copiedBytes: Math.round((bytesPerSecond * policy.ring.carryMs) / 1_000),
  };
}

function unmoved(planning: Planning): Effects {
  return moved(planning, planning.shards, 0, 0);
}
