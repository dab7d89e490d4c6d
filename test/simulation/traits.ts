import type { SeededRandom } from '../../src/loadgen/seeded-random.ts';

/** Trouble and work go on for so long. */
export const ACTIVE_MS = 20_000;

/** Of time, in ms since the start. */
export interface Period {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What is drawn once for a seed, so that seeds differ in kind and not only in chance. */
export function drawTraits(random: SeededRandom) {
  const decisions = random.chance(0.8) ? 'applied' : random.pick(['none', 'made'] as const);
  // Decisions need time without a change of leaders or of the ring: they are carried out where there is less of all else.
  const busy = decisions === 'applied' ? 0.4 : 1;
  const upTo = (most: number) => random.integer(0, Math.round(busy * most));
  return {
    decisions,
    /** What traces are routed by: a hot trace gets a shard, a hot service is spread. */
    key: random.pick(['trace_id', 'service.name'] as const),
    /** When the load is high, and when most of it is of one key: each for so long that decisions follow, and so that those are taken back afterwards. */
    high: { fromMs: random.integer(0, 2_000), toMs: random.integer(10_000, 13_000) },
    hot: random.chance(0.8) ? { fromMs: random.integer(2_000, 6_000), toMs: random.integer(9_000, 12_000) } : null,
    longestMs: random.pick([2, 10, 60]),
    lostShare: busy * random.pick([0, 0.001, 0.005, 0.02]),
    carryMs: random.pick([0, 2_000, 10_000]),
    staticMembers: random.chance(0.5),
    kills: upTo(5),
    stops: upTo(2),
    pauses: upTo(5),
    jumps: upTo(3),
    slow: upTo(7),
    /** Chance of trouble with each change of the ring. */
    aimed: random.pick([0, 0.5, 1]),
    wishes: upTo(10),
    /** Between two pieces of work under a lock, at the longest. */
    lockEveryMs: 4_000 / busy,
    /** To the traces. */
    addedPartitions: random.integer(0, 2),
    /** The topic of the logs is not there at first. */
    lateTopic: random.chance(0.3),
    snapshots: random.integer(0, 1),
    feedEveryMs: random.pick([200, 400, 600]),
  };
}

export type Traits = ReturnType<typeof drawTraits>;

/** Things that happen, by what they are called. */
export type Tally = (what: string, times?: number) => void;
