/**
 * `npm run bench -- pipeline`: what Weir's processor costs, Kafka to Kafka on an embedded Apache Kafka, and in the same run what
 * the OpenTelemetry Collector costs for the same input, and what the bytes alone cost on Weir's own connections (`floor.ts`).
 *
 * Each case has an input topic of its own, which every contender reads from the beginning, one after the other, round by round;
 * ratios are taken within a round. A contender is a process like a user's, measured from outside (`contender.ts`). Topics and
 * data are deleted.
 */
import { namesFor } from '../../src/names.ts';
import { buildCollector, type CollectorBuild } from '../collector/build.ts';
import { createProgress } from '../progress.ts';
import { type Row, rounded } from '../rows.ts';
import { inTemporaryFolder } from '../temporary-folder.ts';
import { COLLECTOR_FORMS, type CollectorForm, collectorContender } from './collector.ts';
import { type Contender, type Measurement, measure, type Result, type Written } from './contender.ts';
import { availableDrivers } from './drivers.ts';
import { FLOOR_FORMS, type FloorForm, floorContender } from './floor.ts';
import { fill, type Ground, openGround } from './ground.ts';
import {
  type Case,
  type Contest,
  contestsOf,
  type Entry,
  LEAST_CORES_FOR_TWO_WORKERS,
  type MatrixOptions,
} from './matrix.ts';
import { type Breakdown, breakdownOf } from './profile.ts';
import { rowsOf, titleOf, type WeirResult } from './rows.ts';
import { install, type WeirContender, weirContender } from './weir.ts';

export { shortTable, table } from './table.ts';

export interface PipelineOptions extends MatrixOptions {
  /** Whether the Collector runs beside: true wants it, absent where it can be built. */
  readonly collector?: boolean;
  /** Whether the raw protocol does, on uncompressed input. */
  readonly floor: boolean;
  /** Spans of each run. */
  readonly total: number;
  /** Every contender runs once a round, in turn. */
  readonly rounds: number;
}

export async function run(options: PipelineOptions, say: (text: string) => void): Promise<readonly Row[]> {
  const drivers = await availableDrivers(options.drivers, say);
  const contests = contestsOf({ ...options, drivers });
  const collector: CollectorBuild =
    options.collector === false ? { kind: 'absent', why: '' } : await buildCollector(say);
  if (collector.kind === 'absent' && options.collector) throw new Error(collector.why);
  if (collector.kind === 'absent' && collector.why !== '') say(collector.why);
  const rivals: Rivals = {
    collector: collector.kind === 'built' ? collector.binary : null,
    floor: options.floor,
  };
  const step = createProgress(stepsOf(contests, rivals, options.rounds), say);
  const ground = await openGround(say);
  try {
    const results: Result[] = [];
    for (const contest of contests) {
      results.push(...(await runContest(contest, options, rivals, ground, { step, say })));
      await ground.drop(PREFIX);
    }
    return rowsOf(results, options.total);
  } finally {
    await ground.close();
  }
}

const PREFIX = 'bench-';

/** Who runs beside Weir. */
interface Rivals {
  /** Its binary. */
  readonly collector: string | null;
  readonly floor: boolean;
}

const collectorForms = (entry: Entry, { collector }: Rivals) =>
  entry.rivals && collector !== null ? (Object.keys(COLLECTOR_FORMS) as CollectorForm[]) : [];
const floorForms = (entry: Entry, { floor }: Rivals) =>
  entry.rivals && floor && entry.case.codec === 'none' ? (Object.keys(FLOOR_FORMS) as FloorForm[]) : [];

/** For each entry its input, all runs, and a profiled one of each Weir. */
function stepsOf(contests: readonly Contest[], rivals: Rivals, rounds: number): number {
  return contests
    .flat()
    .map((entry) => {
      const [weirs, others] = [
        entry.forms.length,
        collectorForms(entry, rivals).length + floorForms(entry, rivals).length,
      ];
      return 1 + (weirs + others) * rounds + weirs;
    })
    .reduce((sum, steps) => sum + steps, 0);
}

/** A contender in a case, and what became of it so far. */
interface Entered {
  readonly case: Case;
  readonly contender: Contender | WeirContender;
  readonly spans: number;
  readonly runs: Measurement[];
  written?: Written;
}

interface Report {
  readonly step: (text: string) => void;
  readonly say: (text: string) => void;
}

