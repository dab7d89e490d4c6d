import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { type Condition, type Decided, decide, type PastShards } from '../../src/control/decide.ts';
import { decisionKey, type LastDecision } from '../../src/control/decision.ts';
import type { LoadView, ServiceView } from '../../src/control/load-view.ts';
import { type RingEpoch, UNTOUCHED } from '../../src/coordination/ring-epoch.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';

const policy = defaultConfig().control;
const { cooldownMs, stabilisationMs } = policy.scaling;

const UNCHANGED = { changedAt: null, reshapedAt: new Map<number, number>() };
const none = { shardBytesPerSecond: new Map(), slotBytesPerSecond: new Map(), restBytesPerSecond: 0, keys: new Map() };
const view = (...services: ServiceView[]): LoadView => ({
  windowMs: 15_000,
  warmingUp: false,
  services,
  signals: { traces: none, metrics: none, logs: none },
});
const cart = (cpu: number, n = 4, service = 'cart'): ServiceView => ({
  service,
  instances: Array.from({ length: n }, (_, i) => ({ instance: `i${i}`, cpu, memory: null, requestsPerSecond: 1 })),
});

function ringOf(shards: number): RingEpoch {
  const traces = {
    ...({ key: 'trace_id', slotBits: 16, overrides: new Map<bigint, number>() } as const),
    slots: Uint16Array.from({ length: 65_536 }, (_, slot) => slot % shards),
    shards: Array.from({ length: shards }, (_, id) => ({ id, name: `s${id}`, topic: `t${id}`, weight: 1 })),
  };
  return { epoch: 1, signals: { traces, metrics: traces, logs: traces }, touched: UNTOUCHED };
}

/** What the runtime and the control log do between ticks. */
class Leader {
  conditions: ReadonlyMap<string, Condition> = new Map();
  readonly last = new Map<string, LastDecision>();
  readonly made: [at: number, fingerprint: string][] = [];
  readonly #ring: RingEpoch | null;
  readonly #traces: PastShards;

  constructor(ring: RingEpoch | null = null, traces: PastShards = UNCHANGED) {
    this.#ring = ring;
    this.#traces = traces;
  }

