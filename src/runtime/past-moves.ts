/** What the control log knows of past changes, as decide() wants to know it: which slots have changed their owner, and which moves are to be judged. */
import type { DecideState } from '../control/decide.ts';
import { slotsOf } from '../coordination/ring-change.ts';
import type { ControlState, PastChange } from '../coordination/state.ts';
import { SIGNALS, type Signal } from '../signals.ts';

/** The log's state keeps one array until there is another change: each is gone through once. */
const known = new WeakMap<readonly PastChange[], DecideState['pastMoves']>();

export function pastMovesOf(changes: readonly PastChange[]): DecideState['pastMoves'] {
  const before = known.get(changes);
  if (before) return before;
  const of = (signal: Signal) =>
    changes.flatMap(({ change, at, abandons }) => {
      // What is taken back has never been away.
      const moves = (abandons === null && change[signal]?.moves) || [];
      return moves.length === 0 ? [] : [{ at, slots: moves.flatMap(({ runs }) => slotsOf(runs)) }];
    });
  const moves = Object.fromEntries(
    SIGNALS.map((signal) => [signal, of(signal)]),
  ) as unknown as DecideState['pastMoves'];
  known.set(changes, moves);
  return moves;
}

/** Only the change that led to the ring in force: a later one has changed what the moves brought. */
export function planInForce({ ring, proposed, changes }: ControlState): DecideState['plan'] {
  const past = changes.at(-1);
  if (!ring || proposed || past?.epoch !== ring.epoch || !past.planned || past.decisionId === null) return null;
  const { change, decisionId, epoch, activeAt, planned } = past;
  const moves = (change[planned.signal]?.moves ?? []).map(({ from, to, runs }) => ({ from, to, slots: slotsOf(runs) }));
  return { decisionId, epoch, activeAt, moves, ...planned };
}
