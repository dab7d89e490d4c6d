/** What is compared: who decides, second by second, which shard a key belongs to. */
import { defaultConfig } from '../../src/config.ts';
import { type Condition, decide, type PastShards } from '../../src/control/decide.ts';
import { decisionKey, type LastDecision } from '../../src/control/decision.ts';
import type { PastMoves } from '../../src/control/rebalance.ts';
import type { PlanInForce } from '../../src/control/verify.ts';
import { type RingEpoch, type SignalRing, UNTOUCHED } from '../../src/coordination/ring-epoch.ts';
import type { Kernels } from '../../src/kernels/index.ts';
import type { RingShard } from '../../src/kernels/ring/kernel.ts';
import { LATENCY_BUCKETS, type SplitAggregates } from '../../src/kernels/split/kernel.ts';
import { LoadAccumulator } from '../../src/load/load-accumulator.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';

export interface Strategy {
  readonly name: string;
  /** Shard of each key, as it is now. */
  readonly shardOf: Uint16Array;
  /** Tells it what came in the second that ends at `now` (ms), and lets it move keys. */
  tick(now: number, items: Uint32Array): void;
  /** Slots that it has moved so far; of one that knows no slots, keys. */
  readonly moved: number;
}

export interface Installation {
  readonly shards: number;
  /** Hash of each key. */
  readonly hashes: BigUint64Array;
  readonly kernels: Kernels;
}

const VNODES = 160;
/** Of an item, as FACTS of the corpus have it. */
const ITEM_BYTES = 425;
/** From a decision to the ring epoch in force. */
const ACTIVATION_MS = 2_000;

function slotOf(hash: bigint): number {
  return Number(hash >> 48n);
}

function ringShards(shards: number): RingShard[] {
  return Array.from({ length: shards }, (_, shard) => ({ shard, weight: 1 }));
}

/** A consistent-hash ring that never changes. */
export function staticRing({ shards, hashes, kernels }: Installation): Strategy {
  const slots = kernels.ring.assign(ringShards(shards), VNODES, 16);
  const shardOf = Uint16Array.from(hashes, (hash) => slots[slotOf(hash)]!);
  return { name: 'static ring', shardOf, tick() {}, moved: 0 };
}

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016), with whole keys, as a trace has to stay in one place: after each
 * window the keys are placed anew by what each brought in it, in the order of arrival, at the first shard along the ring that has room for
 * it below `factor` times the mean. It has to count every key.
 */
export function boundedLoads({ shards, hashes, kernels }: Installation, factor: number, windowMs: number): Strategy {
  const { slots } = kernels.ring.build(ringShards(shards), VNODES, 16);
  const shardOf = Uint16Array.from(hashes, (hash) => slots[slotOf(hash)]!);
  const counted = new Float64Array(hashes.length);
  let moved = 0;
  let windowEnd = windowMs;
  return {
    name: `bounded loads, c = ${factor}`,
    shardOf,
    get moved() {
      return moved;
    },
    tick(now, items) {
      items.forEach((count, key) => {
        counted[key]! += count;
      });
      if (now < windowEnd) return;
      windowEnd = now + windowMs;
      const limit = (factor * counted.reduce((sum, count) => sum + count, 0)) / shards;
      const loads = new Float64Array(shards);
      counted.forEach((load, key) => {
        if (load === 0) return;
        const home = slotOf(hashes[key]!);
        let shard = slots[home]!;
        for (let step = 1; loads[shard]! + load > limit && step < slots.length; step++) {
          shard = slots[(home + step) % slots.length]!;
        }
        loads[shard]! += load;
        if (shardOf[key] !== shard) moved++;
        shardOf[key] = shard;
      });
      counted.fill(0);
    },
  };
}

