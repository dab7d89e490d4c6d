/** That no plan is followed by its contrary: decide() over an installation whose load changes at random, in virtual time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstRingOf, VirtualLeader } from '../../bench/rebalance/virtual-leader.ts';
import { defaultConfig } from '../../src/config.ts';
import type { SignalView } from '../../src/control/load-view.ts';
import { type RingChange, slotsOf } from '../../src/coordination/ring-change.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';

const UNIT = 100_000;
const TICK_MS = 15_000;
const { control } = defaultConfig({
  control: {
    capacity: {
      ...{ apply: true, bytesPerSecond: UNIT, minShards: 2, maxShards: 12 },
      ...{ splitAfterMs: 30_000, mergeAfterMs: 60_000, holdMs: 600_000 },
    },
    rebalance: { churnSlots: 256, minBytesPerSecond: 10_000 },
  },
});
const FIRST_SHARDS = 4;
/** Fewer than a ring has, and in all else like its: a walk over the whole table is most of what decide() costs. */
const SLOTS = 1_024;
/** The load lies on so many slots, spread over the table. */
const LOADED_SLOTS = 64;
const LOADED = Array.from({ length: LOADED_SLOTS }, (_, i) => i * (SLOTS / LOADED_SLOTS) + 5);
const NO_LOAD: SignalView = {
  shardBytesPerSecond: new Map(),
  slotBytesPerSecond: new Map(),
  restBytesPerSecond: 0,
  keys: new Map(),
};

/** A time of one load. */
interface Spell {
  readonly ticks: number;
  /** Of what the first shards can carry together. */
  readonly fill: number;
  /** Of each loaded slot, in proportion. */
  readonly shares: readonly number[];
}

interface Made {
  readonly at: number;
  /** Number of the spell in which it was decided. */
  readonly spell: number;
  readonly action: string;
  readonly change: RingChange;
  /** Of a decision about capacity. */
  readonly shard: number | undefined;
  /** Of each shard, when it was decided. */
  readonly loads: ReadonlyMap<number, number>;
}

class Installation {
  readonly made: Made[] = [];
  readonly #leader = new VirtualLeader({
    ring: firstRingOf(
      Uint16Array.from({ length: SLOTS }, (_, slot) => Math.floor((slot * FIRST_SHARDS) / SLOTS)),
      FIRST_SHARDS,
      'trace_id',
    ),
    control,
    score: createReferenceScore(),
    activationMs: 2_000,
  });
  #now = 1_000_000_000;
  #spell = 0;

  get shards(): number {
    return this.#leader.ring.signals.traces.shards.length;
  }

  live({ ticks, fill, shares }: Spell): void {
    this.#spell++;
    const total = shares.reduce((sum, share) => sum + share, 0);
    const scale = (fill * FIRST_SHARDS * UNIT) / total;
    const slotLoads = new Map(LOADED.map((slot, i) => [slot, shares[i]! * scale]));
    for (let i = 0; i < ticks; i++) this.#tick(slotLoads);
  }

  #tick(slotBytesPerSecond: ReadonlyMap<number, number>): void {
    this.#now += TICK_MS;
    this.#leader.activate(this.#now);
    const { slots, shards } = this.#leader.ring.signals.traces;
    const loads = new Map(shards.map(({ id }) => [id, 0]));
    for (const [slot, load] of slotBytesPerSecond) loads.set(slots[slot]!, loads.get(slots[slot]!)! + load);
    const traces = { ...NO_LOAD, shardBytesPerSecond: loads, slotBytesPerSecond };
    const decided = this.#leader.decide(this.#now, {
      ...{ windowMs: control.windowMs, warmingUp: false, services: [] },
      signals: { traces, metrics: NO_LOAD, logs: NO_LOAD },
    });
    if (!decided) return;
    const { proposal, change } = decided;
    const shard = proposal.kind === 'capacity' ? proposal.shard : undefined;
    this.made.push({ at: this.#now, spell: this.#spell, action: proposal.action, change, loads, shard });
  }
}

const spell = fc.record({
  ticks: fc.integer({ min: 1, max: 40 }),
  fill: fc.oneof(
    fc.double({ min: 0.05, max: 0.6, noNaN: true }),
    fc.double({ min: 0.6, max: 1.2, noNaN: true }),
    fc.double({ min: 1.2, max: 2.5, noNaN: true }),
  ),
  shares: fc.array(fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 200 })), {
    minLength: LOADED_SLOTS,
    maxLength: LOADED_SLOTS,
  }),
});

const gainersOf = ({ change }: Made) => change.traces!.moves.map(({ to }) => to);
const touchedBy = ({ change }: Made) => change.traces!.moves.flatMap(({ from, to }) => [from, to]);

describe('plans under a load that changes', () => {
  it('are not followed by their contrary within the hold times, unless the load has changed by the margin', () => {
    const kinds = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(spell, { minLength: 3, maxLength: 8 }), (spells) => {
        const installation = new Installation();
        for (const one of spells) installation.live(one);
        const { made } = installation;
        for (const { action } of made) kinds.set(action, (kinds.get(action) ?? 0) + 1);
        made.forEach((first, i) => {
          for (const later of made.slice(i + 1)) {
            if (first.action === 'merge' && later.action === 'split') expect(later.spell).not.toBe(first.spell);
            if (later.at - first.at >= control.capacity.holdMs) break;
            // Whatever it touched is left alone; one that took over was half full at most.
            if (first.action === 'split' && later.action === 'merge')
              expect(touchedBy(first)).not.toContain(later.shard);
            if (first.action === 'merge' && later.action === 'split' && gainersOf(first).includes(later.shard!))
              expect(later.loads.get(later.shard!)!).toBeGreaterThan(2 * (UNIT / 2));
          }
        });
        // By slot: its last move, unless that was one that had made things worse.
        const lastMove = new Map<number, { readonly at: number; readonly from: number; readonly to: number }>();
        for (const { at, action, change } of made)
          for (const { from, to, runs } of change.traces!.moves)
            for (const slot of slotsOf(runs)) {
              const before = lastMove.get(slot);
              if (before && action !== 'reverse' && at - before.at < control.rebalance.holdMs)
                expect([before.from, before.to], `slot ${slot} at ${at}: ${action}`).not.toEqual([to, from]);
              lastMove.set(slot, { at, from, to });
            }
      }),
      { numRuns: 40 },
    );
    // What the property says nothing of where it does not happen.
    for (const action of ['split', 'merge', 'move_slots']) expect(kinds.get(action), action).toBeGreaterThan(20);
  });

  it('come to rest under a load that stays as it is', () => {
    fc.assert(
      fc.property(spell, spell, (before, stays) => {
        const installation = new Installation();
        installation.live({ ...before, ticks: 40 });
        installation.live({ ...stays, ticks: 300 });
        const made = installation.made.length;
        installation.live({ ...stays, ticks: 3 * (control.capacity.holdMs / TICK_MS) });
        expect(installation.made.slice(made).map(({ action }) => action)).toEqual([]);
        expect(installation.shards).toBeLessThanOrEqual(control.capacity.maxShards);
      }),
      { numRuns: 20 },
    );
  });
});
