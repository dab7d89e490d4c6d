/** What stands behind `/api/v1`, whichever way it comes by its knowledge. Roles without one serve health, readiness and metrics only. */
import type { Decision } from '../control/decision.ts';
import type { Wish } from '../coordination/wishes.ts';
import type { Signal } from '../signals.ts';
import type {
  AcceptedDocument,
  DecisionsDocument,
  LagDocument,
  LeaderDocument,
  LocksDocument,
  MemberChangeDocument,
  MembersDocument,
  RouteDocument,
  ServicesDocument,
  ShardsDocument,
  TopologyDocument,
} from './documents.ts';

export interface ApiView {
  topology(): Promise<TopologyDocument>;
  shards(): Promise<ShardsDocument>;
  members(): Promise<MembersDocument>;
  locks(): Promise<LocksDocument>;
  services(): Promise<ServicesDocument>;
  decisions(last: number): Promise<DecisionsDocument>;
  lag(): Promise<LagDocument>;
  /** Throws REQUEST_REFUSED. */
  route(signal: Signal, key: string): Promise<RouteDocument>;
  /** Asks the leader for it. Throws REQUEST_REFUSED and REQUEST_UNANSWERED. */
  ask(wish: Wish, options?: { signal?: AbortSignal }): Promise<AcceptedDocument>;
  /** Calls the listener at each event from now on, until the returned function is called. */
  subscribe(listener: (event: ApiEvent) => void): () => void;
}

/** GET /api/v1/events: server-sent events, each with one of these names and its data as JSON. */
export type ApiEvent =
  | { readonly event: 'decision'; readonly data: Decision }
  | { readonly event: 'ring'; readonly data: { readonly ringEpoch: number } }
  | { readonly event: 'leader'; readonly data: LeaderDocument }
  | { readonly event: 'member'; readonly data: MemberChangeDocument };
