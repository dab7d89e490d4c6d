import { describe, expect, it } from 'vitest';
import { type ConfigInput, defaultConfig } from '../../src/config.ts';
import { decodeEvent, encodeEvent, type RingActive, ringActiveEvent, ringOf } from '../../src/coordination/events.ts';
import { firstRing, keyBytes } from '../../src/coordination/first-ring.ts';
import { loadKernels } from '../../src/kernels/index.ts';
import { kernels, testConfig } from './cluster.ts';

const { hash, ring } = kernels;
type Routing = NonNullable<ConfigInput['routing']>;
const configOf = (routing: Routing) => defaultConfig({ routing: { vnodes: 8, ...routing } });

describe('the first ring epoch', () => {
  it('is the same whoever makes it, and gives each shard slots', () => {
    const first = firstRing(testConfig(), ring, hash);
    expect(firstRing(testConfig(), ring, hash)).toEqual(first);
    expect(new Set(first.signals.traces.slots)).toEqual(new Set([0, 1, 2, 3]));
    expect(first.signals.logs.shards[3]).toEqual({
      id: 3,
      name: 'logs-0003',
      topic: 'otlp_logs_shard_0003',
      weight: 1,
    });
  });

  it('has 2^18 slots above 128 shards', () => {
    const first = firstRing(configOf({ traces: { shards: 129 }, metrics: { shards: 128 } }), ring, hash);
    expect([first.signals.traces.slotBits, first.signals.traces.slots.length]).toEqual([18, 262_144]);
    expect([first.signals.metrics.slotBits, first.signals.metrics.slots.length]).toEqual([16, 65_536]);
  });

  it('goes through its event unchanged, in less than a fifth of a record with 256 shards a signal', async () => {
    // The plain twin takes seconds for as many.
    const { ring } = await loadKernels();
    const overrides = [
      { signal: 'traces' as const, key: '000102030405060708090a0b0c0d0e0f', shard: 200 },
      { signal: 'logs' as const, key: 'checkout', shard: 3 },
    ];
    const shards = { shards: 256 };
    const first = firstRing(
      defaultConfig({ routing: { traces: shards, metrics: shards, logs: shards, overrides } }),
      ring,
      hash,
    );
    const encoded = encodeEvent(ringActiveEvent(first, 5) as RingActive);
    const { epoch, signals } = decodeEvent(encoded, 'here') as RingActive;
    expect(ringOf(epoch, signals!)).toEqual(first);
    expect(encoded.length).toBeLessThan((8 * 1024 * 1024) / 5);
  });

  it('takes 32 hex digits for a trace id where the key is one, and anything else as text', () => {
    const hex = 'AB0102030405060708090a0b0c0d0e0f';
    expect([...keyBytes('trace_id', hex)]).toEqual([...Buffer.from(hex, 'hex')]);
    expect([...keyBytes('trace_id', 'checkout')]).toEqual([...Buffer.from('checkout')]);
    expect([...keyBytes('service.name', hex)]).toEqual([...Buffer.from(hex)]);
    const first = firstRing(configOf({ overrides: [{ signal: 'traces', key: 'checkout', shard: 1 }] }), ring, hash);
    expect(first.signals.traces.overrides).toEqual(new Map([[hash.xxh64(Buffer.from('checkout')), 1]]));
    expect(first.signals.logs.overrides.size).toBe(0);
  });

  it('refuses two texts of one trace id that go to different shards', () => {
    const hex = 'ab0102030405060708090a0b0c0d0e0f';
    const to = (other: number) =>
      configOf({
        overrides: [
          { signal: 'traces', key: hex, shard: 1 },
          { signal: 'traces', key: hex.toUpperCase(), shard: other },
        ],
      });
    expect(() => firstRing(to(2), ring, hash)).toThrow(/routing\.overrides\[1\].*keep one/);
    expect(firstRing(to(1), ring, hash).signals.traces.overrides.size).toBe(1);
  });
});
