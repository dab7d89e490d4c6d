/**
 * hash -> override -> slot -> shard. The tables are written by the host, u16 an owner, checked: every slot's owner is below the shard
 * count. The routing of the call's signal stands in globals while it is scanned.
 */
import {
  MAX_SELECTOR_BYTES,
  NIL,
  OVERRIDE_SLOTS,
  OVERRIDE_TABLE_STRIDE,
  OVERRIDE_TABLES,
  SELECTOR_NAMES,
  SLOT_TABLE_STRIDE,
  SLOT_TABLES,
} from './arena';

export const BY_TRACE_ID: u32 = 0;
export const BY_SERVICE_NAME: u32 = 1;
export const BY_RESOURCE: u32 = 2;
export const BY_METRIC_NAME: u32 = 3;
export const BY_RESOURCE_ATTRIBUTE: u32 = 4;
/** Of spans and log records; metrics have no attributes of their own. */
export const BY_ITEM_ATTRIBUTE: u32 = 5;

// Column by signal: traces, metrics, logs.
const kinds = memory.data(12);
const nameBytes = memory.data(12);
const slotBits = memory.data(12);
const shardCounts = memory.data(12);
const overrideCounts = memory.data(12);

/** Of the call: 0 traces, 1 metrics, 2 logs. */
export let signal: u32 = 0;
/** One of the BY_ constants. */
export let selector: u32 = 0;
export let selectorNameAt: usize = 0;
export let selectorNameBytes: u32 = 0;
export let shardCount: u32 = 0;
export let slotTable: usize = 0;
/** Bytes an owner takes in it. */
export let ownerBytes: u32 = 2;
export let slotShift: u64 = 48;
let overrides: usize = 0;
export let overrideCount: u32 = 0;

/** Up to here an owner is a byte: the table takes half of the cache that one of u16 takes. */
export const MOST_BYTE_OWNERS: u32 = 256;

/** Makes a table of bytes of one of u16 with owners that all fit: each byte is written where a u16 has been read already. */
export function narrowOwners(table: usize, slots: u32): void {
  for (let slot: usize = 0; slot < <usize>slots; slot++) store<u8>(table + slot, load<u16>(table + (slot << 1)));
}

/** Takes a routing whose slots and selector name the host has written already; its overrides are added by addOverride. */
export function setRouting(signal: u32, kind: u32, selectorBytes: u32, bits: u32, shards: u32): void {
  const column = (<usize>signal) << 2;
  store<u32>(kinds + column, kind);
  store<u32>(nameBytes + column, selectorBytes);
  store<u32>(slotBits + column, bits);
  store<u32>(shardCounts + column, shards);
  store<u32>(overrideCounts + column, 0);
  if (shards <= MOST_BYTE_OWNERS) narrowOwners(SLOT_TABLES + <usize>signal * SLOT_TABLE_STRIDE, 1 << bits);
  const table = OVERRIDE_TABLES + <usize>signal * OVERRIDE_TABLE_STRIDE;
  for (let i: u32 = 0; i < OVERRIDE_SLOTS; i++) store<u32>(table + ((<usize>i) << 4), NIL, 8);
}

/** What an override leads to instead of a shard: the slot of each item's trace id. Above all shards, below NIL. */
export const SPREAD: u32 = 0xfffffffe;

/** At most MAX_OVERRIDES, each hash once. `shard` may be SPREAD. */
export function addOverride(signal: u32, hash: u64, shard: u32): void {
  const table = OVERRIDE_TABLES + <usize>signal * OVERRIDE_TABLE_STRIDE;
  let i = <u32>hash & (OVERRIDE_SLOTS - 1);
  while (load<u32>(table + ((<usize>i) << 4), 8) != NIL) i = (i + 1) & (OVERRIDE_SLOTS - 1);
  store<u64>(table + ((<usize>i) << 4), hash);
  store<u32>(table + ((<usize>i) << 4), shard, 8);
  const column = (<usize>signal) << 2;
  store<u32>(overrideCounts + column, load<u32>(overrideCounts + column) + 1);
}

export function useRouting(ofSignal: u32): void {
  signal = ofSignal;
  const column = (<usize>signal) << 2;
  selector = load<u32>(kinds + column);
  selectorNameAt = SELECTOR_NAMES + <usize>(signal * MAX_SELECTOR_BYTES);
  selectorNameBytes = load<u32>(nameBytes + column);
  shardCount = load<u32>(shardCounts + column);
  slotTable = SLOT_TABLES + <usize>signal * SLOT_TABLE_STRIDE;
  ownerBytes = shardCount <= MOST_BYTE_OWNERS ? 1 : 2;
  slotShift = 64 - <u64>load<u32>(slotBits + column);
  overrides = OVERRIDE_TABLES + <usize>signal * OVERRIDE_TABLE_STRIDE;
  overrideCount = load<u32>(overrideCounts + column);
}

/** Of the signal that is scanned. */
export function slotCount(): u32 {
  return 1 << (<u32>(64 - slotShift));
}

/** The shard that a hash is overridden to, SPREAD, or NIL. */
export function overrideOf(hash: u64): u32 {
  let i = <u32>hash & (OVERRIDE_SLOTS - 1);
  while (true) {
    const entry = overrides + ((<usize>i) << 4);
    const shard = load<u32>(entry, 8);
    // Twice as many places as overrides: a free one ends every search.
    if (shard == NIL || load<u64>(entry) == hash) return shard;
    i = (i + 1) & (OVERRIDE_SLOTS - 1);
  }
}
