/** What is compared: who decides, second by second, which shard a key belongs to. */
import { defaultConfig } from '../../src/config.ts';
import { type Condition, decide, type PastShards } from '../../src/control/decide.ts';
import { decisionKey, type LastDecision } from '../../src/control/decision.ts';
import type { PastMoves } from '../../src/control/rebalance.ts';
import type { PlanInForce } from '../../src/control/verify.ts';
import { type RingEpoch, type SignalRing, UNTOUCHED } from '../../src/coordination/ring-epoch.ts';
import type { Kernels } from '../../src/kernels/index.ts';
import type { RingShard } from '../../src/kernels/ring/kernel.ts';
import {
  BY_TRACE_ID,
  KEY_STRIDE_BYTES,
  type KeySamples,
  LATENCY_BUCKETS,
  type Override,
  type SplitAggregates,
} from '../../src/kernels/split/kernel.ts';
import { LoadAccumulator } from '../../src/load/load-accumulator.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';

export interface Strategy {
  readonly name: string;
  /** Shard of each key, as it is now; of one that is spread, that of its slot. */
  readonly shardOf: Uint16Array;
  /** Items that each shard gets of these. */
  loadsOf(items: Uint32Array): Float64Array;
  /** Tells it what came in the second that ends at `now` (ms), and lets it move keys. */
  tick(now: number, items: Uint32Array): void;
  /** Slots that it has moved so far; of one that knows no slots, keys. */
  readonly moved: number;
}

export interface Installation {
  readonly shards: number;
  /** What keys are. */
  readonly key: 'trace_id' | 'service.name';
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

/** All items of a key go to one shard. */
function byKey(items: Uint32Array, shardOf: Uint16Array, shards: number): Float64Array {
  const loads = new Float64Array(shards);
  items.forEach((count, key) => {
    loads[shardOf[key]!]! += count;
  });
  return loads;
}

/** A consistent-hash ring that never changes. */
export function staticRing({ shards, hashes, kernels }: Installation): Strategy {
  const slots = kernels.ring.assign(ringShards(shards), VNODES, 16);
  const shardOf = Uint16Array.from(hashes, (hash) => slots[slotOf(hash)]!);
  return { name: 'static ring', shardOf, loadsOf: (items) => byKey(items, shardOf, shards), tick() {}, moved: 0 };
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
    loadsOf: (items) => byKey(items, shardOf, shards),
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
export function weir({ shards, hashes, kernels, key: selector }: Installation): Strategy {
  const { control, load } = defaultConfig();
  const { windowMs, tickMs } = control;
  const accumulator = new LoadAccumulator({
    reporter: { id: 'bench', role: 'process', version: 'bench' },
    slotIntervalMs: load.slotIntervalMs,
    nowUnixMs: 0,
    aggregate: kernels.aggregate,
  });
  const window = new LoadWindow({ windowMs, slotIntervalMs: load.slotIntervalMs });
  window.begin(0);
  const slots = kernels.ring.assign(ringShards(shards), VNODES, 16);
  const keySlots = Uint16Array.from(hashes, slotOf);
  const shardOf = new Uint16Array(hashes.length);
  const overrides = new Map<bigint, Override>();
  const hotKeys = new Map<bigint, string>();
  const route = () =>
    keySlots.forEach((slot, key) => {
      const override = overrides.get(hashes[key]!);
      shardOf[key] = override === undefined || override === BY_TRACE_ID ? slots[slot]! : override;
    });
  route();
  const random = createSeededRandom(2);
  /** Items by shard and by slot. Those of a key that is spread have a trace id each, so any slot. */
  const place = (items: Uint32Array) => {
    const byShard = new Float64Array(shards);
    const bySlot = new Uint32Array(slots.length);
    items.forEach((count, key) => {
      const override = count === 0 ? undefined : overrides.get(hashes[key]!);
      if (override === BY_TRACE_ID) {
        for (let i = 0; i < count; i++) {
          const slot = random.integer(0, slots.length - 1);
          bySlot[slot]!++;
          byShard[slots[slot]!]!++;
        }
        return;
      }
      if (override === undefined) bySlot[keySlots[key]!]! += count;
      byShard[shardOf[key]!]! += count;
    });
    return { byShard, bySlot };
  };
  let placed = place(new Uint32Array(hashes.length));

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
      while (pending.length > 0 && pending[0]!.at <= now) pending.shift()!.apply();
      if (pending.length > 0 || now % tickMs !== 0) return;
      const ring = ringEpoch(epoch, { key: selector, slotBits: 16, slots, overrides, hotKeys }, shards);
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
        if (proposal.kind !== 'rebalance' && proposal.kind !== 'hot_key') continue;
        const { kind, subject } = proposal;
        last.set(decisionKey(kind, subject), {
          id: `${now}`,
          kind,
          subject,
          fingerprint,
          until,
          at: now,
          cleared: false,
        });
        // One change at a time.
        if (pending.length > 0) continue;
        if (proposal.kind === 'hot_key') {
          const { action, keyHash, toShard, from, to } = proposal;
          pastMoves.push({ at: now, slots: [], keys: [keyHash] });
          pending.push({
            at: now + ACTIVATION_MS,
            apply() {
              const hash = BigInt(`0x${keyHash}`);
              if (action === 'release_key') {
                overrides.delete(hash);
                hotKeys.delete(hash);
              } else {
                overrides.set(hash, toShard ?? BY_TRACE_ID);
                hotKeys.set(hash, '');
              }
              epoch++;
              const judged = { decisionId: `${now}`, signal: 'traces', epoch, activeAt: now + ACTIVATION_MS } as const;
              plan = action === 'release_key' ? null : { ...judged, from, to, moves: [], keys: [keyHash] };
              route();
            },
          });
          continue;
        }
        const { moves } = proposal;
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
              ? {
                  decisionId: `${now}`,
                  signal: 'traces',
                  epoch,
                  activeAt: now + ACTIVATION_MS,
                  from,
                  to,
                  moves,
                  keys: [],
                }
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
function aggregatesOf(
  { byShard, bySlot }: { readonly byShard: Float64Array; readonly bySlot: Uint32Array },
  keySamples: KeySamples,
): SplitAggregates {
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

function ringEpoch(epoch: number, of: Omit<SignalRing, 'shards'>, shards: number): RingEpoch {
  const traces: SignalRing = {
    ...of,
    shards: Array.from({ length: shards }, (_, id) => ({ id, name: `traces-${id}`, topic: `traces-${id}`, weight: 1 })),
  };
  return { epoch, signals: { traces, metrics: traces, logs: traces }, touched: UNTOUCHED };
}
