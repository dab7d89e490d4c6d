/** `npm run bench -- kernels`: the WASM kernels against what people would use instead, and against JS as fast as it can be made. */
import { writeFileSync } from 'node:fs';
import { bars, type Panel } from '../plot.ts';
import { machine, type Row, replaceSection } from '../rows.ts';
import { aggregateComparisons } from './aggregate.bench.ts';
import { crc32cComparisons } from './crc32c.bench.ts';
import { hashComparisons } from './hash.bench.ts';
import { type Clock, type Comparison, compare } from './interleave.ts';
import { KERNELS } from './names.ts';
import { ringComparisons } from './ring.bench.ts';
import { scoreComparisons } from './score.bench.ts';
import { splitComparisons } from './split.bench.ts';

type Comparisons = Iterable<Comparison> | AsyncIterable<Comparison>;

/** Made one by one, so that only one corpus is held at a time. */
const COMPARISONS: Readonly<Record<(typeof KERNELS)[number], () => Comparisons | Promise<Comparisons>>> = {
  split: splitComparisons,
  hash: hashComparisons,
  crc32c: crc32cComparisons,
  aggregate: aggregateComparisons,
  ring: ringComparisons,
  score: scoreComparisons,
};

export interface KernelsOptions {
  /** Absent: all. */
  readonly only?: readonly (keyof typeof COMPARISONS)[];
  readonly rounds: number;
  readonly clock: Clock;
  /** Draw docs/kernels.svg. */
  readonly plot?: boolean;
}

export async function run(
  { only = KERNELS, rounds, clock, plot: draw }: KernelsOptions,
  say: (text: string) => void,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  const panels: Panel[] = [];
  for (const name of only) {
    for await (const comparison of await COMPARISONS[name]()) {
      say(`${comparison.name}: ${comparison.case} …`);
      const measured = await compare(comparison, rounds, clock);
      rows.push(...measured);
      if (comparison.plot !== undefined) panels.push(panelOf(comparison.plot, comparison, measured));
    }
  }
  if (draw) plot(panels, clock);
  return rows;
}

const CLOCKS: Readonly<Record<Clock, string>> = { wall: 'Time by the wall clock', cpu: 'CPU time' };

/** The plain twin is made to be right, not fast: its bar would say nothing, as one of the kernel in another setting would not. */
const REFERENCE = 'reference twin';

function panelOf(title: string, { ours, unit }: Comparison, rows: readonly Row[]): Panel {
  const compared = rows.filter((row) => row.unit === unit);
  const rivals = compared
    .filter(({ peer }) => peer !== REFERENCE && !peer!.startsWith('wasm'))
    .toSorted((a, b) => a.peer_value! - b.peer_value!);
  return {
    title: title.charAt(0).toUpperCase() + title.slice(1),
    unit,
    bars: [
      { name: ours.name, value: compared[0]!.value },
      ...rivals.map((row) => ({ name: row.peer!, value: row.peer_value!, times: row.ratio! })),
    ],
  };
}

function plot(panels: readonly Panel[], clock: Clock): void {
  const heading = 'Weir’s WASM kernels beside what people would use instead';
  const root = new URL('../../', import.meta.url);
  writeFileSync(
    new URL('docs/kernels.svg', root),
    bars(heading, `${CLOCKS[clock]}; shorter is better. ${machine()}`, panels),
  );
  const picture = `![Time per item of each kernel and of its rivals: the figures are in bench/RESULTS.md](docs/kernels.svg)\n`;
  replaceSection(new URL('README.md', root), 'kernels-plot', picture);
}

/** What the table shows, in words: how it was measured, the goals that are missed, and where WASM is no better than JS. */
export function notes(rows: readonly Row[]): string {
  const list = (chosen: readonly Row[], text: (row: Row) => string) =>
    chosen.map((row) => `- ${row.name}, ${row.case}: ${text(row)}`).join('\n');
  const short = (value = 0) => Number(value.toPrecision(3));
  const shortfall = ({ goal, value, unit, ratio, peer }: Row) =>
    goal!.of === 'value'
      ? `${short(value)} ${unit}, must be ${short(goal!.must)}`
      : `${short(ratio)}x against ${peer}, must be ${short(goal!.must)}x`;
  const missed = rows.filter((row) => row.verdict === 'missed');
  const level = rows.filter((row) => row.ratio !== undefined && row.ratio < LEVEL && !row.peer?.startsWith('wasm'));
  return [
    MEASURED,
    missed.length === 0 ? 'Every goal was reached in this run.' : `Missed in this run:\n${list(missed, shortfall)}`,
    level.length === 0
      ? 'WASM was ahead of every JS rival in this run.'
      : `Where WASM is no better than JS, or hardly (below ${LEVEL}x):\n${list(level, ({ ratio, peer }) => `${short(ratio)}x against ${peer}`)}\n\n${NO_SWITCH}`,
  ].join('\n\n');
}

/** Below it the difference is not worth a second implementation. */
const LEVEL = 1.1;

const MEASURED = `Ratios are medians of the ratios within a round, so they need not be the quotient of the two medians beside them. Time is by the
wall clock unless the command says \`--clock cpu\`: CPU time of all threads, which charges protobufjs for its collector's threads too and makes
its ratios higher (1.04 to 1.7 times, in two runs one after the other). protobufjs does less than the kernel: no aggregates, no output limits, no hash of the key. The tuned JS
reads the values where they lie, the kernel copies them in; "copied out" has the kernel copy its outputs to a JS buffer, too. Its aggregates are copied out
as columns; objects for service instances are made by whoever reads them, which is not timed, and which no rival does.`;

const NO_SWITCH = `Nothing switches to JS there: a poll loses microseconds by it, a pick or a sample nanoseconds, beside a Kafka transaction of milliseconds, and
a tuned twin would have to be held to the same answers as the other two.`;
