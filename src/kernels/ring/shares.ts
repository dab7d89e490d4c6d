/**
 * How many points a shard needs to own its share of the slots.
 *
 * Points in proportion to the weights are not enough. A share scatters by 1/sqrt(points): 8 % at 160. More points help only
 * down to sqrt(shards / slots), as each slot is a throw of the dice: 6 % at 256 shards on 2^16 slots. So a shard gets
 * POINTS_PER_VNODE points a vnode, and where that leaves it more than TOLERANCE off, points are taken from it or added, always the last
 * ones of its sequence, until it is not. A point that comes or goes moves only the slots before it, so little moves that would not
 * have to. Measured, adding or removing one of N equal shards: 1.0/N of the slots where a shard has 1,024 of them or more,
 * 1.1 to 1.25/N at 512, 1.5/N at 256 on 2^16. Below that keeping the shares costs more than the move itself.
 */
import type { RingShard } from './kernel.ts';

const POINTS_PER_VNODE = 16;
/** Of the fair share, or of a tenth of the mean one where a shard is lighter than that: it has too few points to choose from. */
const TOLERANCE = 0.05;
const LIGHTEST = 0.1;
/** Where a share that is out of the tolerance is brought: just inside, as each point more or less moves slots. */
const AIM = 0.045;
/** 1 to 6 are needed at 160 vnodes. With very few the shares cannot be met, and the last round's are taken. */
const MOST_ROUNDS = 32;
/** 16 times the usual weight at the most vnodes that the configuration allows. */
const MOST_POINTS = 1 << 20;
const MOST_SHARD = 0xffff;

/** `place` puts the first points[i] points of shards[i] on an empty ring and gives the owner of each slot. Throws the RangeErrors of RingKernel.build. */
export function fitPoints(
  shards: readonly RingShard[],
  vnodes: number,
  place: (points: readonly number[]) => Uint16Array,
): { readonly points: readonly number[]; readonly owners: Uint16Array } {
  const points = firstPoints(shards, vnodes);
  // In order of the shards: the sum of fractions depends on theirs, and the ring must not.
  const weights = shards.toSorted((a, b) => a.shard - b.shard).reduce((sum, { weight }) => sum + weight, 0);
  for (let round = 0; ; round++) {
    const owners = place(points);
    if (round === MOST_ROUNDS || weights === 0) return { points, owners };
    const slots = new Uint32Array(MOST_SHARD + 1);
    const lightest = (LIGHTEST * owners.length) / shards.length;
    for (const owner of owners) slots[owner]!++;
    let changed = false;
    for (const [i, { shard, weight }] of shards.entries()) {
      const wanted = fittingPoints(points[i]!, slots[shard]!, (owners.length * weight) / weights, lightest);
      changed ||= wanted !== points[i];
      points[i] = wanted;
    }
    if (!changed) return { points, owners };
  }
}

function firstPoints(shards: readonly RingShard[], vnodes: number): number[] {
  if (shards.length === 0) throw new RangeError('a ring needs at least one shard');
  const seen = new Set<number>();
  return shards.map(({ shard, weight }) => {
    if (!(Number.isInteger(shard) && shard >= 0 && shard <= MOST_SHARD)) {
      throw new RangeError(`shard ${shard} is not an integer from 0 to ${MOST_SHARD}`);
    }
    if (seen.has(shard)) throw new RangeError(`shard ${shard} is on the ring twice`);
    seen.add(shard);
    const points = Math.max(1, Math.round(vnodes * weight * POINTS_PER_VNODE));
    if (!(weight >= 0 && points <= MOST_POINTS)) {
      throw new RangeError(`shard ${shard} cannot have the weight ${weight} at ${vnodes} vnodes`);
    }
    return points;
  });
}

/** The points with which a shard that owns `slots` with `points` would own about `fair` of them. */
function fittingPoints(points: number, slots: number, fair: number, lightest: number): number {
  // A slot is not divisible.
  if (Math.abs(slots - fair) <= Math.max(TOLERANCE * Math.max(fair, lightest), 1)) return points;
  const aim = fair * (slots > fair ? 1 + AIM : 1 - AIM);
  const scaled = Math.round(points * Math.min(aim / Math.max(slots, 1), 2));
  if (scaled !== points) return Math.min(Math.max(scaled, 1), MOST_POINTS);
  return Math.max(slots > fair ? points - 1 : points + 1, 1);
}
