/** What leads from one ring epoch to the next: only what differs. The control log holds changes, and whole tables just of the first epoch. */

import { z } from 'zod';
import { hashOfText } from '../kernels/hash/kernel.ts';
import { BY_TRACE_ID } from '../kernels/split/kernel.ts';
import { bySignal, SIGNALS } from '../signals.ts';
import { type RingEpoch, type ShardState, type SignalRing, shardsOfKey, slotOwners } from './ring-epoch.ts';

const whole = z.int().min(0);

export const shardSchema = z.object({ id: whole, name: z.string(), topic: z.string(), weight: z.number().positive() });

export const overrideSchema = z.object({
  keyHash: z.string().regex(/^[0-9a-f]{16}$/),
  shard: z.union([whole, z.literal(BY_TRACE_ID)]),
});

const slotMove = z.object({
  from: whole,
  to: whole,
  /** Slots, ascending, as runs: first, count, first, count, … */
  runs: z.array(whole),
});

const signalChange = z.object({
  moves: z.array(slotMove),
  added: z.array(shardSchema),
  /** They keep neither slots nor overrides; their topics stay. */
  retired: z.array(whole),
  /** Overrides that lead elsewhere from now on, to a shard or by trace id; null: that are gone. `key`: what a hot one says, for people. */
  overrides: z.array(
    z.object({ ...overrideSchema.shape, shard: overrideSchema.shape.shard.nullable(), key: z.string().optional() }),
  ),
});

export const ringChangeSchema = z.object({
  traces: signalChange.optional(),
  metrics: signalChange.optional(),
  logs: signalChange.optional(),
});

export type SlotMove = z.infer<typeof slotMove>;
export type SignalChange = z.infer<typeof signalChange>;
/** Signals that are missing stay as they are. */
export type RingChange = z.infer<typeof ringChangeSchema>;

/** Ascending slots as runs: first, count, first, count, … */
export function runsOf(slots: readonly number[]): number[] {
  const runs: number[] = [];
  for (const slot of slots) {
    const last = runs.length - 2;
    if (last >= 0 && runs[last]! + runs[last + 1]! === slot) runs[last + 1]!++;
    else runs.push(slot, 1);
  }
  return runs;
}

export function slotsOf(runs: readonly number[]): number[] {
  const slots: number[] = [];
  for (const [first, end] of stretches(runs)) for (let slot = first; slot < end; slot++) slots.push(slot);
  return slots;
}

/** Of each run its first slot and the one behind its last. */
function* stretches(runs: readonly number[]): Generator<readonly [first: number, end: number]> {
  for (let i = 0; i + 1 < runs.length; i += 2) yield [runs[i]!, runs[i]! + runs[i + 1]!];
}

export function slotCount(move: SlotMove): number {
  return move.runs.reduce((sum, value, i) => (i % 2 === 1 ? sum + value : sum), 0);
}

/** RangeError: the change does not fit the ring. */
export function applyChange(ring: RingEpoch, change: RingChange, epoch: number): RingEpoch {
  const signals = bySignal((signal) => changed(ring.signals[signal], change[signal]));
  return {
    epoch,
    signals,
    touched: bySignal((signal) => touchedBy(ring.signals[signal], signals[signal], change[signal])),
  };
}

/** The ring of `base` once more, as `epoch`: what takes back a proposal that touched these shards. */
export function revert(base: RingEpoch, proposed: RingEpoch, epoch: number): RingEpoch {
  return { epoch, signals: base.signals, touched: proposed.touched };
}

/** What takes `change` back, of which `base` is what it was made to: what it moved, added, retired and led elsewhere, the other way round. */
export function contraryOf(change: RingChange, base: RingEpoch): RingChange {
  const contrary = (of: SignalChange, ring: SignalRing): SignalChange => ({
    moves: of.moves.map(({ from, to, runs }) => ({ from: to, to: from, runs })),
    added: ring.shards.filter(({ id }) => of.retired.includes(id)),
    retired: of.added.map(({ id }) => id),
    overrides: of.overrides.map(({ keyHash }) => ({
      keyHash,
      shard: ring.overrides.get(hashOfText(keyHash)) ?? null,
    })),
  });
  return Object.fromEntries(
    SIGNALS.flatMap((signal) => {
      const of = change[signal];
      return of ? [[signal, contrary(of, base.signals[signal])]] : [];
    }),
  );
}

function changed(ring: SignalRing, change: SignalChange | undefined): SignalRing {
  if (!change) return ring;
  const misfit = (what: string) => new RangeError(`the change does not fit the ring: ${what}`);
  const shards = new Map(ring.shards.map((shard) => [shard.id, shard]));
  for (const shard of change.added) {
    if (shards.has(shard.id)) throw misfit(`there is a shard ${shard.id} already`);
    shards.set(shard.id, shard);
  }
  const slots = ring.slots.slice();
  for (const { from, to, runs } of change.moves) {
    if (!shards.has(to)) throw misfit(`slots go to shard ${to}, which is none`);
    for (const [first, end] of stretches(runs)) {
      for (let slot = first; slot < end; slot++)
        if (slots[slot] !== from) throw misfit(`slot ${slot} is shard ${slots[slot]}'s, not ${from}'s`);
      slots.fill(to, first, end);
    }
  }
  const overrides = new Map(ring.overrides);
  const { hotKeys: hotBefore, ...kept } = ring;
  const hotKeys = new Map(hotBefore);
  for (const { keyHash, shard, key } of change.overrides) {
    const hash = hashOfText(keyHash);
    if (shard === null) overrides.delete(hash);
    else overrides.set(hash, shard);
    if (shard === null) hotKeys.delete(hash);
    else if (key !== undefined) hotKeys.set(hash, key);
  }
  for (const id of change.retired) if (!shards.delete(id)) throw misfit(`shard ${id} is retired, but there is none`);
  const homeless = [...slotOwners(slots), ...overrides.values()].find(
    (owner) => owner !== BY_TRACE_ID && !shards.has(owner),
  );
  if (homeless !== undefined) throw misfit(`slots or overrides are left with shard ${homeless}, which is none`);
  return {
    ...kept,
    slots,
    overrides,
    ...(hotKeys.size > 0 && { hotKeys }),
    shards: [...shards.values()].sort((a: ShardState, b) => a.id - b.id),
  };
}

/** Shards that lose or gain slots or keys, ascending. */
function touchedBy(ring: SignalRing, next: SignalRing, change: SignalChange | undefined): readonly number[] {
  if (!change) return [];
  const gaining = [...change.moves.map(({ to }) => to), ...shardsOfKeys(next, change)];
  return [...new Set([...losersOf(ring, change), ...gaining])].sort((a, b) => a - b);
}

/** Shards that `change` takes slots or keys from. */
export function losersOf(ring: SignalRing, change: SignalChange): ReadonlySet<number> {
  return new Set([...change.moves.map(({ from }) => from), ...shardsOfKeys(ring, change)]);
}

/** Shards that keys whose overrides change go to in `ring`. */
const shardsOfKeys = (ring: SignalRing, { overrides }: SignalChange) =>
  overrides.flatMap(({ keyHash }) => [...shardsOfKey(ring, hashOfText(keyHash))]);
