/** What is known of the items in a shard: where they came in, and what has been copied since. */
import type { SignalChange } from '../coordination/ring-change.ts';
import type { PastChange } from '../coordination/state.ts';
import type { Signal } from '../signals.ts';

/** By which ring epoch items were routed when they came, and to which shard: from there all their copies come. */
export interface Origin {
  readonly ringEpoch: number;
  readonly shard: number;
}

/** A change that has been copied for. */
export interface CarriedChange extends Pick<PastChange, 'epoch' | 'abandons'> {
  readonly change: SignalChange;
}

export function carriedChanges(changes: readonly PastChange[], signal: Signal): readonly CarriedChange[] {
  return changes.flatMap(({ epoch, abandons, carryFrom, change: { [signal]: change } }) =>
    change && carryFrom !== null ? [{ epoch, abandons, change }] : [],
  );
}
