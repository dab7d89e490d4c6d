/**
 * How even the shards become under skew, and what it costs: Weir's own load reports, load window and decide() in virtual time, beside a static
 * ring and consistent hashing with bounded loads, all fed the same items. `--seconds N` for each phase, `--plot` draws docs/rebalance.svg.
 */
import { writeFileSync } from 'node:fs';
import { loadKernels } from '../../src/kernels/index.ts';
import { type LineSeries, lines } from '../plot.ts';
import type { Row } from '../rows.ts';
import { runReshaping } from './reshaping.ts';
import { boundedLoads, type Strategy, staticRing } from './strategies.ts';
import { maxOverMeanOf, WINDOW_MS } from './unevenness.ts';
import { weir } from './weir.ts';
import { createWorkload, type WorkloadOptions } from './workload.ts';

interface Case extends Omit<WorkloadOptions, 'seed' | 'itemsPerSecond'> {
  readonly name: string;
  readonly shards: number;
  /** Keys that lose their popularity at each phase after the first. */
  readonly hotSpot?: number;
  readonly plot?: true;
  /** What keys are. Default: trace ids. */
  readonly key?: 'service.name';
  /** There are keys that alone are above what a shard should carry: what the others come to is told apart. */
  readonly hotKeys?: true;
}

/** "No single key is larger than a shard's fair share" is where slots can balance; with the whole of Zipf's law the first key alone has 11 %. */
const CASES: readonly Case[] = [
  { name: 'zipf-1.1/64-shards', shards: 64, keys: 200_000, exponent: 1.1, largestShare: 1 / 64 },
  { name: 'zipf-1.1/16-shards', shards: 16, keys: 200_000, exponent: 1.1, largestShare: 1 / 16 },
  {
    name: 'zipf-1.1/64-shards, moving hot spots',
    shards: 64,
    keys: 200_000,
    exponent: 1.1,
    largestShare: 1 / 64,
    hotSpot: 500,
    plot: true,
  },
  {
    name: 'zipf-1.1/64-shards, one key above a fair share',
    shards: 64,
    keys: 200_000,
    exponent: 1.1,
    largestShare: 1,
    hotKeys: true,
  },
  {
    name: 'zipf-1.1/64-shards, services, the first above a fair share',
    shards: 64,
    keys: 200_000,
    exponent: 1.1,
    largestShare: 1,
    key: 'service.name',
  },
  {
    name: 'zipf-1.1/16-shards, services, the first above a fair share',
    shards: 16,
    keys: 200_000,
    exponent: 1.1,
    largestShare: 1,
    key: 'service.name',
  },
  { name: 'even/64-shards', shards: 64, keys: 200_000, exponent: 0, largestShare: 1 },
];
const ITEMS_PER_SECOND = 50_000;
const PHASES = 3;
/** Of each phase: what it has settled to. */
const SETTLED_SHARE = 0.25;
/** "Balanced": from here on. */
const BALANCED = 1.2;
/** `control.rebalance.targetRatio` by default. */
const TARGET = 1.15;

/** Max/mean of a strategy over time: one value a second. */
interface Course {
  readonly strategy: Strategy;
  readonly maxOverMean: number[];
  /** The same of the shards without a key that alone is too much for one. */
  readonly others: number[];
}

export async function run(
  { seconds, plot: draw }: { readonly seconds: number; readonly plot?: boolean },
  say: (text: string) => void,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const one of CASES) {
    const courses = await follow(one, seconds, say);
    rows.push(...rowsOf(one, courses, seconds));
    if (one.plot && draw) plot(one, courses, seconds);
  }
  return [...rows, ...(await runReshaping(say))];
}

