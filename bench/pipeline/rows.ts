/** What the runs say: the figures of each contender, and how Weir's compare, with goals where there are any. */
import { type Goal, type Row, type Verdict, verdictOf } from '../rows.ts';
import { median } from '../statistics.ts';
import { COLLECTOR_FORMS } from './collector.ts';
import type { Measurement, Result } from './contender.ts';
import { FLOOR_FORMS } from './floor.ts';
import { type Case, canMeasureWorkers, USUAL, type WeirForm } from './matrix.ts';
import { type Breakdown, PARTS, type Part } from './profile.ts';

export interface WeirResult extends Result {
  readonly form: WeirForm;
  readonly breakdown: Breakdown;
}

/** By the peer, then spans a request: how many times less CPU time. Of 16 shards. The raw protocol is to be at most 10 % cheaper. */
const GOALS: Readonly<Record<string, Readonly<Record<number, Goal>>>> = {
  [COLLECTOR_FORMS['at-least-once'].name]: { 10: { must: 8, aim: 15 }, 100: { must: 4, aim: 6 } },
  [COLLECTOR_FORMS.fastest.name]: { 10: { must: 2.8, aim: 5.5 }, 100: { must: 3.3, aim: 5 } },
  [FLOOR_FORMS.split.name]: { 100: { aim: 1 / 1.1 } },
};
const GOALS_WITH_BROKER: typeof GOALS = {
  [COLLECTOR_FORMS['at-least-once'].name]: { 100: { must: 3, aim: 4 } },
};
/** More shards may cost 1.5 times what 16 do. */
const SHARDS_GOAL: Goal = { must: 1 / 1.5, aim: 1 / 1.2 };
const WORKERS_GOAL: Goal = { must: 1.7 };
const MOST_MB_A_WORKER = 200;

const spansPerSecond = (run: Measurement) => run.spansPerSecond;
const cpuOf = ({ cpu }: Measurement) => cpu.user + cpu.system;
const cpuWithBroker = (run: Measurement) => cpuOf(run) + run.brokerCpuSeconds;

/** What a contender's figures are told apart by. */
export const UNITS = {
  rate: 'spans/s',
  cpu: 'CPU-s per 1M spans',
  user: 'CPU-s of it user',
  system: 'CPU-s of it system',
  broker: 'CPU-s of the broker',
  withBroker: 'CPU-s with the broker',
  records: 'records written per 1M spans',
  bytes: 'MB written per 1M spans',
  memory: 'MB peak RSS',
  pollP50: 'ms a poll, p50',
  pollP99: 'ms a poll, p99',
} as const;

export const titleOf = ({ spansPerRequest, shards, codec }: Case): string =>
  `${spansPerRequest} spans a request, ${shards} shards${codec === 'none' ? '' : `, ${codec}`}`;

const base = ({ case: of, contender }: Result) => ({
  name: 'pipeline',
  case: `${titleOf(of)}: ${contender.name} (${contender.guarantee})`,
});

/** The unit of a part's share of the time. */
export const share = (part: Part) => `% ${part}`;

const isWeir = (result: Result): result is WeirResult => 'form' in result;

/** The goals are set for this one. */
const isJudged = ({ case: { codec }, form: { driver, workers } }: WeirResult) =>
  codec === USUAL.codecs && driver === USUAL.drivers && workers === USUAL.workers;

export function rowsOf(results: readonly Result[], spans: number): Row[] {
  return results.flatMap((result) => [
    ...ownRows(result, spans / 1e6),
    ...(isWeir(result) ? [...comparisons(result, results), ...breakdownRows(result)] : []),
  ]);
}

