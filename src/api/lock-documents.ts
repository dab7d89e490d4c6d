import type { ControlState } from '../coordination/state.ts';
import type { LocksDocument } from './documents.ts';

const iso = (unixMs: number): string => new Date(unixMs).toISOString();

export function lockDocuments({
  locks,
  waiting,
  operations,
}: Pick<ControlState, 'locks' | 'waiting' | 'operations'>): LocksDocument {
  return {
    locks: [...locks].map(([resource, { holder, token, since, ttlMs, operation }]) => ({
      ...{ resource, holder, token, since: iso(since), ttlSeconds: ttlMs / 1_000, operation: operation?.what ?? null },
      waiting: waiting.flatMap((claim) => (claim.resource === resource ? [claim.holder] : [])),
    })),
    operations: operations.map(({ at, ...rest }) => ({ at: iso(at), ...rest })).reverse(),
  };
}
