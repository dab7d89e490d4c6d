import { describe, expect, it } from 'vitest';
import { COLLECTOR_FORMS } from '../../bench/pipeline/collector.ts';
import type { Measurement, Result } from '../../bench/pipeline/contender.ts';
import { FLOOR_FORMS } from '../../bench/pipeline/floor.ts';
import { ALL, contestsOf, type MatrixOptions } from '../../bench/pipeline/matrix.ts';
import type { Breakdown } from '../../bench/pipeline/profile.ts';
import { rowsOf, type WeirResult } from '../../bench/pipeline/rows.ts';
import { table } from '../../bench/pipeline/table.ts';

const OF = { spansPerRequest: 100, shards: 16, codec: 'none' };
const BREAKDOWN: Breakdown = { kernel: 0.5, checksum: 0, sockets: 0, Buffers: 0, GC: 0, 'Kafka client': 0.5, rest: 0 };

const run = (cpu: number): Measurement => ({
  spansPerSecond: 1e6 / cpu,
  cpu: { user: cpu, system: 0 },
  brokerCpuSeconds: 1,
  peakRssMb: 100,
  windowUs: [0, 1],
});

function resultOf(name: string, cpus: readonly number[], of = OF): Result {
  const never = () => Promise.reject(new Error('not in this test'));
  return {
    case: of,
    contender: { name, guarantee: 'x', start: never, written: never },
    runs: cpus.map(run),
    written: { records: 10, bytes: 2e6 },
  };
}

const weir = (cpus: readonly number[], of = OF, form = { driver: 'kafkajs', workers: 1 }): WeirResult => ({
  ...resultOf('Weir', cpus, of),
  form,
  breakdown: BREAKDOWN,
});

describe('the rows of the pipeline', () => {
  const rival = resultOf(COLLECTOR_FORMS['at-least-once'].name, [9, 90, 10]);

  it('compare within rounds, so that a round disturbed for all does not count', () => {
    const [row] = rowsOf([weir([2, 20, 2]), rival], 1e6).filter(
      ({ peer, goal }) => peer === rival.contender.name && goal,
    );
    expect(row).toMatchObject({ value: 2, peer_value: 10, ratio: 4.5, verdict: 'met' });
  });

  it('say what is missed', () => {
    const rows = rowsOf([weir([5, 5, 5]), rival], 1e6);
    expect(rows.find(({ peer, goal }) => peer === rival.contender.name && goal)?.verdict).toBe('missed');
  });

  it.each([64, 256])('judge %i shards by the same contender at 16', (shards) => {
    const many = weir([3, 3, 3], { ...OF, shards });
    const row = rowsOf([weir([2, 2, 2]), many], 1e6).find(({ peer }) => peer === 'at 16 shards');
    expect(row).toMatchObject({ value: 3, peer_value: 2, goal: { must: 1 / 1.5, aim: 1 / 1.2 }, verdict: 'met' });
    expect(row?.ratio).toBeCloseTo(2 / 3);
  });

  it('judge memory, by worker', () => {
    const [row] = rowsOf([weir([1], OF, { driver: 'kafkajs', workers: 2 })], 1e6).filter(
      ({ peer }) => peer === 'limit',
    );
    expect(row).toMatchObject({ value: 50, peer_value: 200, ratio: 4, goal: { must: 1 }, verdict: 'met' });
  });

  it('judge with the broker, too', () => {
    const rows = rowsOf([weir([2, 2, 2]), resultOf(COLLECTOR_FORMS['at-least-once'].name, [10, 10, 10])], 1e6);
    const row = rows.find(({ unit, goal }) => unit === 'CPU-s with the broker' && goal);
    expect(row).toMatchObject({ value: 3, peer_value: 11, goal: { must: 3, aim: 4 }, verdict: 'met' });
  });

  it('hold Weir against the raw protocol without demanding it', () => {
    const at = (cpu: number) =>
      rowsOf([weir([cpu]), resultOf(FLOOR_FORMS.split.name, [1])], 1e6).find(({ goal }) => goal?.aim === 1 / 1.1);
    expect(at(1.05)).toMatchObject({ unit: 'CPU-s per 1M spans', verdict: 'aim met' });
    expect(at(1.2)).toMatchObject({ verdict: 'aim missed' });
  });

  it('are per million spans, and a line for each contender', () => {
    const rows = rowsOf([weir([2, 2, 2]), rival], 2e6);
    expect(rows.find(({ unit }) => unit === 'records written per 1M spans')?.value).toBe(5);
    const [figures, comparisons] = table(rows).split('\n\n');
    expect(figures?.split('\n')).toHaveLength(4);
    expect(comparisons).toContain(`| ${rival.contender.name} |`);
  });
});

describe('the options of the pipeline', () => {
  const USUAL: MatrixOptions = {
    ...{ spans: [10, 100], shards: [16, 256], codecs: ['none'], drivers: ['kafkajs'], workers: [1] },
    full: false,
  };
  const shown = (options: Partial<MatrixOptions>) =>
    contestsOf({ ...USUAL, ...options }).map((contest) =>
      contest.map(({ case: of, forms, rivals }) => {
        const ways = forms.map(({ driver, workers }) => (driver === 'kafkajs' ? workers : driver)).join('+');
        return `${of.spansPerRequest}/${of.shards}/${of.codec} x${ways}${rivals ? ' rivals' : ''}`;
      }),
    );

  it('vary one of them at a time, in contests of the same input', () => {
    expect(shown({ codecs: ['gzip', 'none'], workers: [1, 2] })).toEqual([
      ['10/16/none x1 rivals'],
      ['100/16/gzip x1'],
      ['100/16/none x1+2 rivals', '100/256/none x1'],
    ]);
  });

  it('vary drivers with codecs, but not with the rest', () => {
    expect(shown({ codecs: ['none', 'zstd'], drivers: ['kafkajs', 'librdkafka'] })).toEqual([
      ['10/16/none x1 rivals'],
      ['100/16/none x1+librdkafka rivals', '100/256/none x1'],
      ['100/16/zstd x1+librdkafka'],
    ]);
  });

  it('vary each with each in full', () => {
    expect(shown({ full: true })).toEqual([
      ['10/16/none x1 rivals', '10/256/none x1'],
      ['100/16/none x1 rivals', '100/256/none x1'],
    ]);
    const whole = contestsOf({ ...ALL, full: true });
    expect(whole).toHaveLength(15);
    expect(whole.flat()).toHaveLength(45);
  });

  it('go by the first where the usual is not wanted', () => {
    expect(shown({ spans: [512, 10], shards: [64] })).toEqual([['512/64/none x1 rivals'], ['10/64/none x1 rivals']]);
  });
});
