/** Weir itself: load reports, load window, decide() and the changes of the ring that follow from it, as they run. */
import { type Config, defaultConfig } from '../../src/config.ts';
import { type Condition, decide } from '../../src/control/decide.ts';
import { decidedChange, plannedBy } from '../../src/control/decided-change.ts';
import { decisionKey, type LastDecision, type Proposal } from '../../src/control/decision.ts';
import { slotLoadOf } from '../../src/control/slot-loads.ts';
import { applyChange, type RingChange, slotCount } from '../../src/coordination/ring-change.ts';
import { type RingEpoch, type SignalRing, UNTOUCHED } from '../../src/coordination/ring-epoch.ts';
import type { PastChange } from '../../src/coordination/subjects/rings.ts';
import {
  BY_TRACE_ID,
  KEY_STRIDE_BYTES,
  type KeySamples,
  LATENCY_BUCKETS,
  type SplitAggregates,
} from '../../src/kernels/split/kernel.ts';
import { LoadAccumulator } from '../../src/load/load-accumulator.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';
import { pastMovesOf, pastShardsOf, planInForce } from '../../src/runtime/past-moves.ts';
import { type Installation, ringShards, type Strategy, slotOf, VNODES } from './strategies.ts';

/** Of an item, as FACTS of the corpus have it. */
export const ITEM_BYTES = 425;
/** From a decision to the ring epoch in force. */
const ACTIVATION_MS = 2_000;

/** A change of the ring that is in force. */
export interface Reshaping {
  readonly kind: Proposal['kind'];
  readonly action: Proposal['action'];
  /** Virtual ms from which it was in force. */
  readonly activeAt: number;
  readonly slotsMoved: number;
}

export interface Weir extends Strategy {
  readonly changes: readonly Reshaping[];
}

export function weir(
  { shards: firstShards, hashes, kernels, key }: Installation,
  control: Config['control'] = defaultConfig().control,
): Weir {
  const { load } = defaultConfig();
  const { windowMs, tickMs } = control;
  const accumulator = new LoadAccumulator({
    reporter: { id: 'bench', role: 'process', version: 'bench' },
    slotIntervalMs: load.slotIntervalMs,
    nowUnixMs: 0,
    aggregate: kernels.aggregate,
  });
  const window = new LoadWindow({ windowMs, slotIntervalMs: load.slotIntervalMs });
  window.begin(0);
  const keySlots = Uint16Array.from(hashes, slotOf);
  const shardOf = new Uint16Array(hashes.length);
  let ring = firstRing(key, kernels.ring.assign(ringShards(firstShards), VNODES, 16), firstShards);
  let nextShard = firstShards;
  const traces = () => ring.signals.traces;
  const route = () => {
    const { slots, overrides } = traces();
    keySlots.forEach((slot, of) => {
      const override = overrides.get(hashes[of]!);
      shardOf[of] = override === undefined || override === BY_TRACE_ID ? slots[slot]! : override;
    });
  };
  route();
  const random = createSeededRandom(2);
  /** Items by shard and by slot. Those of a key that is spread have a trace id each, so any slot. */
  const place = (items: Uint32Array): Placed => {
    const { slots, overrides } = traces();
    const byShard = new Float64Array(nextShard);
    const bySlot = new Uint32Array(slots.length);
    items.forEach((count, of) => {
      const override = count === 0 ? undefined : overrides.get(hashes[of]!);
      if (override === BY_TRACE_ID) {
        for (let i = 0; i < count; i++) {
          const slot = random.integer(0, slots.length - 1);
          bySlot[slot]!++;
          byShard[slots[slot]!]!++;
        }
        return;
      }
      if (override === undefined) bySlot[keySlots[of]!]! += count;
      byShard[shardOf[of]!]! += count;
    });
    return { byShard, bySlot };
  };
  let placed = place(new Uint32Array(hashes.length));

  const last = new Map<string, LastDecision>();
  let conditions: ReadonlyMap<string, Condition> = new Map();
  let past: readonly PastChange[] = [];
  let moved = 0;
  /** Decided, but not in force yet. */
  let pending: { readonly proposal: Proposal; readonly change: RingChange; readonly at: number } | null = null;
  const changes: Reshaping[] = [];

  const changeOf = (proposal: Proposal, now: number): RingChange | null => {
    const plan = decidedChange(proposal, {
      ring,
      nextShard: { traces: nextShard, metrics: 0, logs: 0 },
      topicOf: (_, shard) => `traces-${shard}`,
      assign: (of, slotBits) =>
        kernels.ring.assign(
          of.map(({ id, weight }) => ({ shard: id, weight })),
          VNODES,
          slotBits,
        ),
      slotLoad: () => slotLoadOf(traces(), window.view(now).signals.traces),
    });
    if (plan?.kind === 'refused') throw new Error(plan.text);
    return plan?.change ?? null;
  };

  const activate = ({ proposal, change, at }: NonNullable<typeof pending>) => {
    const activeAt = at + ACTIVATION_MS;
    ring = applyChange(ring, change, ring.epoch + 1);
    nextShard = Math.max(nextShard, ...traces().shards.map(({ id }) => id + 1));
    const common = { abandons: null, carryFrom: null, decisionId: `${at}`, planned: plannedBy(proposal) };
    past = [...past, { ...common, change, at, epoch: ring.epoch, activeAt }];
    const slotsMoved = change.traces!.moves.reduce((sum, move) => sum + slotCount(move), 0);
    moved += slotsMoved;
    changes.push({ kind: proposal.kind, action: proposal.action, activeAt, slotsMoved });
    route();
  };

  return {
    name: 'Weir',
    shardOf,
    changes,
    get shards() {
      return traces().shards.map(({ id }) => id);
    },
    loadsOf(items) {
      placed = place(items);
      return placed.byShard;
    },
    get moved() {
      return moved;
    },
    tick(now, items) {
      accumulator.add('traces', aggregatesOf(placed, keySamplesOf(items, hashes)));
      for (const report of accumulator.drain(now)) window.add(report, now);
      if (pending && pending.at + ACTIVATION_MS <= now) {
        activate(pending);
        pending = null;
      }
      if (pending || now % tickMs !== 0) return;
      const decided = decide(
        {
          ...{ ring, load: window.view(now), last, conditions },
          ...{ pastMoves: pastMovesOf(past), pastShards: pastShardsOf(past) },
          plan: planInForce({ ring, proposed: null, changes: past }),
        },
        control,
        kernels.score,
        now,
      );
      conditions = decided.conditions;
      if (decided.verification) {
        const { epoch } = decided.verification.plan;
        past = past.map((of) => (of.epoch === epoch ? { ...of, planned: null } : of));
      }
      for (const { kind, subject } of decided.cleared) {
        const of = decisionKey(kind, subject);
        last.set(of, { ...last.get(of)!, cleared: true });
      }
      for (const { proposal, fingerprint, until } of decided.actions) {
        if (proposal.kind === 'capacity' && !control.capacity.apply) continue;
        const { kind, subject } = proposal;
        const id = `${now}`;
        last.set(decisionKey(kind, subject), { id, kind, subject, fingerprint, until, at: now, cleared: false });
        const change: RingChange | null = pending ? null : changeOf(proposal, now);
        if (change) pending = { proposal, change, at: now };
      }
    },
  };
}

