/** What many seeds together have to show to have been there: what never happens proves nothing. */

/** In the mean over the seeds, at the least. */
const LEAST: readonly (readonly [perSeed: number, what: readonly string[]])[] = [
  [1, ['leader changes', 'ring epochs', 'kills during adoption', 'writes under a token', 'items copied']],
  [0.5, ['kills', 'pauses', 'clock jumps', 'slow partitions', 'doubled reports', 'added partitions']],
  [0.1, ['kills during copying', 'changes taken back', 'changes cut short', 'changes over leaders']],
  [0.1, ['writes under an old token', 'late topics', 'snapshots', 'decisions']],
  [0.1, ['slot moves decided', 'splits decided', 'merges decided']],
  [0.05, ['keys isolated', 'isolations undone', 'keys spread', 'spreads undone']],
];

/** So few seeds may be without any of it. */
const ENOUGH_SEEDS = 300;

export type Happened = Readonly<Record<string, number>>;

export class Happenings {
  readonly #counts = new Map<string, { times: number; seeds: number }>();
  #seeds = 0;

  /** Of a seed. */
  add(happened: Happened): void {
    this.#seeds++;
    for (const [what, times] of Object.entries(happened)) {
      const count = this.#counts.get(what) ?? { times: 0, seeds: 0 };
      this.#counts.set(what, count);
      count.times += times;
      if (times > 0) count.seeds++;
    }
  }

  /** What there was too little of, as sentences. */
  get missing(): readonly string[] {
    if (this.#seeds < ENOUGH_SEEDS) return [];
    return LEAST.flatMap(([perSeed, names]) =>
      names.flatMap((what) => {
        const least = Math.ceil(perSeed * this.#seeds);
        const times = this.#counts.get(what)?.times ?? 0;
        return times >= least ? [] : [`${times} ${what} in ${this.#seeds} seeds, which should have had ${least}`];
      }),
    );
  }

  /** Such as `120 splits decided (in 96 seeds)`, by name. */
  get lines(): readonly string[] {
    return [...this.#counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, { times, seeds }]) => `${times} ${what} (in ${seeds} seeds)`);
  }
}
