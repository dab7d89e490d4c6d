/** What a member says of its load, once a second, on `weir.load`. On the wire: `proto/weir/v1/load.proto`, by `codec.ts`. */
import type { Signal } from '../signals.ts';

/** A report of more bytes is split into parts. */
export const MAX_REPORT_BYTES = 64 * 1024;
/** Slots that one SlotLoad lists; the rest are summed. */
export const MAX_REPORTED_SLOTS = 4_096;
/** Characters of a service or instance name that a report carries. */
export const MAX_NAME_LENGTH = 256;

export const ROLES = ['bridge', 'process', 'control', 'deliver'] as const;

export interface Reporter {
  /** Unique among running members, and new at each start. */
  readonly id: string;
  readonly role: (typeof ROLES)[number];
  readonly version: string;
}

export interface ShardLoad {
  readonly shard: number;
  readonly items: number;
  /** Item bytes. */
  readonly bytes: number;
  readonly errors: number;
  readonly latencySumNs: number;
  readonly latencyMinNs: number;
  readonly latencyMaxNs: number;
}

export interface InstanceLoad {
  readonly service: string;
  readonly instance: string;
  readonly items: number;
  readonly bytes: number;
  readonly requests: number;
  readonly requestErrors: number;
  readonly requestLatencySumNs: number;
  /** Sparse: bucket (see `bucketOf` of the split kernel), count, bucket, count, … */
  readonly requestLatency: readonly number[];
  /** 0..1, null when unknown. */
  readonly cpuUtilisation: number | null;
  readonly memoryUtilisation: number | null;
}

/** Keys that one SlotLoad lists: of 64 shards no more have half of a fair share on one that counts them all. */
export const MAX_REPORTED_KEYS = 64;

/** By samples of the item bytes, see KeySamples of the split kernel. */
export interface KeyLoad {
  /** 16 hex digits of XXH64. */
  readonly keyHash: string;
  readonly bytes: number;
  /** What `bytes` may be wrong by: two standard deviations of the sampling, and what the counter may have from other keys. */
  readonly errorBytes: number;
  /** For people, such as `service.name=checkout`; '' where no sample was named. */
  readonly name: string;
}

export interface SlotLoad {
  readonly fromUnixMs: number;
  readonly toUnixMs: number;
  /** Ascending: slot, bytes, slot, bytes, … */
  readonly slotBytes: readonly number[];
  /** Slots with items that are not listed. */
  readonly restSlots: number;
  readonly restBytes: number;
  /** The keys with the most bytes, overridden ones included, heaviest first. */
  readonly keys: readonly KeyLoad[];
}

export interface SignalLoad {
  readonly signal: Signal;
  readonly shards: readonly ShardLoad[];
  readonly instances: readonly InstanceLoad[];
  readonly slots: SlotLoad | null;
}

export interface PartitionLag {
  readonly topic: string;
  readonly partition: number;
  readonly records: number;
}

/** Of the whole process: roles that share one say the same. */
export interface Usage {
  /** Mean since the last report; 1 is one core. */
  readonly cpuCores: number;
  readonly rssBytes: number;
}

export interface LoadReport {
  readonly reporter: Reporter;
  readonly fromUnixMs: number;
  readonly toUnixMs: number;
  /** 0 before there is one. */
  readonly ringEpoch: number;
  /** From 0. */
  readonly part: number;
  readonly parts: number;
  readonly signals: readonly SignalLoad[];
  readonly lag: readonly PartitionLag[];
  readonly instancesLeftOut: number;
  /** null: not measured. */
  readonly usage: Usage | null;
  /** Of requests that a bridge has accepted. What a processor worked on is in its shards. */
  readonly acceptedItems: number;
  readonly acceptedBytes: number;
  /** The last report of a member that stops in order. */
  readonly leaving: boolean;
}
