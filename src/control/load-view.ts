/** The measured load that decide() works on: rates and means over the load window. */
import type { Signal } from '../signals.ts';

export interface InstanceView {
  readonly instance: string;
  readonly requestsPerSecond: number;
  /** 0..1, null when unknown. */
  readonly cpu: number | null;
  readonly memory: number | null;
}

/** The mean of the values that are known; null: none is. */
export function meanOfKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

export interface ServiceView {
  readonly service: string;
  /** Those that were heard of in the window. */
  readonly instances: readonly InstanceView[];
}

/** The sampled load of one key. */
export interface KeyRate {
  readonly bytesPerSecond: number;
  /** The sampling error, in either direction. */
  readonly errorBytesPerSecond: number;
  /** For people, such as `service.name=checkout`; '' where no reporter knows it. */
  readonly name: string;
}

/** For a key that no reporter lists among its heaviest. */
export const UNHEARD_KEY: KeyRate = { bytesPerSecond: 0, errorBytesPerSecond: 0, name: '' };

export interface SignalView {
  /** By shard id; shards without load may be missing. */
  readonly shardBytesPerSecond: ReadonlyMap<number, number>;
  /** By slot: those that reporters list. */
  readonly slotBytesPerSecond: ReadonlyMap<number, number>;
  /** Of all slots that they do not list, together. */
  readonly restBytesPerSecond: number;
  /** By hash (16 hex digits): the heaviest keys of each reporter. */
  readonly keys: ReadonlyMap<string, KeyRate>;
}

export interface LoadView {
  readonly windowMs: number;
  /** Less than a whole window has been measured so far: nothing is decided yet. */
  readonly warmingUp: boolean;
  readonly services: readonly ServiceView[];
  readonly signals: Readonly<Record<Signal, SignalView>>;
}
