/**
 * The JSON documents of `/api/v1/…` and of `weir inspect --json`. A field never changes its meaning; readers ignore fields
 * that they do not know. Times are ISO 8601 in UTC; rates are means over the `windowSeconds` that the latest load reports cover; 64-bit
 * hashes are 16 hex digits, as JSON numbers hold 53 bits. The names of a shard's fields are those of the design.
 */
import type { Decision } from '../control/decision.ts';
import type { ChangeWish, Wish } from '../coordination/wishes.ts';
import type { Signal } from '../signals.ts';

/** GET /api/v1/topology: what the ring epoch in force says, and who leads. */
export interface TopologyDocument {
  readonly prefix: string;
  /** Such as `Apache Kafka at kafka-1:9092`. */
  readonly kafka: string;
  /** null before the first. */
  readonly ringEpoch: number | null;
  readonly leader: LeaderDocument | null;
  /** Empty before the first ring epoch. */
  readonly signals: readonly SignalDocument[];
  /** The ring epoch that is to follow; null: no change is in flight. */
  readonly change: RingChangeDocument | null;
  /** Changes that were asked for meanwhile, the next one first; at most 16. */
  readonly waiting: readonly WaitingChangeDocument[];
}

export interface WaitingChangeDocument {
  /** By which it can be cancelled. */
  readonly id: string;
  /** Who asked. */
  readonly member: string;
  readonly wish: ChangeWish;
  readonly since: string;
  /** When it lapses. */
  readonly until: string;
}

export interface RingChangeDocument {
  readonly ringEpoch: number;
  /** The proposed ring epoch that it takes back; null: none. */
  readonly abandons: number | null;
  readonly reason: string;
  readonly proposedAt: string;
  /** In flight for longer than `control.ring.ackTimeoutMs`. */
  readonly stuck: boolean;
  /** Those that it changes. */
  readonly signals: readonly {
    readonly signal: Signal;
    readonly slotsMoved: number;
    /** Names of shards. */
    readonly added: readonly string[];
    readonly retired: readonly string[];
  }[];
  /** Input partitions; it becomes active when all of them have adopted it. */
  readonly partitions: number;
  readonly waitingFor: readonly {
    readonly topic: string;
    readonly partition: number;
    /** That its committed offset names; null: it has none. */
    readonly ringEpoch: number | null;
    /** Who works on it by its load reports; null: nobody says so. */
    readonly member: string | null;
  }[];
}

/** GET /api/v1/route?key=KEY&signal=SIGNAL */
export interface RouteDocument {
  readonly signal: Signal;
  readonly key: string;
  /** Routing key of the signal, such as `trace_id`. */
  readonly routedBy: string;
  readonly keyHash: string;
  readonly now: DestinationDocument;
  /** Once the change in flight is active; null: there is none. */
  readonly pending: DestinationDocument | null;
}

export interface DestinationDocument {
  readonly ringEpoch: number;
  /** null: an override decides. */
  readonly slot: number | null;
  /** null: an override spreads the key over all shards, by trace id. So with name and topic. */
  readonly shard: number | null;
  readonly name: string | null;
  readonly topic: string | null;
}

/** POST /api/v1/shards/{create,split,merge,retire,move,abandon,cancel}: the leader has taken the request; 202. */
export interface AcceptedDocument {
  readonly text: string;
  /** Proposed by it: `change` of /api/v1/topology shows how far it is. null: none, as by a cancel. */
  readonly ringEpoch: number | null;
}

export interface LeaderDocument {
  readonly member: string;
  /** Offset of its LeaderElected record in the control log. */
  readonly leaderEpoch: number;
  readonly since: string;
}

