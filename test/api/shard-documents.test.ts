import { describe, expect, it } from 'vitest';
import { shardDocuments } from '../../src/api/shard-documents.ts';
import { type RingEpoch, type SignalRing, UNTOUCHED } from '../../src/coordination/ring-epoch.ts';
import type { SignalLoad } from '../../src/load/load-report.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { report, shardLoad } from '../load/reports.ts';

/** Shard 0: the first and the last quarter; shard 1: the rest; shard 2: nothing. */
const signal: SignalRing = {
  key: 'trace_id',
  slotBits: 16,
  slots: Uint16Array.from({ length: 65_536 }, (_, slot) => (slot >= 0x4000 && slot < 0xc000 ? 1 : 0)),
  shards: [0, 1, 2].map((id) => ({ id, name: `s${id}`, topic: `t${id}`, weight: 1 })),
  overrides: new Map(),
};
const ring: RingEpoch = {
  epoch: 1,
  signals: { traces: signal, metrics: signal, logs: signal },
  touched: UNTOUCHED,
};
const policy = { hotRatio: 1.5, minBytesPerSecond: 1_000 };
const NOW = 20_000;

/** A second's load of each signal's shards, in bytes. */
const describeShards = (loads: Partial<Record<Signal, readonly number[]>>) => {
  const window = new LoadWindow({ windowMs: 15_000, slotIntervalMs: 10_000 });
  const signals = SIGNALS.map(
    (of): SignalLoad => ({
      signal: of,
      shards: (loads[of] ?? []).map((bytes, id) => shardLoad(id, bytes)),
      instances: [],
      slots: null,
    }),
  );
  window.add(report(NOW, { signals }), NOW);
  return shardDocuments(ring, window, policy, NOW);
};

describe('the documents of shards', () => {
  it('show the hashes that a shard owns, from its slots, both ends included', () => {
    const [first, second, third] = describeShards({});
    expect(first!.range).toEqual({
      start_key: '0000000000000000',
      end_key: 'ffffffffffffffff',
      hash_range: [
        ['0000000000000000', '3fffffffffffffff'],
        ['c000000000000000', 'ffffffffffffffff'],
      ],
    });
    expect(second).toMatchObject({
      slots: 32_768,
      share: 0.5,
      range: { start_key: '4000000000000000', end_key: 'bfffffffffffffff' },
    });
    expect(third).toMatchObject({ slots: 0, range: { start_key: null, end_key: null, hash_range: [] } });
  });

  it('tell hot, healthy and idle shards apart', () => {
    const shards = describeShards({ traces: [10_000, 2_000], metrics: [900] });
    expect(shards.map(({ health_status: health }) => health)).toEqual([
      ...['hot', 'healthy', 'idle'],
      // Of a trickle nothing is hot.
      ...['healthy', 'idle', 'idle'],
      ...['idle', 'idle', 'idle'],
    ]);
    expect(shards[0]).toMatchObject({
      signal: 'traces',
      capacity: 1,
      current_load: { items_per_second: 100, bytes_per_second: 10_000, relative: 2.5 },
    });
  });

  it('are none before there is a ring', () => {
    const window = new LoadWindow({ windowMs: 15_000, slotIntervalMs: 10_000 });
    expect(shardDocuments(null, window, policy, NOW)).toEqual([]);
  });
});
