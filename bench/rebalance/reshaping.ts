/** What it costs to have more shards, or fewer: the load rises or falls for good, and Weir splits or merges until they fit it. */
import { defaultConfig } from '../../src/config.ts';
import { loadKernels } from '../../src/kernels/index.ts';
import type { Row } from '../rows.ts';
import { maxOverMeanOf, WINDOW_MS } from './unevenness.ts';
import { ITEM_BYTES, type Weir, weir } from './weir.ts';
import { createWorkload } from './workload.ts';

interface Case {
  readonly name: string;
  readonly action: 'merge' | 'split';
  /** Of what the first shards can carry together, at first. */
  readonly fill: number;
  /** What the load is times from then on. */
  readonly times: number;
}

const SHARDS = 16;
const ITEMS_PER_SECOND = 20_000;
/** Virtual: before the load changes, and after the last change of the ring. */
const SETTLE_SECONDS = 150;
const CASES: readonly Case[] = [
  { name: 'zipf-1.1/16 shards, load falls by half', action: 'merge', fill: 0.3, times: 0.5 },
  { name: 'zipf-1.1/16 shards, load rises by half', action: 'split', fill: 0.75, times: 1.5 },
];

export async function runReshaping(say: (text: string) => void): Promise<Row[]> {
  const rows: Row[] = [];
  for (const one of CASES) {
    rows.push(...(await reshape(one)));
    say(`${one.name}: done`);
  }
  return rows;
}

async function reshape({ name, action, fill, times }: Case): Promise<Row[]> {
  const workload = createWorkload({
    ...{ seed: 3, keys: 200_000, exponent: 1.1, largestShare: 1 / (2 * SHARDS) },
    itemsPerSecond: ITEMS_PER_SECOND,
  });
  const { control } = defaultConfig({
    control: {
      capacity: {
        ...{ apply: true, bytesPerSecond: (ITEMS_PER_SECOND * ITEM_BYTES) / (fill * SHARDS), minShards: 2 },
        ...{ splitAfterMs: 30_000, mergeAfterMs: 60_000, holdMs: 120_000 },
      },
    },
  });
  const { hashes } = workload;
  const kernels = await loadKernels();
  const strategy = weir({ shards: SHARDS, key: 'trace_id', hashes, kernels }, control);
  const course = follow(strategy, () => workload.second(), SETTLE_SECONDS, 0);
  const before = strategy.changes.length;
  course.push(...follow(strategy, () => workload.second(times), Infinity, course.length));

  const made = strategy.changes.slice(before);
  const reshaped = made.filter((change) => change.action === action);
  // A whole window later: until then part of the load was measured before.
  const after = reshaped.map(({ activeAt }) => course[(activeAt + WINDOW_MS) / 1_000]!);
  const settled = course.slice(-SETTLE_SECONDS / 2);
  const row = (value: number, unit: string): Row => ({ name: 'rebalance', case: name, value, unit });
  return [
    row(strategy.shards.length, `shards, after ${reshaped.length} ${action}s`),
    row(mean(after), `max/mean right after a ${action}, mean`),
    row(Math.max(...after), `max/mean right after a ${action}, worst`),
    row(mean(settled), 'max/mean, settled'),
    row(slotsOf(reshaped), `slots moved by ${action}s`),
    row(slotsOf(made) - slotsOf(reshaped), 'slots moved by the rebalance after them'),
  ];
}

/** Max/mean in each second: of so many, or until the ring has not changed for SETTLE_SECONDS and longer than any hold time. */
function follow(strategy: Weir, second: () => Uint32Array, seconds: number, from: number): number[] {
  const course: number[] = [];
  const lately: Float64Array[] = [];
  const quiet = () => from + course.length - (strategy.changes.at(-1)?.activeAt ?? 0) / 1_000;
  while (course.length < seconds && (seconds < Infinity || course.length < 300 || quiet() < QUIET_SECONDS)) {
    const items = second();
    lately.push(strategy.loadsOf(items));
    if (lately.length > WINDOW_MS / 1_000) lately.shift();
    course.push(maxOverMeanOf(lately, strategy.shards));
    strategy.tick((from + course.length) * 1_000, items);
  }
  return course;
}

/** Beyond every hold time: what has not changed for so long stays. */
const QUIET_SECONDS = 700;
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const slotsOf = (changes: Weir['changes']) => changes.reduce((sum, { slotsMoved }) => sum + slotsMoved, 0);