export interface SignalDocument {
  readonly signal: Signal;
  /** Routing key, such as `trace_id`. */
  readonly key: string;
  readonly ingestTopic: string;
  readonly slots: number;
  readonly shards: number;
  readonly overrides: readonly {
    readonly keyHash: string;
    /** What a hot key says, such as `service.name=checkout`; '' where that is not known. */
    readonly key: string;
    /** null: spread over all shards by trace id. */
    readonly shard: number | null;
  }[];
  /** Those with half of a shard's fair share of the load or more, by samples and whatever these may be wrong by, the heaviest first. */
  readonly heavyKeys: readonly {
    readonly keyHash: string;
    readonly key: string;
    /** 0..1: of the load of the signal. */
    readonly share: number;
    /** Load by a shard's fair share: what is above `control.rebalance.targetRatio` is more than slot moves can help with. */
    readonly relative: number;
  }[];
}

/** GET /api/v1/shards */
export interface ShardsDocument {
  readonly ringEpoch: number | null;
  readonly windowSeconds: number;
  readonly shards: readonly ShardDocument[];
  /** How the load of each signal lies on its shards; empty before the first ring epoch. */
  readonly signals: readonly SignalLoadDocument[];
}

export interface SignalLoadDocument {
  readonly signal: Signal;
  readonly shards: number;
  readonly bytesPerSecond: number;
  /** By what all its shards can carry together; 1 is full. */
  readonly fill: number;
  /** Of the shards, each by its fair share, which goes by capacity: of the most loaded one, 1 is even. */
  readonly maxOverMean: number;
  /** Standard deviation over mean; 0 is even. */
  readonly coefficientOfVariation: number;
  /** 0 is even, near 1 one shard has all. */
  readonly gini: number;
  /** Ids, hottest first. */
  readonly hotShards: readonly number[];
}

export interface ShardDocument {
  readonly id: number;
  readonly name: string;
  readonly signal: Signal;
  readonly topic: string;
  /** Slots that it owns. */
  readonly slots: number;
  /** The same as a share of all slots, 0..1. */
  readonly share: number;
  readonly range: {
    /** Lowest and highest key hash that it owns; null without slots. */
    readonly start_key: string | null;
    readonly end_key: string | null;
    /** Every run of hashes that it owns, both ends included, ascending. */
    readonly hash_range: readonly (readonly [first: string, last: string])[];
  };
  /** The load that it is meant to carry in proportion to others: its weight on the ring; 1 is a usual shard. */
  readonly capacity: number;
  readonly current_load: {
    readonly items_per_second: number;
    readonly bytes_per_second: number;
    /** Bytes/s by its fair share of the signal's load, which goes by capacity; 1 is just that, 0 when none has load. */
    readonly relative: number;
    /** Bytes/s by what it can carry: capacity times control.capacity.bytesPerSecond; 1 is full. */
    readonly fill: number;
    /** What processors use for it, by its part of the bytes that each routed: CPU, 1 is one core, and resident memory. null where none says. */
    readonly cpu_cores: number | null;
    readonly memory_bytes: number | null;
  };
  /** overloaded: above what it can carry; hot: above control.rebalance.hotRatio times its fair share, which of a key that has the shard for itself is all of it, unless the signal is below its minBytesPerSecond; idle: no items in the window; unknown: no load reports. */
  readonly health_status: 'healthy' | 'hot' | 'overloaded' | 'idle' | 'unknown';
}

/** GET /api/v1/members: who reported load in the window, and who does not any more. */
export interface MembersDocument {
  readonly windowSeconds: number;
  readonly leader: LeaderDocument | null;
  readonly members: readonly MemberDocument[];
  /** Gone, the last one first; at most 100. */
  readonly departed: readonly DepartedDocument[];
}

export interface DepartedDocument {
  readonly id: string;
  readonly role: string;
  readonly version: string;
  /** left: it said so. lost: nothing was heard of it for its timeout. */
  readonly how: 'left' | 'lost';
  /** null: the leader that noted it had heard of it by the log only. */
  readonly lastReport: string | null;
  /** When the leader noted it. */
  readonly at: string;
}

/** A member has joined, or is gone. */
export interface MemberChangeDocument {
  readonly id: string;
  readonly role: string;
  readonly version: string;
  readonly change: 'joined' | 'left' | 'lost';
  readonly at: string;
}

