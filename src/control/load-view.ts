/** What the runtime has measured, as decide() sees it: rates and means over the window. */
import type { Signal } from '../signals.ts';

export interface InstanceView {
  readonly instance: string;
  readonly requestsPerSecond: number;
  /** 0..1, null when unknown. */
  readonly cpu: number | null;
  readonly memory: number | null;
}

/** Of those that are known; null: none is. */
export function meanOfKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

export interface ServiceView {
  readonly service: string;
  /** Heard of in the window. */
  readonly instances: readonly InstanceView[];
}

/** By samples. */
export interface KeyRate {
  readonly bytesPerSecond: number;
  /** What it may be wrong by, in either direction. */
  readonly errorBytesPerSecond: number;
  /** For people; '' where no reporter knows it. */
  readonly name: string;
}

/** Of a key that no reporter lists among its heaviest. */
export const UNHEARD_KEY: KeyRate = { bytesPerSecond: 0, errorBytesPerSecond: 0, name: '' };

export interface SignalView {
  /** By shard id; shards without load may be missing. */
  readonly shardBytesPerSecond: ReadonlyMap<number, number>;
  /** By slot, as far as reporters list them. */
  readonly slotBytesPerSecond: ReadonlyMap<number, number>;
  /** Of the slots that they do not list, together. */
  readonly restBytesPerSecond: number;
  /** By hash, 16 hex digits: the heaviest of each reporter. */
  readonly keys: ReadonlyMap<string, KeyRate>;
}

export interface LoadView {
  readonly windowMs: number;
  /** Measured for less than the window yet: nothing is decided on it. */
  readonly warmingUp: boolean;
  readonly services: readonly ServiceView[];
  readonly signals: Readonly<Record<Signal, SignalView>>;
}
