/** Which slots have changed their owner, as decide() wants to know it. */
import type { DecideState } from '../control/decide.ts';
import { slotsOf } from '../coordination/ring-change.ts';
import type { PastChange } from '../coordination/state.ts';
import { SIGNALS, type Signal } from '../signals.ts';

/** The log's state keeps one array until there is another change: each is gone through once. */
const known = new WeakMap<readonly PastChange[], DecideState['pastMoves']>();

export function pastMovesOf(changes: readonly PastChange[]): DecideState['pastMoves'] {
  const before = known.get(changes);
  if (before) return before;
  const of = (signal: Signal) =>
    changes.flatMap(({ change, at }) => {
      const moves = change[signal]?.moves ?? [];
      return moves.length === 0 ? [] : [{ at, slots: moves.flatMap(({ runs }) => slotsOf(runs)) }];
    });
  const moves = Object.fromEntries(
    SIGNALS.map((signal) => [signal, of(signal)]),
  ) as unknown as DecideState['pastMoves'];
  known.set(changes, moves);
  return moves;
}
