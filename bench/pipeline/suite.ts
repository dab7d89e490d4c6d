/**
 * `npm run bench -- pipeline`: what Weir's processor costs, Kafka to Kafka on an embedded Apache Kafka, and with `--collector`
 * what the OpenTelemetry Collector costs for the same input in the same run.
 *
 * Each case has an input topic of its own, which every contender reads from the beginning, one after the other, round by round;
 * ratios are taken within a round. A contender is a process like a user's, measured from outside (`contender.ts`). Topics and
 * data are deleted.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { namesFor } from '../../src/names.ts';
import { buildCollector, type CollectorBuild } from '../collector/build.ts';
import type { Row } from '../rows.ts';
import { COLLECTOR_FORMS, type CollectorForm, collectorContender } from './collector.ts';
import { type Contender, type Measurement, measure, type Result, type Written } from './contender.ts';
import { fill, type Ground, openGround } from './ground.ts';
import { type Case, LEAST_CORES_FOR_TWO_WORKERS, type Matrix, matrixOf } from './matrix.ts';
import { type Breakdown, breakdownOf } from './profile.ts';
import { rowsOf, type WeirResult } from './rows.ts';
import { install, type WeirContender, weirContender } from './weir.ts';

export { shortTable, table } from './table.ts';

export async function run(
  options: Record<string, string | boolean | undefined>,
  say: (text: string) => void,
): Promise<readonly Row[]> {
  const matrix = matrixOf(options);
  const collector: CollectorBuild = matrix.collector ? await buildCollector(say) : { kind: 'absent', why: '' };
  if (collector.kind === 'absent' && collector.why !== '') say(collector.why);
  const ground = await openGround(say);
  try {
    const results: Result[] = [];
    for (const of of matrix.cases) results.push(...(await runCase(of, matrix, collector, ground, say)));
    return rowsOf(results, matrix.spans);
  } finally {
    await ground.close();
  }
}

async function runCase(
  of: Case,
  { forms, spans, rounds }: Matrix,
  collector: CollectorBuild,
  ground: Ground,
  say: (text: string) => void,
): Promise<readonly Result[]> {
  const { spansPerRequest, shards, codec } = of;
  const prefix = `bench-${spansPerRequest}-${shards}-${codec}.`;
  const title = `${spansPerRequest} spans a request, ${shards} shards, codec ${codec}`;
  await install(ground, prefix, of);
  const topic = namesFor(prefix).ingest('traces');
  say(`${title}: filling ${topic} with ${spans.toLocaleString('en')} spans …`);
  const input = { topic, ...(await fill(ground, topic, of, spans)) };

  const weirs = forms.map((form) => weirContender(ground, prefix, of, form, input));
  const rivals: Contender[] = [];
  if (collector.kind === 'built') {
    for (const form of Object.keys(COLLECTOR_FORMS) as CollectorForm[]) {
      rivals.push(await collectorContender(ground, collector.binary, prefix, of, form, input));
    }
  }
  const contenders = [...weirs, ...rivals];
  const runs = contenders.map(() => [] as Measurement[]);
  const written: Written[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      say(`${title}, round ${round + 1} of ${rounds}: ${contender.name} …`);
      const before = round === 0 ? await contender.written() : undefined;
      runs[i]!.push(await measure(contender, input.spans, ground.brokerPid));
      if (before) written.push(difference(await contender.written(), before));
    }
  }
  const results: Result[] = [];
  for (const [i, contender] of contenders.entries()) {
    const result: Result = { case: of, contender, runs: runs[i]!, written: written[i]! };
    const weir = weirs[i];
    results.push(weir === undefined ? result : await withBreakdown(result, weir));
  }
  await ground.drop(prefix);
  return results;

  async function withBreakdown(result: Result, weir: WeirContender): Promise<WeirResult> {
    say(`${title}: where the time of ${weir.name} goes …`);
    return { ...result, form: weir.form, breakdown: await profile(weir, input.spans, ground.brokerPid) };
  }
}

/** Where the time goes is a run of its own: profiling costs something, too. */
async function profile(weir: WeirContender, spans: number, brokerPid: number): Promise<Breakdown> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-profile-'));
  try {
    const { windowUs } = await measure({ start: () => weir.start(folder) }, spans, brokerPid);
    return breakdownOf(folder, windowUs);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
    ...(alone ? ['Without the Collector: that takes `--collector` and a Go toolchain.'] : []),
    ...(missed.length > 0 ? [`Missed in this run:\n${list.join('\n')}`] : []),
    ...(unmeasured
      ? [`Two workers' throughput: not measurable here, below ${LEAST_CORES_FOR_TWO_WORKERS} cores.`]
      : []),
  ].join('\n\n');
}

const MEASURED = `CPU-seconds, records and MB are per million spans; CPU-seconds of the process, the broker's apart. Medians of the rounds; ratios are
medians of the ratios within a round. Percentages are of what the JS threads did, from a profiled run of its own. All contenders wait for
acks=all; MB written are as the broker stored them, markers, headers and keys included.`;
