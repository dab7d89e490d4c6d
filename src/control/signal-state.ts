/** What the decisions about one signal are based on. */
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { Signal } from '../signals.ts';
import type { PastMoves } from './churn.ts';
import type { SignalView } from './load-view.ts';

export interface SignalState {
  readonly signal: Signal;
  /** The ring in force. */
  readonly ring: SignalRing;
  /** The measured load. */
  readonly view: SignalView;
  /** Time over which the load was measured. */
  readonly windowMs: number;
  /** Changes of at least the last `rebalance.holdMs` and `rebalance.churnWindowMs`. */
  readonly pastMoves: readonly PastMoves[];
}
