/** The wish for one shard less: two are so light that one could carry both, and the shards that are left would have room to spare. */
import { capacityOf, effectsOf, fillOf, loadedBy, type Planning, whyTooMuchChurn } from './capacity-planning.ts';
import type { CapacityProposal } from './decision.ts';
import { percent, rate } from './figures.ts';
import { type LoadedShard, planWithout, type ReshapePlan } from './reshape-plan.ts';
import { ownedSlots } from './shard-slots.ts';
import { fittedSlotLoadOf, type SlotLoad } from './slot-loads.ts';

/** The part of a shard's capacity, and of all shards' together, that may be in use after a merge. */
const MERGED_FILL = 0.5;

/** null: there should not be fewer shards. */
export function mergeWish(planning: Planning): CapacityProposal | null {
  const { state, policy, score, now, shards, held } = planning;
  const { ring, view, reshapedAt } = state;
  const { minShards, holdMs } = policy.capacity;
  if (shards.length <= minShards) return null;
  const overridden = new Set(ring.overrides.values());
  // The lightest first; among equals the newest.
  const free = shards
    .filter(({ id }) => !overridden.has(id) && now - (reshapedAt.get(id) ?? Number.NEGATIVE_INFINITY) >= holdMs)
    .sort((a, b) => a.load - b.load || b.id - a.id);
  let slotLoad: SlotLoad | undefined;
  for (const goes of free.slice(0, MAX_CANDIDATES)) {
    const light = lightBeside(goes, free, planning);
    if (!light) continue;
    const slots = ownedSlots(ring, goes.id);
    if (slots.some((slot) => held.has(slot)) || whyTooMuchChurn(slots.length, planning) !== null) continue;
    slotLoad ??= fittedSlotLoadOf(ring, view);
    const stay = shards.filter((of) => of !== goes);
    const takers = stay.filter(({ id }) => !overridden.has(id));
    const plan = planWithout(goes, takers, MERGED_FILL, { ring, slotLoad, score });
    if (plan) return mergeOf(goes, light, stay, plan, planning);
  }
  return null;
}

/** Candidates for going, lightest first: to look at one costs a walk over the slot table. */
const MAX_CANDIDATES = 8;

/** The light shard that would be least full with the load of both; null: none would be half full at most, or all shards together would not without `goes`. */
function lightBeside(goes: LoadedShard, free: readonly LoadedShard[], { shards, total }: Planning): LoadedShard | null {
  if (total > MERGED_FILL * (capacityOf(shards) - goes.capacity)) return null;
  const fill = ({ load, capacity }: LoadedShard) => (load + goes.load) / capacity;
  const [light] = free.filter((shard) => shard !== goes).sort((a, b) => fill(a) - fill(b) || a.id - b.id);
  return light && fill(light) <= MERGED_FILL ? light : null;
}

function mergeOf(
  goes: LoadedShard,
  light: LoadedShard,
  stay: readonly LoadedShard[],
  plan: ReshapePlan,
  planning: Planning,
): CapacityProposal {
  const { state, shards } = planning;
  const after = stay.map(loadedBy(plan));
  const effects = effectsOf(planning, plan, after);
  const fullest = (of: readonly LoadedShard[]) => Math.max(...of.map(fillOf));
  return {
    kind: 'capacity',
    subject: state.signal,
    action: 'merge',
    priority: 'normal',
    shard: goes.id,
    from: fullest(stay),
    to: fullest(after),
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
        observed: goes.load + light.load,
        threshold: MERGED_FILL * light.capacity,
        window: state.windowMs,
        text: `shards ${goes.name} and ${light.name} have ${rate(goes.load + light.load)} together, at most half of the ${rate(light.capacity)} that ${light.name} can carry: what ${goes.name} has is shared out`,
      },
    ],
  };
}
