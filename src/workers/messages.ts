/** What a parent and its worker processes say to each other, over Node's IPC channel (structured clones). */
import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import type { ErrorCode } from '../errors.ts';

export type MetricsSnapshot = MetricObjectWithValues<MetricValue<string>>[];

export type ToWorker =
  /** The first one. `settings` is what the worker's program asks for. */
  | { readonly kind: 'begin'; readonly worker: number; readonly settings: unknown }
  | { readonly kind: 'tell-metrics'; readonly id: number }
  /** Drain, then exit. The end of the channel says the same. */
  | { readonly kind: 'stop' };

export type FromWorker =
  /** Every BEAT_MS, so it also says that the worker's event loop turns. `waitsFor` is empty when it is ready. */
  | { readonly kind: 'beat'; readonly waitsFor: readonly string[] }
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: MetricsSnapshot }
  /** The worker is about to end with an error which the user can see to. */
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
  /** The last one: nothing of the worker's program runs any more. */
  | { readonly kind: 'ended'; readonly exitCode: number };

export const BEAT_MS = 250;
