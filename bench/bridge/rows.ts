/** What the runs say: the figures of each contender, and how Weir's compare, with goals where there are any. */
import { type Goal, type Row, type Verdict, verdictOf } from '../rows.ts';
import { median } from '../statistics.ts';
import { type Contender, OF } from './contenders.ts';
import type { Measurement } from './measure.ts';

export interface Result {
  readonly contender: Contender;
  /** As fast as it goes. In order of the rounds, which are the same for all contenders. */
  readonly runs: readonly Measurement[];
  /** At half of that rate. */
  readonly half: Measurement;
  readonly peakRssMb: number;
  /** Nearly alone, and what Kafka by itself took at the same time. */
  readonly low?: { readonly p99Ms: number; readonly straightP99Ms: number };
}

/** What a contender's figures are told apart by. */
export const UNITS = {
  rate: 'spans/s',
  cpu: 'CPU-s per 1M spans',
  user: 'CPU-s of it user',
  system: 'CPU-s of it system',
  broker: 'CPU-s of the broker',
  memory: 'MB peak RSS',
  halfP50: 'ms ack at half the rate, p50',
  halfP99: 'ms ack at half the rate, p99',
  lowP99: 'ms ack at 50 requests/s, p99',
  straightP99: 'ms at 50 requests/s straight to Kafka, p99',
} as const;

/** How many times less CPU time: no more than the Collector and at most 0.6 of it, by HTTP 0.5. */
const COLLECTOR_GOALS: Readonly<Record<Contender['protocol'], Goal>> = {
  grpc: { must: 1, aim: 1 / 0.6 },
  http: { must: 1, aim: 1 / 0.5 },
};
const DECODING_GOAL: Goal = { must: 3 };
const MOST_LOW_P99_MS = 25;

const base = ({ contender }: Result) => ({
  name: 'bridge',
  case: `${OF.spansPerRequest} spans a request: ${contender.name}`,
});

const cpuOf = ({ cpu }: Measurement) => cpu.user + cpu.system;

export function rowsOf(results: readonly Result[]): Row[] {
  return results.flatMap((result) => [
    ...ownRows(result),
    ...(result.contender.judged ? judgedRows(result, results) : []),
  ]);
}

function ownRows(result: Result): Row[] {
  const { runs, half } = result;
  const row = (unit: string, value: number): Row => ({ ...base(result), value, unit });
  const of = (unit: string, value: (run: Measurement) => number) => row(unit, median(runs.map(value)));
  return [
    of(UNITS.rate, (run) => run.spansPerSecond),
    of(UNITS.cpu, cpuOf),
    of(UNITS.user, ({ cpu }) => cpu.user),
    of(UNITS.system, ({ cpu }) => cpu.system),
    of(UNITS.broker, (run) => run.brokerCpuSeconds),
    row(UNITS.memory, result.peakRssMb),
    row(UNITS.halfP50, half.p50Ms),
    row(UNITS.halfP99, half.p99Ms),
  ];
}

function judgedRows(result: Result, all: readonly Result[]): Row[] {
  const { contender, low } = result;
  const peers = all.filter((other) => !other.contender.judged && other.contender.protocol === contender.protocol);
  return [...peers.map((peer) => versus(result, peer)), ...(low ? lowLoadRows(result, low) : [])];
}

/** The ratio is the median of the rounds' own. */
function versus(result: Result, peer: Result): Row {
  const ratio = median(result.runs.map((run, round) => cpuOf(peer.runs[round]!) / cpuOf(run)));
  const goal = peer.contender.decodes ? DECODING_GOAL : COLLECTOR_GOALS[peer.contender.protocol];
  return {
    ...base(result),
    value: median(result.runs.map(cpuOf)),
    unit: UNITS.cpu,
    peer: peer.contender.name,
    peer_value: median(peer.runs.map(cpuOf)),
    ratio,
    goal,
    verdict: verdictOf(ratio, goal),
  };
}

function lowLoadRows(result: Result, { p99Ms, straightP99Ms }: NonNullable<Result['low']>): Row[] {
  const ratio = MOST_LOW_P99_MS / p99Ms;
  const goal: Goal = { must: 1 };
  // Where Kafka alone takes longer, the machine is too busy to tell.
  const verdict: Verdict = straightP99Ms > MOST_LOW_P99_MS ? 'not measurable here' : verdictOf(ratio, goal);
  const limit = { peer: 'limit', peer_value: MOST_LOW_P99_MS, ratio, goal, verdict };
  return [
    { ...base(result), value: p99Ms, unit: UNITS.lowP99 },
    { ...base(result), value: p99Ms, unit: UNITS.lowP99, ...limit },
    { ...base(result), value: straightP99Ms, unit: UNITS.straightP99 },
  ];
}

/** What the table shows, in words. */
export function notes(rows: readonly Row[]): string {
  const short = (value = 0) => Number(value.toPrecision(3));
  const missed = rows
    .filter((row) => row.verdict === 'missed')
    .map(
      (row) =>
        `- ${row.case}: ${short(row.ratio)}x against ${row.peer}, must be ${short(row.goal!.must)}x (${row.unit})`,
    );
  const unmeasured = rows.some(({ verdict }) => verdict === 'not measurable here');
  const alone = !rows.some(({ peer }) => peer?.startsWith('Collector'));
  return [
    MEASURED,
    ...(alone ? ['Without the Collector: that takes a Go toolchain.'] : []),
    ...(unmeasured
      ? ['p99 at 50 requests/s: not measurable where records that go straight to Kafka take as long.']
      : []),
    ...(missed.length > 0 ? [`Missed in this run:\n${missed.join('\n')}`] : []),
  ].join('\n\n');
}

const MEASURED = `CPU-seconds are per million spans, of the bridge's process; the broker's apart. Medians of the rounds; ratios are medians of the
ratios within a round. Rates are what was reached with sender, bridge and broker on one machine: the sender takes a good part of it.
The Collector has its queue off and gathers records for 5 ms, as Weir does. The decoding form has all that Weir's bridge has, the kernel's
validation too, and decodes and encodes each request with protobufjs besides.`;
