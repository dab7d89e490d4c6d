import { describe, expect, it } from 'vitest';
import {
  decodeEvent,
  encodeEvent,
  type RingProposed,
  ringActiveEvent,
  versionOfChange,
} from '../../src/coordination/events.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { RingChange } from '../../src/coordination/ring-change.ts';
import { EMPTY_STATE, fold } from '../../src/coordination/state.ts';
import { BY_TRACE_ID, type Override } from '../../src/kernels/split/kernel.ts';
import { kernels, testConfig } from './cluster.ts';

const ring = firstRing(testConfig(), kernels.ring, kernels.hash);
const KEY = 255n;
const change = (shard: Override | null): RingChange => ({
  traces: { moves: [], added: [], retired: [], overrides: [{ keyHash: '00000000000000ff', shard }] },
});
const proposed = (of: RingChange, version: number = versionOfChange(of)): RingProposed => ({
  ...{ type: 'RingProposed', version: version as 1, at: 2, leaderEpoch: 0, sequence: 1 },
  ...{ epoch: 2, base: 1, change: of, carryMs: 0, reason: 'r' },
});
/** Where the key goes by it, once the event has been written and read. */
const overrideAfter = (event: RingProposed) => {
  const read = decodeEvent(encodeEvent(event), 'the log');
  const before = fold(EMPTY_STATE, ringActiveEvent(ring, 1), 0n);
  return fold(before, read, 1n).proposed!.ring.signals.traces.overrides.get(KEY);
};

describe('an event that holds overrides', () => {
  it.each<[Override | null, number]>([
    [BY_TRACE_ID, 2],
    [3, 1],
    [null, 1],
  ])('has for one to %s the lowest version that can say so: %i', (shard, version) => {
    expect(versionOfChange(change(shard))).toBe(version);
    expect(overrideAfter(proposed(change(shard)))).toBe(shard ?? undefined);
    const overrides: ReadonlyMap<bigint, Override> = new Map(shard === null ? [] : [[KEY, shard]]);
    const signals = { ...ring.signals, logs: { ...ring.signals.logs, overrides } };
    const active = decodeEvent(encodeEvent(ringActiveEvent({ ...ring, signals }, 1)), 'the log');
    expect(active.version).toBe(version);
    expect(fold(EMPTY_STATE, active, 0n).ring!.signals.logs.overrides).toEqual(overrides);
  });

  it('is read in its first version, too, which once had those by trace id', () => {
    expect(overrideAfter(proposed(change(BY_TRACE_ID), 1))).toBe(BY_TRACE_ID);
  });

  it('stops who does not know its version, by that and not as damage', () => {
    const later = Buffer.from(JSON.stringify(proposed(change('by a rule of tomorrow' as Override), 3)));
    expect(() => decodeEvent(later, 'the log')).toThrow(
      expect.objectContaining({
        code: 'CONTROL_LOG_UNREADABLE',
        message: expect.stringMatching(
          /^reading the log: version 3 of the event RingProposed is unknown\. Run the version/,
        ),
      }),
    );
  });
});
