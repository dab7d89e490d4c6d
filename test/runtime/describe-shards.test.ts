import { describe, expect, it } from 'vitest';
import type { RingEpoch, SignalRing } from '../../src/coordination/ring-epoch.ts';
import { describeShards } from '../../src/runtime/describe-shards.ts';
import type { ShardRates } from '../../src/runtime/load-window.ts';

/** Shard 0: the first and the last quarter; shard 1: the rest; shard 2: nothing. */
const signal: SignalRing = {
  key: 'trace_id',
  slotBits: 16,
  slots: Uint16Array.from({ length: 65_536 }, (_, slot) => (slot >= 0x4000 && slot < 0xc000 ? 1 : 0)),
  shards: [0, 1, 2].map((id) => ({ id, name: `s${id}`, topic: `t${id}`, weight: 1 })),
  overrides: new Map(),
};
const ring: RingEpoch = { epoch: 1, signals: { traces: signal, metrics: signal, logs: signal } };
const rates = (bytesPerSecond: number): ShardRates => ({
  itemsPerSecond: bytesPerSecond / 100,
  bytesPerSecond,
  errorsPerSecond: 0,
  meanLatencyMs: null,
});
const none = new Map<number, ShardRates>();
const options = { hotRatio: 1.5, minBytesPerSecond: 1_000 };

describe('describeShards', () => {
  it('shows the hashes that a shard owns, from its slots, both ends included', () => {
    const [first, second, third] = describeShards(ring, { traces: none, metrics: none, logs: none }, options);
    expect(first!.range).toEqual({
      start_key: '0x0000000000000000',
      end_key: '0xffffffffffffffff',
      hash_range: [
        ['0x0000000000000000', '0x3fffffffffffffff'],
        ['0xc000000000000000', '0xffffffffffffffff'],
      ],
    });
    expect(second).toMatchObject({
      slots: 32_768,
      range: { start_key: '0x4000000000000000', end_key: '0xbfffffffffffffff' },
    });
    expect(third).toMatchObject({ slots: 0, range: { start_key: null, end_key: null, hash_range: [] } });
  });

  it('tells hot, healthy, idle and unowned shards apart', () => {
    const traces = new Map([
      [0, rates(10_000)],
      [1, rates(2_000)],
    ]);
    const shards = describeShards(ring, { traces, metrics: new Map([[0, rates(900)]]), logs: none }, options);
    expect(shards.map(({ health_status }) => health_status)).toEqual([
      ...['hot', 'healthy', 'unowned'],
      ...['healthy', 'idle', 'unowned'],
      ...['idle', 'idle', 'unowned'],
    ]);
    expect(shards[0]).toMatchObject({
      signal: 'traces',
      capacity: 1,
      current_load: { items_per_second: 100, to_mean: 2.5 },
    });
  });
});
