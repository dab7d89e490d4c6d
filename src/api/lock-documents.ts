/** Locks and operations, as `/api/v1/locks` and `weir inspect locks` show them. */
import type { ControlState } from '../coordination/state.ts';
import type { LocksDocument } from './documents.ts';
import { isoTime } from './iso-time.ts';

export function lockDocuments({
  locks,
  waiting,
  operations,
}: Pick<ControlState, 'locks' | 'waiting' | 'operations'>): LocksDocument {
  return {
    locks: [...locks].map(([resource, { holder, token, since, ttlMs, operation }]) => ({
      resource,
      holder,
      token,
      since: isoTime(since),
      ttlSeconds: ttlMs / 1_000,
      operation: operation?.what ?? null,
      waiting: waiting.flatMap((claim) => (claim.resource === resource ? [claim.holder] : [])),
    })),
    operations: operations.map(({ at, ...rest }) => ({ at: isoTime(at), ...rest })).reverse(),
  };
}
