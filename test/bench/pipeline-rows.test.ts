import { describe, expect, it } from 'vitest';
import { COLLECTOR_FORMS } from '../../bench/pipeline/collector.ts';
import type { Measurement, Result } from '../../bench/pipeline/contender.ts';
import { matrixOf } from '../../bench/pipeline/matrix.ts';
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

const weir = (cpus: readonly number[], of = OF, form = { workers: 1 }): WeirResult => ({
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

  it('judge more shards by the same contender at 16', () => {
    const many = weir([3, 3, 3], { ...OF, shards: 256 });
    const row = rowsOf([weir([2, 2, 2]), many], 1e6).find(({ peer }) => peer === 'at 16 shards');
    expect(row).toMatchObject({ value: 3, peer_value: 2, verdict: 'met' });
    expect(row?.ratio).toBeCloseTo(2 / 3);
  });

  it('are per million spans, and a line for each contender', () => {
    const rows = rowsOf([weir([2, 2, 2]), rival], 2e6);
    expect(rows.find(({ unit }) => unit === 'records written per 1M spans')?.value).toBe(5);
    expect(table(rows).split('\n')).toHaveLength(4);
  });
});

describe('the options of the pipeline', () => {
  it('choose cases and forms, and by default stay short', () => {
    expect(matrixOf({}).cases.map(({ spansPerRequest, shards }) => [spansPerRequest, shards])).toEqual([
      [10, 16],
      [100, 16],
      [512, 16],
    ]);
    expect(matrixOf({}).forms).toHaveLength(1);
    expect(matrixOf({ spans: '100', shards: 'all' }).cases.map(({ shards }) => shards)).toEqual([16, 64, 256]);
  });

  it('refuse by name what does not exist', () => {
    expect(() => matrixOf({ codecs: 'none-such' })).toThrow(/--codecs/);
    expect(() => matrixOf({ spans: '10,x' })).toThrow('--spans x: must be an integer above 0');
  });
});
