/** Weir itself: load reports, load window, decide() and the changes of the ring that follow from it, as they run. */
import { type Config, defaultConfig } from '../../src/config.ts';
import type { Proposal } from '../../src/control/decision.ts';
import { slotCount } from '../../src/coordination/ring-change.ts';
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
import { type Installation, ringShards, type Strategy, slotOf, VNODES } from './strategies.ts';
import { firstRingOf, VirtualLeader } from './virtual-leader.ts';

/** Of a usual span (see the corpus of the pipeline bench). */
export const ITEM_BYTES = 425;
/** From a decision to the ring epoch in force. */
const ACTIVATION_MS = 2_000;

/** A change of the ring that came into force. */
export interface Reshaping {
  readonly kind: Proposal['kind'];
  readonly action: Proposal['action'];
  /** Virtual ms from which it is in force. */
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
  const slots = kernels.ring.assign(ringShards(firstShards), VNODES, 16);
  const ring = firstRingOf(slots, firstShards, key);
  const leader = new VirtualLeader({ ring, control, score: kernels.score, activationMs: ACTIVATION_MS });
  const traces = () => leader.ring.signals.traces;
  const changes: Reshaping[] = [];
  const keySlots = Uint16Array.from(hashes, slotOf);
  const shardOf = new Uint16Array(hashes.length);
  const route = () => {
    const { slots, overrides } = traces();
    keySlots.forEach((slot, index) => {
      const override = overrides.get(hashes[index]!);
      shardOf[index] = override === undefined || override === BY_TRACE_ID ? slots[slot]! : override;
    });
  };
  route();
  const random = createSeededRandom(2);
  /** Items by shard and by slot. Those of a key that is spread have a trace id each, so any slot. */
  const place = (items: Uint32Array): Placed => {
    const { slots, overrides, shards } = traces();
    const byShard = new Float64Array(1 + Math.max(...shards.map(({ id }) => id)));
    const bySlot = new Uint32Array(slots.length);
    items.forEach((count, index) => {
      const override = count === 0 ? undefined : overrides.get(hashes[index]!);
      if (override === BY_TRACE_ID) {
        for (let i = 0; i < count; i++) {
          const slot = random.integer(0, slots.length - 1);
          bySlot[slot]!++;
          byShard[slots[slot]!]!++;
        }
        return;
      }
      if (override === undefined) bySlot[keySlots[index]!]! += count;
      byShard[shardOf[index]!]! += count;
    });
    return { byShard, bySlot };
  };
  let placed = place(new Uint32Array(hashes.length));
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
      return changes.reduce((sum, { slotsMoved }) => sum + slotsMoved, 0);
    },
    tick(now, items) {
      accumulator.add('traces', aggregatesOf(placed, keySamplesOf(items, hashes)));
      for (const report of accumulator.drain(now)) window.add(report, now);
      const active = leader.activate(now);
      if (active) {
        const { proposal, change, activeAt } = active;
        const slotsMoved = change.traces!.moves.reduce((sum, move) => sum + slotCount(move), 0);
        changes.push({ kind: proposal.kind, action: proposal.action, activeAt, slotsMoved });
        route();
      }
      if (!leader.isChanging && now % tickMs === 0) leader.decide(now, window.view(now));
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