interface Placed {
  readonly byShard: Float64Array;
  readonly bySlot: Uint32Array;
}

const NO_LOAD = {
  errors: 0,
  latencySumNs: 0,
  latencyMinNs: 0,
  latencyMaxNs: 0,
  latency: new Uint32Array(LATENCY_BUCKETS),
};

/** What the split kernel would have counted. */
function aggregatesOf({ byShard, bySlot }: Placed, keySamples: KeySamples): SplitAggregates {
  const slotBytes: number[] = [];
  bySlot.forEach((count, slot) => {
    if (count > 0) slotBytes.push(slot, count * ITEM_BYTES);
  });
  const total = byShard.reduce((sum, count) => sum + count, 0);
  return {
    items: total,
    bytes: total * ITEM_BYTES,
    shards: [...byShard.entries()].map(([shard, items]) => ({ shard, items, bytes: items * ITEM_BYTES, ...NO_LOAD })),
    services: [],
    slotBytes: Uint32Array.from(slotBytes),
    keySamples,
    watched: [],
  };
}

/** One item of each stride of the item bytes, end to end by key. */
function keySamplesOf(items: Uint32Array, hashes: BigUint64Array): KeySamples {
  const sampled: bigint[] = [];
  let [end, next] = [0, KEY_STRIDE_BYTES / 2];
  items.forEach((count, key) => {
    end += count * ITEM_BYTES;
    for (; next < end; next += KEY_STRIDE_BYTES) sampled.push(hashes[key]!);
  });
  return {
    hashes: BigUint64Array.from(sampled),
    bytes: new Uint32Array(sampled.length).fill(KEY_STRIDE_BYTES),
    names: [],
  };
}

function firstRing(key: string, slots: Uint16Array, count: number): RingEpoch {
  const shards = Array.from({ length: count }, (_, id) => ({
    ...{ id, name: `traces-${id}`, topic: `traces-${id}`, weight: 1 },
  }));
  const traces: SignalRing = { key, slotBits: 16, slots, shards, overrides: new Map() };
  return { epoch: 1, signals: { traces, metrics: traces, logs: traces }, touched: UNTOUCHED };
}