  tick(now: number, load: LoadView): Decided {
    const decided = decide(
      {
        ring: this.#ring,
        load,
        last: this.last,
        conditions: this.conditions,
        pastMoves: { traces: [], metrics: [], logs: [] },
        pastShards: { traces: this.#traces, metrics: UNCHANGED, logs: UNCHANGED },
        plan: null,
      },
      policy,
      createReferenceScore(),
      now,
    );
    this.conditions = decided.conditions;
    for (const { proposal, fingerprint, until } of decided.actions) {
      const { kind, subject } = proposal;
      const id = `0-${this.made.length + 1}`;
      this.last.set(decisionKey(kind, subject), { id, kind, subject, fingerprint, until, at: now, cleared: false });
      this.made.push([now, fingerprint]);
    }
    for (const { kind, subject } of decided.cleared) {
      const key = decisionKey(kind, subject);
      this.last.set(key, { ...this.last.get(key)!, cleared: true });
    }
    return decided;
  }

  /** Ticks each second from `from` up to, not including, `to`. */
  ticks(from: number, to: number, load: LoadView): void {
    for (let now = from; now < to; now += 1_000) this.tick(now, load);
  }
}

describe('decide', () => {
  it('waits until a condition has held for the stabilisation time', () => {
    const leader = new Leader();
    leader.ticks(0, stabilisationMs, view(cart(0.9)));
    expect(leader.made).toEqual([]);
    expect(leader.tick(stabilisationMs, view(cart(0.9))).reasons).toMatchObject([{ verdict: 'decided' }]);
    expect(leader.made).toEqual([[stabilisationMs, 'scale_out 4>6']]);
  });

  it('begins to wait again after a break, and when the wish turns round', () => {
    const leader = new Leader();
    leader.ticks(0, 9_000, view(cart(0.9)));
    leader.tick(9_000, view(cart(0.5)));
    leader.ticks(10_000, 19_000, view(cart(0.9)));
    leader.ticks(19_000, 28_000, view(cart(0.1)));
    leader.ticks(28_000, 38_000, view(cart(0.9)));
    expect(leader.made).toEqual([]);
    leader.tick(38_000, view(cart(0.9)));
    expect(leader.made).toEqual([[38_000, 'scale_out 4>6']]);
  });

  it('says it once while nothing changes, however long that takes', () => {
    const leader = new Leader();
    leader.ticks(0, 10 * cooldownMs, view(cart(0.9)));
    expect(leader.made).toHaveLength(1);
    expect(leader.tick(10 * cooldownMs, view(cart(0.9))).reasons).toMatchObject([{ verdict: 'no-news' }]);
  });

  it('says more only after the cooldown', () => {
    const leader = new Leader();
    leader.ticks(0, 11_000, view(cart(0.9)));
    leader.ticks(11_000, 10_000 + cooldownMs, view(cart(1, 6)));
    expect(leader.made).toHaveLength(1);
    leader.tick(10_000 + cooldownMs, view(cart(1, 6)));
    expect(leader.made.at(-1)).toEqual([10_000 + cooldownMs, 'scale_out 6>9']);
  });

  it('says it again once the condition had cleared, not before the cooldown', () => {
    const leader = new Leader();
    leader.ticks(0, 11_000, view(cart(0.9)));
    leader.ticks(11_000, 22_000, view(cart(0.5)));
    expect(leader.last.get('scaling/cart')!.cleared).toBe(true);
    leader.ticks(22_000, 10_000 + cooldownMs, view(cart(0.9)));
    expect(leader.made).toHaveLength(1);
    leader.tick(10_000 + cooldownMs, view(cart(0.9)));
    expect(leader.made).toEqual([
      [10_000, 'scale_out 4>6'],
      [70_000, 'scale_out 4>6'],
    ]);
  });

  it('does not take a short break for cleared', () => {
    const leader = new Leader();
    leader.ticks(0, 11_000, view(cart(0.9)));
    leader.ticks(11_000, 20_000, view(cart(0.5)));
    leader.ticks(20_000, 300_000, view(cart(0.9)));
    expect(leader.made).toHaveLength(1);
  });

  it('repeats nothing under a new leader, which has only the control log', () => {
    const leader = new Leader();
    leader.ticks(0, 11_000, view(cart(0.9)));
    leader.conditions = new Map();
    leader.ticks(11_000, 300_000, view(cart(0.9)));
    expect(leader.made).toHaveLength(1);
  });

  it('clears the decision of a service that has vanished', () => {
    const leader = new Leader();
    leader.ticks(0, 11_000, view(cart(0.9)));
    leader.ticks(11_000, 22_000, view());
    expect(leader.last.get('scaling/cart')!.cleared).toBe(true);
    expect(leader.tick(22_000, view()).cleared).toEqual([]);
  });

  it('keeps services apart, and leaves out one without a name', () => {
    const leader = new Leader();
    leader.ticks(0, 12_000, view(cart(0.9), cart(0.1, 4, 'shipping'), cart(0.9, 4, '')));
    expect(leader.made.map(([, fingerprint]) => fingerprint)).toEqual(['scale_out 4>6', 'scale_in 4>1']);
  });

  it('splits what stays above its capacity, once moves cannot help, and by what was measured under the shards that there are', () => {
    const { splitAfterMs, bytesPerSecond } = policy.capacity;
    const two = ringOf(2);
    const load = (...loads: number[]): LoadView => ({
      ...view(),
      signals: { traces: { ...none, shardBytesPerSecond: new Map(loads.entries()) }, metrics: none, logs: none },
    });
    const both = load(1.1 * bytesPerSecond, 0.95 * bytesPerSecond);
    const leader = new Leader(two);
    leader.ticks(0, splitAfterMs, both);
    expect(leader.made).toEqual([]);
    leader.tick(splitAfterMs, both);
    expect(leader.made).toEqual([[splitAfterMs, 'epoch 1 split 0']]);

    const changed = new Leader(two, { changedAt: 0, reshapedAt: new Map() });
    changed.ticks(0, splitAfterMs + 15_000, both);
    expect(changed.made).toEqual([]);
    changed.tick(splitAfterMs + 15_000, both);
    expect(changed.made).toHaveLength(1);

    // The other one has room: now slots are to move, and nothing is split.
    const one = new Leader(two);
    const slots = Array.from({ length: 20 }, (_, i): [number, number] => [2 * i, 0.055 * bytesPerSecond]);
    const uneven = load(1.1 * bytesPerSecond, 0.1 * bytesPerSecond);
    const traces = { ...uneven.signals.traces, slotBytesPerSecond: new Map(slots) };
    one.ticks(0, 2 * splitAfterMs, { ...uneven, signals: { ...uneven.signals, traces } });
    expect(one.made.map(([, fingerprint]) => fingerprint)).toEqual(['epoch 1 hot 0']);
  });

  it('decides nothing before the first window is over', () => {
    const leader = new Leader();
    leader.ticks(0, 60_000, { ...view(cart(0.9)), warmingUp: true });
    expect(leader.made).toEqual([]);
  });
});
