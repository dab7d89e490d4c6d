/**
 * The split kernel: takes the values of a poll (each the body of an OTLP Export*ServiceRequest in protobuf), routes every
 * item (span, metric, log record) to a shard, and writes each shard's items as one or more requests, grouped again under their
 * resource and scope. Nothing is decoded: an item's bytes are copied as they are, and so is every field around it that the
 * kernel does not know: those of its request, its resource and its scope go with it to every output that gets an item of theirs,
 * once, in order, before what else is in there.
 *
 * Twins: `wasm.ts` (assembly/) and `reference.ts` (plain JS). `test/kernels/split.parity.test.ts` holds them to the same
 * answers, byte for byte.
 *
 * Readings that both twins share, beyond "What a record must be" in ARCHITECTURE.md:
 * - A record is walked whole before it is judged, and the first of these that holds decides: malformed; too many items,
 *   resources or scopes (CALL_BOUNDS); item_too_large; the output bound.
 * - A record that would cross a bound of the call ends the call before it; the call's record 0 is refused instead and the
 *   call goes on. Only the items, resources and scopes of records taken as `ok` count; every occurrence counts, also
 *   an empty one.
 * - Tags and lengths of up to 5 bytes are fine where fewer would do. Other varints: the low 64 bits. Enums (kind, status code, severity number): the low 32 bits, signed. A bool key is 1 for
 *   any value but 0.
 * - A key is what the first attribute of that name says, of all Resource occurrences, or of the item: if its value is missing, empty or of
 *   another type, the key is missing. A KeyValue without a key has the key ''. The value is that of its last AnyValue,
 *   and there the last of the oneof's fields 1 to 7 whose wire type is the schema's (others leave it as it is).
 * - A Status without a code leaves the code of an earlier Status as it is.
 * - The cost of an item counts fields as they stand in the input (non-minimal tags and lengths included).
 * - `trace_id` and item attributes on metrics, and `metric.name` on other signals, count as missing.
 * - Instances are the same when the bytes of both names are. Sums are sums of doubles, in input order.
 * - Overrides are looked up by the hash that is routed by, be it of the key or of its fallback.
 */
import type { Signal } from '../../signals.ts';

/** What decides where an item goes. Each falls back to service.name, then to the resource identity. */
export type KeySelector =
  | { readonly kind: 'trace_id' }
  | { readonly kind: 'service.name' }
  /** Resource identity: XXH64 over the 8 bytes (LE) of the wrapping sum of XXH64(KeyValue message) of its attributes. */
  | { readonly kind: 'resource' }
  /** Metrics only. */
  | { readonly kind: 'metric.name' }
  | { readonly kind: 'resource-attribute'; readonly name: string }
  /** An attribute of a span or log record. A metric has none: those of its data points are not its own. */
  | { readonly kind: 'item-attribute'; readonly name: string };

/** One signal's routing under one ring epoch. */
export interface Routing {
  readonly selector: KeySelector;
  /** log2 of the slot count: 16 or 18. slot = top `slotBits` bits of the key's hash. */
  readonly slotBits: 16 | 18;
  /** Owner of each slot: a shard index below `shardCount`. */
  readonly slots: Uint16Array;
  readonly shardCount: number;
  /** By key hash, before the slot table. At most MAX_OVERRIDES. */
  readonly overrides: ReadonlyMap<bigint, Override>;
}

/** Spreads a key: each of its items goes by the slot of its trace id, one without by that of its resource's identity. So a trace's part of the key stays together. */
export const BY_TRACE_ID = 'trace_id' as const;
/** A shard, or BY_TRACE_ID. */
export type Override = number | typeof BY_TRACE_ID;

/** Why a record was taken or not. A refused record leaves no trace in outputs or aggregates. */
export const RECORD_STATUS = {
  ok: 0,
  /** Not protobuf, or not the signal's message: see "What a record must be" in ARCHITECTURE.md. */
  malformed: 1,
  /** The record has no value (null). An empty value is a valid, empty request. */
  null_value: 2,
  /** An item, with its resource and scope around it, does not fit into a shard record. */
  item_too_large: 3,
  /** The record alone would write more than the poll's output bound. */
  output_too_large: 4,
  /** The record alone holds more items than the kernel has room for. */
  too_many_items: 5,
} as const;
export type RecordStatus = (typeof RECORD_STATUS)[keyof typeof RECORD_STATUS];

