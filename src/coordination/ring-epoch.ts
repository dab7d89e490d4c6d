/** What one ring epoch holds: everything that decides where an item goes. Immutable. */
import { BY_TRACE_ID, type KeySelector, type Override, type Routing } from '../kernels/split/kernel.ts';
import type { Signal } from '../signals.ts';

export interface ShardState {
  readonly id: number;
  readonly name: string;
  readonly topic: string;
  readonly weight: number;
}

export interface SignalRing {
  /** The configured key, such as `trace_id`, `resource:k8s.pod.name` or `item:http.route`. */
  readonly key: string;
  readonly slotBits: 16 | 18;
  readonly slots: Uint16Array;
  readonly shards: readonly ShardState[];
  /** By XXH64 of the key. */
  readonly overrides: ReadonlyMap<bigint, Override>;
  /** Of the overrides those that a decision about a hot key has made, and what the key says, for people. */
  readonly hotKeys?: ReadonlyMap<bigint, string>;
}

/** Shards that own a slot. Slots come in runs: only those that differ from the one before go into the Set. */
export function slotOwners(slots: Uint16Array): Set<number> {
  const owners = new Set<number>();
  for (let slot = 0; slot < slots.length; slot++)
    if (slot === 0 || slots[slot] !== slots[slot - 1]) owners.add(slots[slot]!);
  return owners;
}

/** Slot of a key's hash. */
export function slotOf({ slotBits }: Pick<SignalRing, 'slotBits'>, hash: bigint): number {
  return Number(hash >> BigInt(64 - slotBits));
}

/** Shards that items of a key go to. */
export function shardsOfKey(ring: SignalRing, hash: bigint): ReadonlySet<number> {
  const override = ring.overrides.get(hash);
  if (override === BY_TRACE_ID) return slotOwners(ring.slots);
  return new Set([override ?? ring.slots[slotOf(ring, hash)]!]);
}

export interface RingEpoch {
  /** From 1. */
  readonly epoch: number;
  readonly signals: Readonly<Record<Signal, SignalRing>>;
  /** Shards that lost or gained slots or keys by it, ascending. None by the first. */
  readonly touched: Readonly<Record<Signal, readonly number[]>>;
}

export const UNTOUCHED: RingEpoch['touched'] = { traces: [], metrics: [], logs: [] };

/** The ring epoch travels in a committed offset's metadata, written in the same transaction as the records. */
export const offsetMetadata = (ringEpoch: number) => `ring=${ringEpoch}`;

/** Null for an offset that no Weir processor committed. */
export function ringEpochOf(metadata: string): number | null {
  const match = /^ring=(\d+)$/.exec(metadata);
  return match ? Number(match[1]) : null;
}

export function selectorOf(key: string): KeySelector {
  if (key.startsWith('resource:')) return { kind: 'resource-attribute', name: key.slice('resource:'.length) };
  if (key.startsWith('item:')) return { kind: 'item-attribute', name: key.slice('item:'.length) };
  if (key === 'trace_id' || key === 'service.name' || key === 'resource' || key === 'metric.name') return { kind: key };
  throw new RangeError(`unknown routing key: ${key}`);
}

export function routingOf(ring: SignalRing): Routing {
  return {
    selector: selectorOf(ring.key),
    slotBits: ring.slotBits,
    slots: ring.slots,
    shardCount: ring.shards.reduce((most, shard) => Math.max(most, shard.id + 1), 0),
    overrides: ring.overrides,
  };
}