export interface MemberDocument {
  readonly id: string;
  readonly role: string;
  readonly version: string;
  /** Its heartbeat: it reports every `load.reportIntervalMs`. */
  readonly lastReport: string;
  /** When the leader noted it; null: not yet. */
  readonly since: string | null;
  /** CPU of its process, 1 is one core, and resident memory; null where it does not say. Roles that share a process say the same. */
  readonly cpuCores: number | null;
  readonly memoryBytes: number | null;
  /** Ring epoch that it routes by; 0 before there is one. */
  readonly ringEpoch: number;
  /** Ingest partitions that it works on, such as `otlp_spans/3`. */
  readonly partitions: readonly string[];
  /** Accepted by a bridge, routed by a processor; 0 of others. */
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
}

/** GET /api/v1/locks: who holds what, and what became of operations. */
export interface LocksDocument {
  readonly locks: readonly {
    readonly resource: string;
    readonly holder: string;
    /** Offset of the grant in the control log. */
    readonly token: number;
    readonly since: string;
    /** Over without a renewal within it. */
    readonly ttlSeconds: number;
    /** What is being done under it; null: nothing that was said. */
    readonly operation: string | null;
    /** Who waits for it, the next one first. */
    readonly waiting: readonly string[];
  }[];
  /** Operations that have ended, the last one first; at most 100. */
  readonly operations: readonly {
    readonly at: string;
    readonly resource: string;
    readonly token: number;
    readonly holder: string;
    /** null: it was refused or failed before it had started. */
    readonly what: string | null;
    /** interrupted: nothing more was heard of its holder. */
    readonly outcome: 'done' | 'refused' | 'failed' | 'timed-out' | 'interrupted';
    readonly text: string;
  }[];
}

/** GET /api/v1/services: what the traffic says of the services that send it. */
export interface ServicesDocument {
  readonly windowSeconds: number;
  readonly services: readonly ServiceDocument[];
}

export interface ServiceLoadDocument {
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
  /** Spans of kind SERVER and CONSUMER. */
  readonly requestsPerSecond: number;
  /** 0..1 of the requests. */
  readonly errorShare: number;
  /** null without requests. Within 12 % (a histogram of four buckets an octave). */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** 0..1; null when no metric tells. */
  readonly cpu: number | null;
  readonly memory: number | null;
}

export interface ServiceDocument extends ServiceLoadDocument {
  readonly service: string;
  readonly instances: readonly ({ readonly instance: string } & ServiceLoadDocument)[];
}

/** Decisions that are kept to be shown, and so the most that can be asked for. */
export const MOST_DECISIONS = 200;

/** GET /api/v1/decisions?last=N: newest first. */
export interface DecisionsDocument {
  readonly decisions: readonly Decision[];
}

/** GET /api/v1/lag: records on the ingest topics that are not yet processed. */
export interface LagDocument {
  readonly group: string;
  readonly totalRecords: number;
  readonly partitions: readonly PartitionLagDocument[];
}

export interface PartitionLagDocument {
  readonly topic: string;
  readonly partition: number;
  /** null: nothing committed yet, so all of the log is before it. */
  readonly committed: number | null;
  /** Where a read_committed reader ends. */
  readonly latest: number;
  readonly records: number;
  /** Ring epoch of the committed offset; null before the first commit. */
  readonly ringEpoch: number | null;
}

/** GET /api/v1/events: server-sent events, each with one of these names and its data as JSON. */
export type ApiEvent =
  | { readonly event: 'decision'; readonly data: Decision }
  | { readonly event: 'ring'; readonly data: { readonly ringEpoch: number } }
  | { readonly event: 'leader'; readonly data: LeaderDocument }
  | { readonly event: 'member'; readonly data: MemberChangeDocument };

/** What backs `/api/v1`. Roles without one serve health, readiness and metrics only. */
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
  /** Asks the leader. Throws REQUEST_REFUSED and REQUEST_UNANSWERED. */
  ask(wish: Wish, options?: { signal?: AbortSignal }): Promise<AcceptedDocument>;
  /** Calls the listener at each event from now on. Returns the way to end it. */
  subscribe(listener: (event: ApiEvent) => void): () => void;
}