/** Why a request is malformed. */
export const FAULT_REASONS = [
  /** No tag, one of more than 5 bytes, field number 0, a group, or an undefined wire type. */
  'bad_tag',
  /** A number is cut off, or a varint has more than 10 bytes. */
  'bad_value',
  /** A length is cut off, has more than 5 bytes, or leads beyond the parent. */
  'bad_length',
  /** More than 100 messages inside each other, below the request. */
  'too_deep',
  /** Packed numbers that do not fill their field. */
  'bad_numbers',
] as const;
export type FaultReason = (typeof FAULT_REASONS)[number];

/** The first fault of a request. */
export interface RequestFault {
  /** Byte of the request: where the field begins; the number, for bad_numbers of varints; else the content. */
  readonly at: number;
  readonly reason: FaultReason;
}

/** What a request holds; every occurrence counts, also an empty one. */
export interface RequestCounts {
  readonly resources: number;
  readonly scopes: number;
  readonly items: number;
}

export type Validation =
  | { readonly kind: 'valid'; readonly counts: RequestCounts }
  | { readonly kind: 'malformed'; readonly fault: RequestFault };

export interface SplitInput {
  /** Values of consecutive records. Views into the kernel's own memory are not copied. */
  readonly values: ReadonlyArray<Uint8Array | null>;
  /** Group of each record, below 64: records of different groups never share an output. Absent: all are of group 0. */
  readonly groups?: Uint8Array;
}

/** Most of one call. Records beyond the first two are left for the next call. */
export const CALL_BOUNDS = {
  records: 65_536,
  /** Sum of the values. A single value above it is refused as output_too_large. */
  inputBytes: 256 * 1024 * 1024,
  items: 262_144,
  resources: 131_072,
  scopes: 131_072,
  /** A shard index is below this. */
  shards: 4_096,
} as const;

/** Of a routing. */
export const MAX_OVERRIDES = 1_024;
/** Of a call: `groups` are below it. */
export const MAX_GROUPS = 64;

export interface SplitLimits {
  /** Most bytes of one output value. */
  readonly maxRecordBytes: number;
  /** Most bytes of all outputs of one call. */
  readonly maxOutputBytes: number;
}

export interface ShardOutput {
  readonly shard: number;
  readonly group: number;
  /** A valid request. A view, valid until the result's `release()`. */
  readonly value: Uint8Array;
}

/** Latency histogram: 4 buckets an octave over ns, see `bucketOf`. Index of the last bucket is open. */
export const LATENCY_BUCKETS = 128;

/** Bucket of a latency: 0 below 1,024 ns; then four an octave; the last one for all from 2^41 ns (37 min). */
export function bucketOf(latencyNs: bigint): number {
  if (latencyNs < 1024n) return 0;
  const octave = latencyNs.toString(2).length - 1;
  const quarter = Number((latencyNs >> BigInt(octave - 2)) & 3n);
  return Math.min(1 + (octave - 10) * 4 + quarter, LATENCY_BUCKETS - 1);
}

/** Sums over items. An owned copy, no view. */
export interface Aggregate {
  items: number;
  /** Item bytes: tag, length and payload, as they stand in the request. */
  bytes: number;
  /** Traces: status code ERROR. Logs: severity number >= 17. */
  errors: number;
  /** Latency (traces: end - start, 0 when end <= start) in ns: sum, min, max over all items. min is 0 without items. Others: 0. */
  latencySumNs: number;
  latencyMinNs: number;
  latencyMaxNs: number;
}

export interface ShardAggregate extends Aggregate {
  readonly shard: number;
}

/** One service instance: what the resource says of itself. */
export interface ServiceAggregate extends Aggregate {
  /** Attribute service.name; '' when missing. Invalid UTF-8 is replaced. */
  readonly service: string;
  /** Attribute service.instance.id; '' when missing. */
  readonly instance: string;
  /** Traces only: spans of kind SERVER or CONSUMER, which are the requests that the instance served. */
  readonly requests: number;
  readonly requestErrors: number;
  readonly requestLatencySumNs: number;
  /** Counts of `requests` by latency bucket, LATENCY_BUCKETS long. */
  readonly requestLatency: Uint32Array;
}

