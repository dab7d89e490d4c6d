/** What the control log knows of past changes, as decide() wants to know it: which slots and shards have changed, and which moves are to be judged. */
import type { DecideState, PastShards } from '../control/decide.ts';
import { slotsOf } from '../coordination/ring-change.ts';
import type { ControlState, PastChange } from '../coordination/state.ts';
import { bySignal, type Signal } from '../signals.ts';

/** The log's state keeps one array until there is another change: each is gone through once. */
const known = new WeakMap<readonly PastChange[], DecideState['pastMoves']>();

export function pastMovesOf(changes: readonly PastChange[]): DecideState['pastMoves'] {
  const before = known.get(changes);
  if (before) return before;
  const of = (signal: Signal) =>
    changes.flatMap(({ change, at, abandons }) => {
      // What is taken back has never been away.
      const { moves = [], overrides = [] } = (abandons === null && change[signal]) || {};
      if (moves.length === 0 && overrides.length === 0) return [];
      const keys = overrides.map(({ keyHash }) => keyHash);
      return [{ at, slots: moves.flatMap(({ runs }) => slotsOf(runs)), keys }];
    });
  const moves = bySignal(of);
  known.set(changes, moves);
  return moves;
}

export function pastShardsOf(changes: readonly PastChange[]): DecideState['pastShards'] {
  return bySignal((signal): PastShards => {
    let changedAt: number | null = null;
    const reshapedAt = new Map<number, number>();
    for (const { change, activeAt, abandons } of changes) {
      const ofSignal = change[signal];
      if (!ofSignal) continue;
      changedAt = activeAt;
      const { added, moves } = ofSignal;
      // What takes a change back leaves the shards what they were; moves without a new shard, a retired one's among them, nearly so.
      if (added.length === 0 || abandons !== null) continue;
      for (const id of [...added.map((shard) => shard.id), ...moves.map(({ from }) => from)])
        reshapedAt.set(id, activeAt);
    }
    return { changedAt, reshapedAt };
  });
}

/** Only the change that led to the ring in force: a later one has changed what the moves brought. */
export function planInForce({
  ring,
  proposed,
  changes,
}: Pick<ControlState, 'ring' | 'proposed' | 'changes'>): DecideState['plan'] {
  const past = changes.at(-1);
  if (!ring || proposed || past?.epoch !== ring.epoch || !past.planned || past.decisionId === null) return null;
  const { change, decisionId, epoch, activeAt, planned } = past;
  const { moves: slotMoves = [], overrides = [] } = change[planned.signal] ?? {};
  const moves = slotMoves.map(({ from, to, runs }) => ({ from, to, slots: slotsOf(runs) }));
  const keys = overrides.map(({ keyHash }) => keyHash);
  return { decisionId, epoch, activeAt, moves, keys, ...planned };
}
