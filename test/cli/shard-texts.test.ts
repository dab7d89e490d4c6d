import { describe, expect, it } from 'vitest';
import type { ShardDocument } from '../../src/api/documents.ts';
import { shardsText, shardText } from '../../src/cli/shard-texts.ts';

const shard: ShardDocument = {
  ...{ id: 17, name: 'checkout', signal: 'traces', topic: 'otlp_spans_shard_0017', slots: 4096, share: 0.0625 },
  range: {
    start_key: '0010000000000000',
    end_key: '00affffffffffff',
    hash_range: Array.from({ length: 10 }, (_, i) => [`00${i}0000000000000`, `00${i}ffffffffffff`] as const),
  },
  capacity: 1.5,
  current_load: {
    ...{ items_per_second: 1234.5, bytes_per_second: 500_000, relative: 1.62, fill: 0.05 },
    ...{ cpu_cores: 0.25, memory_bytes: null },
  },
  health_status: 'hot',
};

describe('the shards', () => {
  it('are shown with their share, capacity and load', () => {
    const text = shardsText({
      ...{ ringEpoch: 3, windowSeconds: 15, shards: [shard] },
      signals: [
        {
          ...{ signal: 'traces', shards: 1, bytesPerSecond: 500_000, fill: 0.05, hotShards: [17] },
          ...{ maxOverMean: 1.62, coefficientOfVariation: 0.5, gini: 0.25 },
        },
      ],
    });
    expect(text).toBe(
      'Ring epoch 3; load over the last 15 s\n' +
        'shard     topic                  slots  share  capacity  items/s   bytes/s  x mean  full    CPU  memory  health\n' +
        'checkout  otlp_spans_shard_0017   4096   6.3%       1.5     1235  500.0 kB    1.62  5.0%  25.0%       -  hot\n' +
        '\n' +
        'signal  shards   bytes/s  full  max/mean  variation  Gini  hot shards\n' +
        'traces       1  500.0 kB  5.0%      1.62       0.50  0.25  checkout\n',
    );
  });

  it('are none before there is a ring', () => {
    expect(shardsText({ ringEpoch: null, windowSeconds: 0, shards: [], signals: [] })).toContain('no ring epoch yet');
  });
});

describe('a shard', () => {
  it('is shown whole: id, topic, capacity, load, health, and the hashes that it owns', () => {
    expect(shardText(shard, 15)).toBe(
      [
        'shard     checkout (id 17, traces)',
        'topic     otlp_spans_shard_0017',
        'capacity  1.5',
        'slots     4096 (6.3% of all)',
        'load      1235 items/s, 500.0 kB/s; 1.62 times its fair share, 5.0% full; CPU 25.0% (over 15 s)',
        'health    hot',
        'hashes    10 ranges from 0010000000000000 to 00affffffffffff, both ends included',
        ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `          00${i}0000000000000 - 00${i}ffffffffffff`),
        '          … and 2 more: --json has all',
        '',
      ].join('\n'),
    );
  });

  it('may own no hash, and nobody may report load', () => {
    const range = { start_key: null, end_key: null, hash_range: [] };
    const text = shardText({ ...shard, slots: 0, share: 0, range, health_status: 'unknown' }, 0);
    expect(text).toContain('load      no load reports lately\nhealth    unknown\nhashes    none\n');
  });
});