/** Of one contender by itself. */
function ownRows(result: Result, millions: number): Row[] {
  const { runs, written } = result;
  const row = (unit: string, value: number): Row => ({ ...base(result), value, unit });
  const of = (unit: string, value: (run: Measurement) => number) => row(unit, median(runs.map(value)));
  return [
    of(UNITS.rate, spansPerSecond),
    of(UNITS.cpu, cpuOf),
    of(UNITS.user, ({ cpu }) => cpu.user),
    of(UNITS.system, ({ cpu }) => cpu.system),
    of(UNITS.broker, ({ brokerCpuSeconds }) => brokerCpuSeconds),
    of(UNITS.memory, ({ peakRssMb }) => peakRssMb),
    row(UNITS.records, written.records / millions),
    row(UNITS.bytes, written.bytes / 1e6 / millions),
    ...(runs[0]?.pollMs
      ? [of(UNITS.pollP50, ({ pollMs }) => pollMs!.p50), of(UNITS.pollP99, ({ pollMs }) => pollMs!.p99)]
      : []),
  ];
}

/** Of Weir with its rivals, with itself at fewer shards, with one worker, and with its memory limit. */
function comparisons(result: WeirResult, all: readonly Result[]): Row[] {
  const { spansPerRequest, shards } = result.case;
  const judged = isJudged(result);
  const peers = all.filter((other) => other.case === result.case && !isWeir(other));
  const at16 = all.find(
    ({ case: other, contender }) =>
      contender.name === result.contender.name &&
      other.spansPerRequest === spansPerRequest &&
      other.codec === result.case.codec &&
      other.shards === USUAL.shards,
  );
  const alone = all
    .filter(isWeir)
    .find(
      (other) => other.case === result.case && other.form.driver === result.form.driver && other.form.workers === 1,
    );
  const goalOf = (goals: typeof GOALS, { contender }: Result) =>
    judged && shards === USUAL.shards ? goals[contender.name]?.[spansPerRequest] : undefined;
  return [
    ...peers.flatMap((peer) => [
      versus(result, peer, UNITS.cpu, cpuOf, goalOf(GOALS, peer)),
      versus(result, peer, UNITS.withBroker, cpuWithBroker, goalOf(GOALS_WITH_BROKER, peer)),
    ]),
    ...(at16 && at16 !== result
      ? [versus(result, at16, UNITS.cpu, cpuOf, judged ? SHARDS_GOAL : undefined, 'at 16 shards')]
      : []),
    ...(alone && alone !== result ? [versusOneWorker(result, alone)] : []),
    ...(result.form.driver === USUAL.drivers ? [versusLimit(result)] : []),
  ];
}

/** Less is better. The ratio is the median of the rounds' own. */
function versus(
  result: Result,
  peer: Result,
  unit: string,
  value: (run: Measurement) => number,
  goal: Goal | undefined,
  peerName = peer.contender.name,
): Row {
  const ratio = median(result.runs.map((run, round) => value(peer.runs[round]!) / value(run)));
  return {
    ...base(result),
    value: median(result.runs.map(value)),
    unit,
    peer: peerName,
    peer_value: median(peer.runs.map(value)),
    ratio,
    ...(goal && { goal, verdict: verdictOf(ratio, goal) }),
  };
}

function versusOneWorker(result: Result, alone: Result): Row {
  const ratio = median(result.runs.map((run, round) => run.spansPerSecond / alone.runs[round]!.spansPerSecond));
  const verdict: Verdict = canMeasureWorkers() ? verdictOf(ratio, WORKERS_GOAL) : 'not measurable here';
  return {
    ...base(result),
    value: median(result.runs.map(spansPerSecond)),
    unit: UNITS.rate,
    peer: 'one worker',
    peer_value: median(alone.runs.map(spansPerSecond)),
    ratio,
    goal: WORKERS_GOAL,
    verdict,
  };
}

function versusLimit(result: WeirResult): Row {
  const value = median(result.runs.map((run) => run.peakRssMb)) / result.form.workers;
  const goal: Goal = { must: 1 };
  const ratio = MOST_MB_A_WORKER / value;
  return {
    ...base(result),
    value,
    unit: 'MB peak RSS a worker',
    peer: 'limit',
    peer_value: MOST_MB_A_WORKER,
    ratio,
    goal,
    verdict: verdictOf(ratio, goal),
  };
}

const breakdownRows = (result: WeirResult): Row[] =>
  PARTS.map((part) => ({ ...base(result), value: 100 * result.breakdown[part], unit: share(part) }));
