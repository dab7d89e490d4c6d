import { describe, expect, it } from 'vitest';
import { shardsDocument } from '../../src/api/shard-documents.ts';
import { type RingEpoch, type SignalRing, UNTOUCHED } from '../../src/coordination/ring-epoch.ts';
import type { SignalLoad, Usage } from '../../src/load/load-report.ts';
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
const policy = { rebalance: { hotRatio: 1.5, minBytesPerSecond: 1_000 }, capacity: { bytesPerSecond: 8_000 } };
const NOW = 20_000;

/** A second's load of each signal's shards, in bytes. */
const describeLoad = (loads: Partial<Record<Signal, readonly number[]>>, usage: Usage | null = null) => {
  const window = new LoadWindow({ windowMs: 15_000, slotIntervalMs: 10_000 });
  const signals = SIGNALS.map(
    (of): SignalLoad => ({
      signal: of,
      shards: (loads[of] ?? []).map((bytes, id) => shardLoad(id, bytes)),
      instances: [],
      slots: null,
    }),
  );
  window.add(report(NOW, { signals, usage }), NOW);
  return shardsDocument(ring, window, policy, NOW);
};
const describeShards = (loads: Partial<Record<Signal, readonly number[]>>) => describeLoad(loads).shards;

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

  it('tell hot, overloaded, healthy and idle shards apart', () => {
    const shards = describeShards({ traces: [8_000, 1_600], metrics: [900], logs: [10_000, 9_000, 9_000] });
    expect(shards.map(({ health_status: health }) => health)).toEqual([
      ...['hot', 'healthy', 'idle'],
      // Of a trickle nothing is hot.
      ...['healthy', 'idle', 'idle'],
      ...['overloaded', 'overloaded', 'overloaded'],
    ]);
    expect(shards[0]).toMatchObject({
      signal: 'traces',
      capacity: 1,
      current_load: { items_per_second: 80, bytes_per_second: 8_000, relative: 2.5, fill: 1, cpu_cores: null },
    });
  });

  it('take a shard that a key has for itself for what it is meant to be, not for hot', () => {
    const keyHash = '00000000000000ab';
    const alone = { ...signal, overrides: new Map([[0xabn, 0]]) };
    const window = new LoadWindow({ windowMs: 15_000, slotIntervalMs: 10_000 });
    const keys = [{ keyHash, bytes: 7_900, errorBytes: 100, name: '' }];
    const slots = { fromUnixMs: NOW - 1_000, toUnixMs: NOW, slotBytes: [], restSlots: 0, restBytes: 0, keys };
    const shards = [8_000, 1_000, 3_000].map((bytes, id) => shardLoad(id, bytes));
    window.add(report(NOW, { signals: [{ signal: 'traces', shards, instances: [], slots }] }), NOW);
    const shown = (of: SignalRing) =>
      shardsDocument({ ...ring, signals: { ...ring.signals, traces: of } }, window, policy, NOW);
    const loads = (of: SignalRing) =>
      shown(of)
        .shards.slice(0, 3)
        .map(({ current_load: { relative }, health_status }) => [relative, health_status]);
    expect(loads(signal)).toEqual([
      [2, 'hot'],
      [0.25, 'healthy'],
      [0.75, 'healthy'],
    ]);
    expect(loads(alone)).toEqual([
      [1, 'healthy'],
      [0.5, 'healthy'],
      [1.5, 'healthy'],
    ]);
    expect(shown(alone).signals[0]).toMatchObject({ maxOverMean: 1.5, hotShards: [] });
  });

  it('show how the load of each signal lies on its shards', () => {
    const { signals } = describeLoad({ traces: [8_000, 4_000], logs: [2_000, 2_000, 2_000] });
    expect(signals[0]).toEqual({
      ...{ signal: 'traces', shards: 3, bytesPerSecond: 12_000, fill: 0.5, maxOverMean: 2, hotShards: [0] },
      coefficientOfVariation: expect.closeTo(Math.sqrt(2 / 3)),
      gini: expect.closeTo(4 / 9),
    });
    expect(signals[2]).toMatchObject({ signal: 'logs', fill: 0.25, maxOverMean: 1, gini: 0, hotShards: [] });
  });

  it('share what a processor uses among its shards, by the bytes that it routed', () => {
    const { shards } = describeLoad({ traces: [6_000, 2_000], logs: [2_000] }, { cpuCores: 0.5, rssBytes: 200e6 });
    const used = shards.map(({ current_load: { cpu_cores, memory_bytes } }) => [cpu_cores, memory_bytes]);
    expect(used).toEqual([
      [0.3, 120e6],
      [0.1, 40e6],
      // Nobody reports to have routed to the others.
      ...[2, 0, 1, 2].map(() => [null, null]),
      [0.1, 40e6],
      ...[1, 2].map(() => [null, null]),
    ]);
  });

  it('are none before there is a ring', () => {
    const window = new LoadWindow({ windowMs: 15_000, slotIntervalMs: 10_000 });
    expect(shardsDocument(null, window, policy, NOW)).toMatchObject({ ringEpoch: null, shards: [], signals: [] });
  });
});
