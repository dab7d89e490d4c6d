import type { SeededRandom } from '../../src/loadgen/seeded-random.ts';

/** Trouble and work go on for so long. */
export const ACTIVE_MS = 15_000;

/** What is drawn once for a seed, so that seeds differ in kind and not only in chance. */
export function drawTraits(random: SeededRandom) {
  return {
    longestMs: random.pick([2, 10, 60]),
    lostShare: random.pick([0, 0.001, 0.005, 0.02]),
    carryMs: random.pick([0, 2_000, 10_000]),
    rebalances: random.pick(['never', 'never', 'never', 'decided', 'applied']),
    staticMembers: random.chance(0.5),
    kills: random.integer(0, 4),
    stops: random.integer(0, 2),
    pauses: random.integer(0, 4),
    jumps: random.integer(0, 3),
    slow: random.integer(0, 6),
    /** Chance of trouble with each change of the ring. */
    aimed: random.pick([0, 0.5, 1]),
    wishes: random.integer(2, 10),
    /** To the traces. */
    addedPartitions: random.integer(0, 2),
    /** The topic of the logs is not there at first. */
    lateTopic: random.chance(0.3),
    snapshots: random.integer(0, 1),
    feedEveryMs: random.pick([100, 300, 600]),
  };
}

export type Traits = ReturnType<typeof drawTraits>;

/** Things that happen, by what they are called. */
export type Tally = (what: string, times?: number) => void;