async function runContest(
  contest: Contest,
  { total, rounds }: PipelineOptions,
  rivals: Rivals,
  ground: Ground,
  { step, say }: Report,
): Promise<readonly Result[]> {
  const entered: Entered[] = [];
  for (const entry of contest) {
    step(`${titleOf(entry.case)}: filling the input with ${total.toLocaleString('en')} spans …`);
    entered.push(...(await enter(entry, total, rivals, ground)));
  }
  for (let round = 0; round < rounds; round++) {
    for (const one of entered) {
      const { contender, runs, spans } = one;
      step(`${titleOf(one.case)}, round ${round + 1} of ${rounds}: ${contender.name} …`);
      const before = round === 0 ? await contender.written() : undefined;
      const measured = await measure(contender, spans, ground.brokerPid);
      runs.push(measured);
      if (before) one.written = difference(await contender.written(), before);
      say(`  ${inShort(measured)}`);
    }
  }
  const results: Result[] = [];
  for (const { case: of, contender, runs, spans, written } of entered) {
    const result: Result = { case: of, contender, runs, written: written! };
    if ('form' in contender) {
      step(`${titleOf(of)}: where the time of ${contender.name} goes …`);
      const breakdown = await profile(contender, spans, ground.brokerPid);
      const weir: WeirResult = { ...result, form: contender.form, breakdown };
      results.push(weir);
    } else results.push(result);
  }
  return results;
}

/** Fills the entry's input. */
async function enter(entry: Entry, total: number, rivals: Rivals, ground: Ground): Promise<Entered[]> {
  const { case: of, forms } = entry;
  const prefix = `${PREFIX}${of.spansPerRequest}-${of.shards}-${of.codec}.`;
  await install(ground, prefix, of);
  const topic = namesFor(prefix).ingest('traces');
  const input = { topic, ...(await fill(ground, topic, of, total)) };
  const contenders: Contender[] = forms.map((form) => weirContender(ground, prefix, of, form, input));
  for (const form of floorForms(entry, rivals)) {
    contenders.push(await floorContender(ground, prefix, of, form, input));
  }
  for (const form of collectorForms(entry, rivals)) {
    contenders.push(await collectorContender(ground, rivals.collector!, prefix, of, form, input));
  }
  return contenders.map((contender) => ({ case: of, contender, spans: input.spans, runs: [] }));
}

function inShort({ spansPerSecond, cpu, brokerCpuSeconds, peakRssMb }: Measurement): string {
  const seconds = `${rounded(cpu.user + cpu.system)} CPU-s per 1M spans (broker ${rounded(brokerCpuSeconds)})`;
  return `${rounded(spansPerSecond)} spans/s, ${seconds}, peak RSS ${rounded(peakRssMb)} MB`;
}

/** Where the time goes is a run of its own: profiling costs something, too. */
function profile(weir: WeirContender, spans: number, brokerPid: number): Promise<Breakdown> {
  return inTemporaryFolder('weir-profile-', async (folder) => {
    const { windowUs } = await measure({ start: () => weir.start(folder) }, spans, brokerPid);
    return breakdownOf(folder, windowUs);
  });
}

const difference = (after: Written, before: Written): Written => ({
  records: after.records - before.records,
  bytes: after.bytes - before.bytes,
});

/** What the table shows, in words. */
export function notes(rows: readonly Row[]): string {
  const missed = rows.filter((row) => row.verdict === 'missed');
  const short = (value = 0) => Number(value.toPrecision(3));
  const list = missed.map(
    (row) => `- ${row.case}: ${short(row.ratio)}x against ${row.peer}, must be ${short(row.goal!.must)}x (${row.unit})`,
  );
  const alone = !rows.some(({ peer }) => peer === COLLECTOR_FORMS.fastest.name);
  const unmeasured = rows.some((row) => row.verdict === 'not measurable here');
  return [
    MEASURED,
    ...(rows.some(({ peer }) => peer === FLOOR_FORMS.split.name) ? [FLOORS] : []),
    ...(alone ? ['Without the Collector: that takes a Go toolchain.'] : []),
    ...(missed.length > 0 ? [`Missed in this run:\n${list.join('\n')}`] : []),
    ...(unmeasured
      ? [`Two workers' throughput: not measurable here, below ${LEAST_CORES_FOR_TWO_WORKERS} cores.`]
      : []),
  ].join('\n\n');
}

const MEASURED = `CPU-seconds, records and MB are per million spans; CPU-seconds of the process, the broker's apart. Medians of the rounds; ratios are
medians of the ratios within a round, above 1 in Weir's favour: against itself at 16 shards 0.667x is 1.5 times the CPU time. Percentages are of what
the JS threads did, from a profiled run of its own. All contenders wait for acks=all; MB written are as the broker stored them, markers, headers
and keys included.`;
const FLOORS = `"Raw protocol" is a loop on Weir's own connections and requests (\`bench/pipeline/floor-process.ts\`), without a group or a pipeline: once with the kernel's split and without
transactions, which is the job at its least, and once in transactions with nothing done to the bytes but a checksum.`;
