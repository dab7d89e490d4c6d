/** The wish for another shard: some are above their capacity, and moving slots among the present shards does not help. */
import type { SignalRing } from '../coordination/ring-epoch.ts';
import {
  type CapacityState,
  capacityOf,
  effectsOf,
  fillOf,
  loadedBy,
  type Planning,
  whyTooMuchChurn,
} from './capacity-planning.ts';
import type { CapacityProposal } from './decision.ts';
import { percent, rate } from './figures.ts';
import { hasRoom } from './rebalance.ts';
import { type LoadedShard, NEW_SHARD, planNewShard } from './reshape-plan.ts';
import { ownedSlotsOfEach } from './shard-slots.ts';
import { fittedSlotLoadOf, type SlotLoad } from './slot-loads.ts';

/** null: slot moves should help first. */
export function splitWish(planning: Planning): CapacityProposal | null {
  const { state, policy, score, shards, total, full, held } = planning;
  const { maxShards } = policy.capacity;
  if (state.rebalance?.action === 'move_slots' && policy.rebalance.apply) return null;
  const room = hasRoom(
    total,
    shards.map(({ capacity }) => capacity),
    policy.rebalance,
  );
  const slotLoad = fittedSlotLoadOf(state.ring, state.view);
  const donors = donorsOf(full, state.ring, slotLoad);
  // Moves will help once the slots that are held may move again.
  if (room && donors.some(({ slots }) => slots.some((slot) => held.has(slot)))) return null;
  const { shard, whyNot: whyNoDonor } = donors.find(({ whyNot }) => whyNot === null) ?? donors[0]!;
  const movesText = room
    ? whyNoMoves(shard, state)
    : `all shards together are at ${percent(total / capacityOf(shards))} of what they can carry: even ones could be above it, too`;
  const alternatives = [{ action: 'move_slots', text: movesText }];
  const stuck = new Set(donors.filter(({ whyNot }) => whyNot !== null).map((of) => of.shard));
  const plan = planNewShard(
    shards.filter((of) => !stuck.has(of)),
    shard.weight,
    { ring: state.ring, slotLoad, score },
  );
  const loaded = loadedBy(plan);
  const added = loaded({ ...shard, id: NEW_SHARD });
  const effects = effectsOf(planning, plan, [...shards.map(loaded), added]);
  let whyNot: string | null = null;
  if (shards.length >= maxShards) whyNot = `there are ${shards.length} shards already (control.capacity.maxShards)`;
  else if (whyNoDonor !== null) whyNot = whyNoDonor;
  else if (effects.slotsMoved === 0) whyNot = `no slot of the full shards is light enough for a new one`;
  else whyNot = whyTooMuchChurn(effects.slotsMoved, planning);
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
      ...effectsOf(planning, { moves: [] }, shards),
      action: 'cannot_split',
      to: common.from,
      alternatives: [...alternatives, { action: 'split', text: whyNot }],
    };
  return { ...common, ...effects, action: 'split', to: Math.max(fillOf(loaded(shard)), fillOf(added)), alternatives };
}

/** For the case that other shards have room. */
function whyNoMoves({ id }: LoadedShard, { rebalance }: CapacityState): string {
  const unmovable = rebalance?.unmovable.find(({ shard }) => shard === id);
  return (
    unmovable?.text ?? 'there is room in other shards, but slot moves are not carried out (control.rebalance.apply)'
  );
}

interface Donor {
  readonly shard: LoadedShard;
  readonly slots: readonly number[];
  /** Why it cannot give its excess load to a new shard; null: it can. */
  readonly whyNot: string | null;
}

function donorsOf(full: readonly LoadedShard[], ring: SignalRing, slotLoad: SlotLoad): Donor[] {
  const slotsOf = ownedSlotsOfEach(
    ring,
    full.map(({ id }) => id),
  );
  return full.map((shard) => {
    const slots = slotsOf.get(shard.id)!;
    return { shard, slots, whyNot: whyNoDonor(shard, slots, slotLoad) };
  });
}

function whyNoDonor(
  { name, load, capacity }: LoadedShard,
  slots: readonly number[],
  slotLoad: SlotLoad,
): string | null {
  if (slots.length < 2) return `shard ${name} has ${slots.length} slots: there is nothing to split`;
  const heaviest = slots.reduce((most, slot) => (slotLoad(slot) > slotLoad(most) ? slot : most));
  if (slotLoad(heaviest) > capacity)
    return `slot ${heaviest} of shard ${name} alone has ${rate(slotLoad(heaviest))}: no split brings it below its capacity; a hot key in it needs more than one shard`;
  const beside = load - slots.reduce((sum, slot) => sum + slotLoad(slot), 0);
  if (beside > capacity)
    return `keys that overrides send to shard ${name} have ${rate(beside)}: a split would leave them where they are`;
  return null;
}
