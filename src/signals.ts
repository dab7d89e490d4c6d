/** The OTLP signals that Weir carries, in the order of every table that is indexed by them. */
export const SIGNALS = ['traces', 'metrics', 'logs'] as const;
export type Signal = (typeof SIGNALS)[number];

export function bySignal<T>(value: (signal: Signal) => T): Record<Signal, T> {
  return { traces: value('traces'), metrics: value('metrics'), logs: value('logs') };
}

/** What one item of a signal is called in topics, metrics and texts. */
export const ITEM_NAMES: Readonly<Record<Signal, string>> = { traces: 'spans', metrics: 'metrics', logs: 'logs' };