/** Weir: load reports, load window and decide() as they run, with their default settings. */
export function weir({ shards, hashes, kernels }: Installation): Strategy {
  const { control, load } = defaultConfig();
  const { windowMs, tickMs } = control;
  const accumulator = new LoadAccumulator({
    reporter: { id: 'bench', role: 'process', version: 'bench' },
    slotIntervalMs: load.slotIntervalMs,
    nowUnixMs: 0,
  });
  const window = new LoadWindow({ windowMs, slotIntervalMs: load.slotIntervalMs });
  window.begin(0);
  const slots = kernels.ring.assign(ringShards(shards), VNODES, 16);
  const keySlots = Uint16Array.from(hashes, slotOf);
  const shardOf = new Uint16Array(hashes.length);
  const route = () =>
    keySlots.forEach((slot, key) => {
      shardOf[key] = slots[slot]!;
    });
  route();

  const last = new Map<string, LastDecision>();
  const pastMoves: PastMoves[] = [];
  let pastShards = UNCHANGED;
  let conditions: ReadonlyMap<string, Condition> = new Map();
  let epoch = 1;
  let moved = 0;
  let plan: PlanInForce | null = null;
  const pending: { readonly at: number; apply(): void }[] = [];
  return {
    name: 'Weir',
    shardOf,
    get moved() {
      return moved;
    },
    tick(now, items) {
      accumulator.add('traces', aggregatesOf(items, keySlots, slots));
      for (const report of accumulator.drain(now)) window.add(report, now);
      while (pending.length > 0 && pending[0]!.at <= now) pending.shift()!.apply();
      if (pending.length > 0 || now % tickMs !== 0) return;
      const ring = ringEpoch(epoch, slots, shards);
      const past = {
        pastMoves: { traces: pastMoves, metrics: [], logs: [] },
        pastShards: { traces: pastShards, metrics: UNCHANGED, logs: UNCHANGED },
      };
      const decided = decide(
        { ring, load: window.view(now), last, conditions, ...past, plan },
        control,
        kernels.score,
        now,
      );
      conditions = decided.conditions;
      if (decided.verification) plan = null;
      for (const { kind, subject } of decided.cleared) {
        const key = decisionKey(kind, subject);
        last.set(key, { ...last.get(key)!, cleared: true });
      }
      for (const { proposal, fingerprint, until } of decided.actions) {
        if (proposal.kind !== 'rebalance') continue;
        const { kind, subject, moves } = proposal;
        last.set(decisionKey(kind, subject), {
          id: `${now}`,
          kind,
          subject,
          fingerprint,
          until,
          at: now,
          cleared: false,
        });
        if (moves.length === 0) continue;
        pastMoves.push({ at: now, slots: moves.flatMap((move) => move.slots) });
        pending.push({
          at: now + ACTIVATION_MS,
          apply() {
            for (const move of moves) for (const slot of move.slots) slots[slot] = move.to;
            moved += proposal.slotsMoved;
            epoch++;
            pastShards = { ...UNCHANGED, changedAt: now + ACTIVATION_MS };
            const judged = proposal.action === 'move_slots';
            const { from, to } = proposal;
            plan = judged
              ? { decisionId: `${now}`, signal: 'traces', epoch, activeAt: now + ACTIVATION_MS, from, to, moves }
              : null;
            route();
          },
        });
      }
    },
  };
}

const UNCHANGED: PastShards = { changedAt: null, reshapedAt: new Map() };

const NO_LOAD = {
  errors: 0,
  latencySumNs: 0,
  latencyMinNs: 0,
  latencyMaxNs: 0,
  latency: new Uint32Array(LATENCY_BUCKETS),
};

/** What the split kernel would have counted. */
function aggregatesOf(items: Uint32Array, keySlots: Uint16Array, slots: Uint16Array): SplitAggregates {
  const bySlot = new Uint32Array(slots.length);
  const byShard = new Map<number, number>();
  let total = 0;
  items.forEach((count, key) => {
    if (count === 0) return;
    const slot = keySlots[key]!;
    bySlot[slot]! += count;
    const shard = slots[slot]!;
    byShard.set(shard, (byShard.get(shard) ?? 0) + count);
    total += count;
  });
  const slotBytes: number[] = [];
  bySlot.forEach((count, slot) => {
    if (count > 0) slotBytes.push(slot, count * ITEM_BYTES);
  });
  return {
    items: total,
    bytes: total * ITEM_BYTES,
    shards: [...byShard].map(([shard, count]) => ({ shard, items: count, bytes: count * ITEM_BYTES, ...NO_LOAD })),
    services: [],
    slotBytes: Uint32Array.from(slotBytes),
    watched: [],
  };
}

function ringEpoch(epoch: number, slots: Uint16Array, shards: number): RingEpoch {
  const traces: SignalRing = {
    key: 'trace_id',
    slotBits: 16,
    slots,
    shards: Array.from({ length: shards }, (_, id) => ({ id, name: `traces-${id}`, topic: `traces-${id}`, weight: 1 })),
    overrides: new Map(),
  };
  return { epoch, signals: { traces, metrics: traces, logs: traces }, touched: UNTOUCHED };
}