async function follow(one: Case, seconds: number, say: (text: string) => void): Promise<Course[]> {
  const workload = createWorkload({ ...one, seed: 1, itemsPerSecond: ITEMS_PER_SECOND });
  const { shards, key = 'trace_id' as const } = one;
  const installation = { shards, key, hashes: workload.hashes, kernels: await loadKernels() };
  const courses = [weir(installation), staticRing(installation), boundedLoads(installation, 1.15, WINDOW_MS)].map(
    (strategy): Course & { readonly lately: Float64Array[] } => ({ strategy, maxOverMean: [], others: [], lately: [] }),
  );
  for (let second = 1; second <= PHASES * seconds; second++) {
    if (one.hotSpot && second > seconds && second % seconds === 1) workload.moveHotSpot(one.hotSpot);
    const items = workload.second();
    const hot = one.hotKeys ? workload.keysAbove(TARGET / shards) : [];
    for (const { strategy, maxOverMean, others, lately } of courses) {
      lately.push(strategy.loadsOf(items));
      if (lately.length > WINDOW_MS / 1_000) lately.shift();
      maxOverMean.push(maxOverMeanOf(lately, strategy.shards));
      if (one.hotKeys) {
        const withHot = new Set(hot.map((of) => strategy.shardOf[of]!));
        others.push(
          maxOverMeanOf(
            lately,
            strategy.shards.filter((shard) => !withHot.has(shard)),
          ),
        );
      }
      strategy.tick(second * 1_000, items);
    }
    if (second % 200 === 0) say(`${one.name}: ${second} of ${PHASES * seconds} s`);
  }
  return courses;
}

function rowsOf(one: Case, [ours, ...peers]: readonly Course[], seconds: number): Row[] {
  const settledTo = (course: readonly number[]) => {
    const settled = course.filter((_, second) => second % seconds >= seconds * (1 - SETTLED_SHARE));
    return settled.reduce((sum, value) => sum + value, 0) / settled.length;
  };
  const common = { name: 'rebalance', case: one.name };
  const compared = (unit: string, courseOf: (course: Course) => readonly number[]) => {
    const value = settledTo(courseOf(ours!));
    return peers.map((peer): Row => {
      const peerValue = settledTo(courseOf(peer));
      return { ...common, value, unit, peer: peer.strategy.name, peer_value: peerValue, ratio: peerValue / value };
    });
  };
  return [
    ...compared('max/mean, settled', ({ maxOverMean }) => maxOverMean),
    ...(one.hotKeys ? compared('max/mean of the shards without a hot key, settled', ({ others }) => others) : []),
    ...peers
      .filter(({ strategy }) => strategy.moved > 0)
      .map(
        ({ strategy }): Row => ({
          ...common,
          value: ours!.strategy.moved,
          unit: 'slots moved',
          peer: `${strategy.name}, keys moved`,
          peer_value: strategy.moved,
        }),
      ),
    ...Array.from({ length: one.hotSpot ? PHASES : 1 }, (_, phase): Row => {
      const course = ours!.maxOverMean.slice(phase * seconds, (phase + 1) * seconds);
      const unbalanced = course.findLastIndex((x) => x > BALANCED);
      return { ...common, value: unbalanced + 1, unit: `s until below ${BALANCED} for good, phase ${phase + 1}` };
    }),
  ];
}

function plot(one: Case, courses: readonly Course[], seconds: number): void {
  const series = courses.map(({ strategy, maxOverMean }): LineSeries => ({ name: strategy.name, values: maxOverMean }));
  const title = 'Load of the hottest shard, as a multiple of the mean';
  const caption = `${one.shards} shards, ${one.keys.toLocaleString('en')} keys with Zipf(${one.exponent}) popularity; every ${seconds} s the ${one.hotSpot} hottest keys change`;
  writeFileSync(new URL('../../docs/rebalance.svg', import.meta.url), lines(title, caption, 's', series));
}

export function notes(): string {
  return `Virtual time, ${ITEMS_PER_SECOND.toLocaleString('en')} items/s, drawn one by one; load over the last ${WINDOW_MS / 1_000} s; "settled" is the mean of the last quarter of each of ${PHASES} phases. Weir decides on what its load reports say (4,096 slots of 65,536 by name, the rest as a sum) with its default settings, and a decision takes 2 s to come into force. Bounded loads count every key and place all anew every ${WINDOW_MS / 1_000} s.`;
}
