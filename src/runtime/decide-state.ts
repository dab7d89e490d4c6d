/** What decide() has to know, from the control log's state and the measured load. */
import type { DecideState, PastShards } from '../control/decide.ts';
import type { LoadView } from '../control/load-view.ts';
import type { RebalancePolicy } from '../control/policy.ts';
import { slotsOf } from '../coordination/ring-change.ts';
import type { ControlState, PastChange } from '../coordination/state.ts';
import { bySignal, type Signal } from '../signals.ts';

type Known = Pick<ControlState, 'ring' | 'proposed' | 'changes' | 'decisions'>;

/** `conditions`: from the tick before. */
export function decideStateOf(
  state: Known,
  load: LoadView,
  conditions: DecideState['conditions'],
  { apply }: Pick<RebalancePolicy, 'apply'>,
): DecideState {
  const { ring, proposed, changes, decisions: last } = state;
  const past = { pastMoves: pastMovesOf(changes), pastShards: pastShardsOf(changes) };
  const plan = apply ? planInForce(state) : null;
  return { ring, load, last, conditions, ...past, plan, changing: proposed !== null };
}

/** The log's state keeps one array of changes until there is another change: each array is gone through once. */
const known = new WeakMap<readonly PastChange[], DecideState['pastMoves']>();

export function pastMovesOf(changes: readonly PastChange[]): DecideState['pastMoves'] {
  const before = known.get(changes);
  if (before) return before;
  const movesOf = (signal: Signal) =>
    changes.flatMap(({ change, at, abandons }) => {
      // What a change took back has never been in force.
      const { moves = [], overrides = [] } = (abandons === null && change[signal]) || {};
      if (moves.length === 0 && overrides.length === 0) return [];
      const keys = overrides.map(({ keyHash }) => keyHash);
      return [{ at, slots: moves.flatMap(({ runs }) => slotsOf(runs)), keys }];
    });
  const moves = bySignal(movesOf);
  known.set(changes, moves);
  return moves;
}

function pastShardsOf(changes: readonly PastChange[]): DecideState['pastShards'] {
  return bySignal((signal): PastShards => {
    let changedAt: number | null = null;
    const reshapedAt = new Map<number, number>();
    for (const { change, activeAt, abandons } of changes) {
      const ofSignal = change[signal];
      if (!ofSignal) continue;
      changedAt = activeAt;
      const { added, moves } = ofSignal;
      // Shards count as reshaped by a new shard only: taking a change back leaves them as they were, and other moves leave them nearly so.
      if (added.length === 0 || abandons !== null) continue;
      for (const id of [...added.map((shard) => shard.id), ...moves.map(({ from }) => from)])
        reshapedAt.set(id, activeAt);
    }
    return { changedAt, reshapedAt };
  });
}

/** Only the change that led to the ring in force can be judged: a later one would have changed what the moves brought. */
function planInForce({ ring, proposed, changes }: Known): DecideState['plan'] {
  const past = changes.at(-1);
  if (!ring || proposed || past?.epoch !== ring.epoch || !past.planned || past.decisionId === null) return null;
  const { change, decisionId, epoch, activeAt, planned } = past;
  const { moves: slotMoves = [], overrides = [] } = change[planned.signal] ?? {};
  const moves = slotMoves.map(({ from, to, runs }) => ({ from, to, slots: slotsOf(runs) }));
  const keys = overrides.map(({ keyHash }) => keyHash);
  return { decisionId, epoch, activeAt, moves, keys, ...planned };
}
