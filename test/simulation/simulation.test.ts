import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Happenings } from './happenings.ts';
import { PLANTED_BUGS, type PlantedBug } from './planted.ts';
import { SeedRunner } from './seeds.ts';

/** Always the same, and one that nobody has seen before. `npm run simulate` has the thousands. */
const FIXED_SEEDS = 300;
const fresh = randomInt(2 ** 31);
const seedsFrom1 = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

/** Seeds, from 1 on, of which one finds it; most are found by the tenth, but any change of the code makes another order of events. */
const FOUND_WITHIN: Readonly<Record<PlantedBug, number>> = {
  'adopts-silently': 20,
  'forgets-epochs': 250,
  'forgets-keys': 250,
  'skips-a-partition': 150,
  'trusts-old-tokens': 20,
  'unfenced-leader': 150,
  'unkept-offsets': 20,
};

describe('the simulation', { timeout: 600_000 }, () => {
  let runner: SeedRunner;
  beforeAll(() => {
    runner = new SeedRunner();
  });
  afterAll(() => runner.close());

  it(`keeps all that must hold through kills, pauses, lost replies and clock jumps, with a fresh seed: ${fresh}`, async () => {
    const results = await runner.run([...seedsFrom1(FIXED_SEEDS), fresh]);
    const broken = results.filter(({ violations }) => violations.length > 0);
    expect(
      broken.map(({ seed, violations }) => `npm run simulate -- --seed ${seed}: ${violations.join('; ')}`),
    ).toEqual([]);
    const happenings = new Happenings();
    for (const { happened } of results) happenings.add(happened);
    expect(happenings.missing).toEqual([]);
  });

  it('replays a seed exactly', async () => {
    const seeds = [11, 12, 13];
    const traces = async (by: SeedRunner) =>
      (await by.run(seeds)).map(({ traceHash, steps }) => ({ traceHash, steps }));
    const first = await traces(runner);
    expect(new Set(first.map(({ traceHash }) => traceHash)).size).toBe(seeds.length);
    const fresh = new SeedRunner(1);
    expect(await traces(fresh)).toEqual(first);
    await fresh.close();
  });

  for (const [bug, what] of Object.entries(PLANTED_BUGS) as [PlantedBug, string][])
    it(`finds a planted bug: ${what}`, async () => {
      const onResult = ({ violations }: { violations: readonly string[] }) =>
        violations.length > 0 ? ('stop' as const) : undefined;
      const results = await runner.run(seedsFrom1(FOUND_WITHIN[bug]), { bug, onResult });
      expect(results.flatMap(({ violations }) => violations)).not.toEqual([]);
    });
});
