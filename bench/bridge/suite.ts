/**
 * `npm run bench -- bridge`: what the bridge costs, OTLP to an embedded Apache Kafka with acks=all, beside the OpenTelemetry
 * Collector (where the Go toolchain is) and beside itself decoding and encoding each request.
 *
 * Every contender is a process like a user's and stays up; all get the same load from the same sender in turn, round by round, and
 * ratios are taken within a round. Then each gets half the rate that it reached, for its latency, and Weir as little as 50
 * requests a second, while as many records go straight to Kafka.
 */
import { namesFor } from '../../src/names.ts';
import { buildCollector } from '../collector/build.ts';
import { type Ground, KEEP_LITTLE, openGround } from '../pipeline/ground.ts';
import { install } from '../pipeline/weir.ts';
import type { Row } from '../rows.ts';
import { median } from '../statistics.ts';
import { peakRssMb } from '../usage.ts';
import { type Contender, collectorBridge, decodingBridge, OF, PREFIX, type Running, weirBridge } from './contenders.ts';
import { type Load, type Measurement, measure } from './measure.ts';
import { type Result, rowsOf } from './rows.ts';
import { straightP99Ms } from './straight.ts';

export { notes } from './rows.ts';
export { shortTable, table } from './table.ts';

const TOPIC = namesFor(PREFIX).ingest('traces');
const AS_FAST_AS_IT_GOES: Load = { requestsPerSecond: 0, warmUpMs: 1_500, measureMs: 4_000 };
const AT_HALF = { warmUpMs: 1_000, measureMs: 4_000 };
const AT_LOW_LOAD: Load = { requestsPerSecond: 50, warmUpMs: 1_000, measureMs: 6_000 };

export async function run(
  { rounds }: { readonly rounds: number },
  say: (text: string) => void,
): Promise<readonly Row[]> {
  const collector = await buildCollector(say);
  if (collector.kind === 'absent') say(collector.why);
  const ground = await openGround(say, KEEP_LITTLE);
  const running: Running[] = [];
  try {
    await install(ground, PREFIX, OF);
    const contenders = [
      weirBridge(ground, 'grpc'),
      weirBridge(ground, 'http'),
      ...(collector.kind === 'built'
        ? [collectorBridge(ground, collector.binary, 'grpc'), collectorBridge(ground, collector.binary, 'http')]
        : []),
      decodingBridge(ground),
    ];
    for (const contender of contenders) running.push(await contender.start());
    return rowsOf(await measureAll(ground, contenders, running, rounds, say));
  } finally {
    for (const one of running) await one.stop();
    await ground.close();
  }
}

async function measureAll(
  ground: Ground,
  contenders: readonly Contender[],
  running: readonly Running[],
  rounds: number,
  say: (text: string) => void,
): Promise<Result[]> {
  const on = (index: number, load: Load) =>
    measure(running[index]!, contenders[index]!.protocol, load, ground.brokerPid);
  const runs = contenders.map((): Measurement[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { name }] of contenders.entries()) {
      const before = await stored(ground);
      const measured = await on(index, AS_FAST_AS_IT_GOES);
      // One record a request: what is fast because it stores less is no contender.
      const records = (await stored(ground)) - before;
      if (records !== measured.acceptedInAll)
        throw new Error(`${name} accepted ${measured.acceptedInAll} requests, and Kafka has ${records} of them`);
      runs[index]!.push(measured);
      const cpu = measured.cpu.user + measured.cpu.system;
      say(
        `round ${round + 1} of ${rounds}, ${name}: ${Math.round(measured.spansPerSecond)} spans/s, ${cpu.toFixed(2)} CPU-s`,
      );
    }
  }
  const results: Result[] = [];
  for (const [index, contender] of contenders.entries()) {
    const own = runs[index]!;
    say(`half of its rate: ${contender.name} …`);
    const spansPerSecond = median(own.map((run) => run.spansPerSecond)) / 2;
    const half = await on(index, { ...AT_HALF, requestsPerSecond: spansPerSecond / OF.spansPerRequest });
    results.push({ contender, runs: own, half, peakRssMb: peakRssMb(running[index]!.pid) });
  }
  for (const [index, result] of results.entries()) {
    if (!result.contender.judged) continue;
    say(`${AT_LOW_LOAD.requestsPerSecond} requests a second: ${result.contender.name} …`);
    const { requestsPerSecond, warmUpMs, measureMs } = AT_LOW_LOAD;
    const straight = straightP99Ms(ground, TOPIC, {
      ...{ requestsPerSecond, forMs: warmUpMs + measureMs, spansPerRequest: OF.spansPerRequest },
    });
    const low = await on(index, AT_LOW_LOAD);
    results[index] = { ...result, low: { p99Ms: low.p99Ms, straightP99Ms: await straight } };
  }
  return results;
}

/** Records that ever were on the topic. */
async function stored({ kafka }: Ground): Promise<number> {
  const offsets = await kafka.admin.offsets(TOPIC);
  return offsets.reduce((sum, { latest }) => sum + Number(latest), 0);
}