/** A metric whose name begins with `process.`, `container.`, `k8s.` or `system.`: what the instance says of its CPU and memory. */
export interface WatchedMetric {
  readonly service: string;
  readonly instance: string;
  /** The Metric message. An owned copy. */
  readonly metric: Uint8Array;
}

/** The item bytes of a call lie end to end, and of each so many one is drawn, evenly: a key with n of them has about n times that, give or take n's root. */
export const KEY_STRIDE_BYTES = 16_384;
/** Of one call; what would be more, of a poll of 16 MiB on, is left out. */
export const MAX_KEY_SAMPLES = 1_024;

/** The keys of the items in which the drawn bytes lie, in order. What is drawn goes by the first item's content: the same call gives the same sample. */
export interface KeySamples {
  /** XXH64 that the item was routed by, overridden or not. */
  readonly hashes: BigUint64Array;
  /** That each stands for: KEY_STRIDE_BYTES for each drawn byte in the item. */
  readonly bytes: Uint32Array;
  /** What one sample of NAMED_EVERY says, the first included; see key-name.ts. May be made when first read. */
  readonly names: readonly KeyName[];
}

/** One sampled key of so many is named. */
export const NAMED_EVERY = 16;

export interface KeyName {
  readonly hash: bigint;
  /** For people, such as `service.name=checkout`. */
  readonly text: string;
}

export interface SplitAggregates {
  readonly items: number;
  /** Item bytes. */
  readonly bytes: number;
  /** Shards that got items, ascending. */
  readonly shards: readonly ShardAggregate[];
  /** Instances that had items, in order of first appearance. At most 4,096 a call; items of others are in the shards only. May be made when first read. */
  readonly services: readonly ServiceAggregate[];
  /** Slots that got items, ascending: slot, item bytes, slot, item bytes, … Items that an override gave to a shard are left out. */
  readonly slotBytes: Uint32Array;
  readonly keySamples: KeySamples;
  /** At most 1,024 a call. */
  readonly watched: readonly WatchedMetric[];
}

export interface SplitResult {
  /** Records taken from the front; the rest would have crossed a bound. At least 1 unless the input was empty. */
  readonly taken: number;
  /** `taken` of them. */
  readonly statuses: readonly RecordStatus[];
  /** By shard, then group, then order; all of one (shard, group) concatenated are a valid request in input order. */
  readonly outputs: readonly ShardOutput[];
  readonly aggregates: SplitAggregates;
  /** Gives the outputs' memory back. A second call does nothing. */
  release(): void;
}

export interface SplitKernel {
  readonly name: 'wasm' | 'reference';
  /** What the signal is routed by from the next split on. Not while one is under way: then hand the routing to `split`. */
  setRouting(signal: Signal, routing: Routing): void;
  /**
   * Splits one poll. `routing`: first takes it as `setRouting` does, in this call's turn, so that polls of two ring epochs may follow
   * each other in any order; the object of the call before costs nothing, another one a copy of its slot table (some 50 µs). Results may be held while further polls are split. Waits while the memory for results is leased
   * out, in order of call; never fails for a request up to `maxInputBytes`.
   */
  split(signal: Signal, input: SplitInput, limits: SplitLimits, routing?: Routing): Promise<SplitResult>;
  /**
   * Whether a request is one that `split` does not call malformed, and what it then holds; else its first fault. For the
   * bridge, which has to know before it acknowledges. At most CALL_BOUNDS.inputBytes. Waits for its turn, as a split does.
   */
  validate(signal: Signal, request: Uint8Array): Promise<Validation>;
  /** Whether less than half of the memory for results is leased out: who splits something that could wait takes it from nobody. */
  readonly hasRoom: boolean;
  /** Seconds spent in the kernel, copies in included. */
  readonly busySeconds: number;
  /** Bytes of memory that the kernel holds. */
  readonly memoryBytes: number;
}
