/**
 * `npm run simulate`: the deterministic simulation (test/simulation) over many seeds, on all cores.
 *
 *   npm run simulate -- --seeds 10000            seeds from a fresh one on; it is printed
 *   npm run simulate -- --seeds 500 --from 1     seeds 1 to 500
 *   npm run simulate -- --seeds 500 --workers 1  on one core
 *   npm run simulate -- --seed 4711              one seed once more, with its log
 *   npm run simulate -- --bug unfenced-leader    with a planted bug, which it should find
 */
import { randomInt } from 'node:crypto';
import { Command } from 'commander';
import { pino } from 'pino';
import { Happenings } from '../test/simulation/happenings.ts';
import { PLANTED_BUGS, type PlantedBug } from '../test/simulation/planted.ts';
import { SeedRunner } from '../test/simulation/seeds.ts';
import { type SimulationResult, simulate } from '../test/simulation/simulate.ts';

const MOST_SEED = 2 ** 31;
const TOLD_EVERY_MS = 20_000;

const values = new Command('npm run simulate --')
  .usage('[flags]')
  .description(
    'The deterministic simulation over many seeds: what must hold under kills, pauses, lost replies and clock jumps, while shards are split and merged and hot keys get overrides. How much of it there was is told at the end; from 300 seeds on too little of it is a failure.',
  )
  .option('--seeds <n>', 'how many', '1000')
  .option('--from <seed>', 'the first one; without it a fresh one, which is printed')
  .option('--workers <n>', 'seeds at a time; without it one a core')
  .option('--seed <seed>', 'this one once more, with its log')
  .option('--bug <name>', `with a planted bug, which it should find: ${Object.keys(PLANTED_BUGS).join(', ')}`)
  .parse()
  .opts<{ seeds: string; from?: string; workers?: string; seed?: string; bug?: string }>();
if (values.bug !== undefined && !Object.hasOwn(PLANTED_BUGS, values.bug))
  throw new Error(`there is no planted bug ${values.bug}. There are: ${Object.keys(PLANTED_BUGS).join(', ')}`);
const bug = values.bug as PlantedBug | undefined;
const failed = values.seed === undefined ? await many() : await one(whole('seed', values.seed));
process.exitCode = failed > 0 ? 1 : 0;

function whole(flag: string, value: string): number {
  if (!/^\d{1,10}$/.test(value)) throw new Error(`--${flag} ${value}: a whole number`);
  return Number(value);
}

async function many(): Promise<number> {
  const count = whole('seeds', values.seeds);
  const from = values.from === undefined ? randomInt(MOST_SEED - count) : whole('from', values.from);
  process.stdout.write(`seeds ${from} to ${from + count - 1}\n`);
  const beganMs = performance.now();
  let toldMs = beganMs;
  const happenings = new Happenings();
  let [done, bad] = [0, 0];
  const runner = new SeedRunner(values.workers === undefined ? undefined : whole('workers', values.workers));
  await runner.run(
    Array.from({ length: count }, (_, i) => from + i),
    {
      bug,
      onResult(result) {
        done++;
        happenings.add(result.happened);
        if (result.violations.length > 0) bad++;
        if (result.violations.length > 0) process.stdout.write(`${complaint(result)}\n`);
        const nowMs = performance.now();
        if (nowMs - toldMs < TOLD_EVERY_MS && done < count) return undefined;
        toldMs = nowMs;
        const seconds = (nowMs - beganMs) / 1_000;
        const left = Math.round((seconds / done) * (count - done));
        process.stdout.write(
          `${done} of ${count} seeds, ${bad} failed, ${Math.round(seconds)} s; about ${left} s to go\n`,
        );
        return undefined;
      },
    },
  );
  await runner.close();
  process.stdout.write(`in them: ${happenings.lines.join(', ')}\n`);
  const missing = bug ? [] : happenings.missing;
  for (const what of missing) process.stdout.write(`FAILED: there were only ${what}\n`);
  return bad + missing.length;
}

async function one(seed: number): Promise<number> {
  const result = await simulate(seed, { bug, log: pino({ base: null, timestamp: () => `,"at":${Date.now()}` }) });
  process.stdout.write(`${result.violations.length > 0 ? complaint(result) : `seed ${seed}: all holds`}\n`);
  process.stdout.write(`${result.steps} steps, ${result.virtualMs} ms, trace ${result.traceHash.toString(16)}\n`);
  return result.violations.length;
}

function complaint({ seed, violations }: SimulationResult): string {
  const again = `npm run simulate -- --seed ${seed}${bug ? ` --bug ${bug}` : ''}`;
  return `FAILED: seed ${seed}\n${violations.map((text) => `  ${text}`).join('\n')}\n  again: ${again}`;
}
