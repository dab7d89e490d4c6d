/**
 * The JSON documents of `/api/v1/…` and of `weir inspect --json`. A field never changes its meaning; readers ignore fields that they do not know. Times are
 * ISO 8601 in UTC. Rates are means over the `windowSeconds` that the latest load reports cover. 64-bit hashes are 16 hex digits, as JSON numbers hold 53 bits.
 */
import type { Decision } from '../control/decision.ts';
import type { ChangeWish } from '../coordination/wishes.ts';
import type { ServiceDetails } from '../runtime/service-instances.ts';
import type { Signal } from '../signals.ts';

/** GET /api/v1/topology: the ring epoch in force, what is to follow it, and who leads. */
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
  /** Changes that were asked for while another was in flight, the next one first; at most 16. */
  readonly waiting: readonly WaitingChangeDocument[];
}

export interface WaitingChangeDocument {
  /** `weir shards cancel` takes it. */
  readonly id: string;
  /** Who asked. */
  readonly member: string;
  readonly wish: ChangeWish;
  readonly since: string;
  /** When the request lapses, if its turn has not come. */
  readonly until: string;
}

export interface RingChangeDocument {
  readonly ringEpoch: number;
  /** The proposed ring epoch that this one takes back; null: none. */
  readonly abandons: number | null;
  readonly reason: string;
  readonly proposedAt: string;
  /** In flight for longer than `control.ring.ackTimeoutMs`. */
  readonly stuck: boolean;
  /** The signals that it changes. */
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
    /** Ring epoch that its committed offset names; null: it has no such offset. */
    readonly ringEpoch: number | null;
    /** The member that works on it, by its load reports; null: none reports it. */
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
  /** Where it goes once the change in flight is active; null: there is none. */
  readonly pending: DestinationDocument | null;
}

export interface DestinationDocument {
  readonly ringEpoch: number;
  /** null: an override decides. */
  readonly slot: number | null;
  /** null: an override spreads the key over all shards, by trace id. Name and topic are null then, too. */
  readonly shard: number | null;
  readonly name: string | null;
  readonly topic: string | null;
}

/** POST /api/v1/shards/{create,split,merge,retire,move,abandon,cancel}: the leader has taken the request; 202. */
export interface AcceptedDocument {
  readonly text: string;
  /** The ring epoch that was proposed for it: `change` of /api/v1/topology shows its progress. null: none, as for a cancel. */
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
    /** The text of a hot key, such as `service.name=checkout`; '' where it is not known. */
    readonly key: string;
    /** null: spread over all shards by trace id. */
    readonly shard: number | null;
  }[];
  /** Keys that have at least half of a shard's fair share of the load, by samples less their error; the heaviest first. */
  readonly heavyKeys: readonly {
    readonly keyHash: string;
    readonly key: string;
    /** 0..1: of the load of the signal. */
    readonly share: number;
    /** Its load over a shard's fair share: above `control.rebalance.targetRatio` slot moves cannot help. */
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
  /** Load over what all its shards can carry together; 1 is full. */
  readonly fill: number;
  /** Load of the most loaded shard over its fair share, which is in proportion to its capacity; 1 is even. */
  readonly maxOverMean: number;
  /** Standard deviation over mean of the same, over all shards; 0 is even. */
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
  /** Part of all slots that it owns, 0..1. */
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
    /** Bytes/s over its fair share of the signal's load, which is in proportion to its capacity; 1 is just that, 0 when there is no load. */
    readonly relative: number;
    /** Bytes/s over what it can carry, which is capacity times control.capacity.bytesPerSecond; 1 is full. */
    readonly fill: number;
    /** What processors use for it, by its part of the bytes that each routed. CPU: 1 is one core; memory: resident. null where none reports it. */
    readonly cpu_cores: number | null;
    readonly memory_bytes: number | null;
  };
  /**
   * overloaded: above what it can carry. hot: above control.rebalance.hotRatio times its fair share; never where the signal is below
   * control.rebalance.minBytesPerSecond, and not because of a key that has the shard for itself. idle: no items in the window. unknown: no load reports.
   */
  readonly health_status: 'healthy' | 'hot' | 'overloaded' | 'idle' | 'unknown';
}

/** GET /api/v1/members: the members that reported load in the window, and those that are gone. */
export interface MembersDocument {
  readonly windowSeconds: number;
  readonly leader: LeaderDocument | null;
  readonly members: readonly MemberDocument[];
  /** Members that are gone, the last one first; at most 100. */
  readonly departed: readonly DepartedDocument[];
}

export interface DepartedDocument {
  readonly id: string;
  readonly role: string;
  readonly version: string;
  /** left: it said so. lost: nothing was heard of it for its timeout. */
  readonly how: 'left' | 'lost';
  /** null: the leader that noted it knew the member only from the log. */
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
  /** A member's heartbeat: it reports every `load.reportIntervalMs`. */
  readonly lastReport: string;
  /** When the leader noted that it had joined; null: not yet. */
  readonly since: string | null;
  /** CPU (1 is one core) and resident memory of its process; null where it does not report them. Roles that share a process report the same. */
  readonly cpuCores: number | null;
  readonly memoryBytes: number | null;
  /** Ring epoch that it routes by; 0 before there is one. */
  readonly ringEpoch: number;
  /** Ingest partitions that it works on, such as `otlp_spans/3`. */
  readonly partitions: readonly string[];
  /** Items that a bridge accepted or a processor routed; 0 for other roles. */
  readonly itemsPerSecond: number;
  readonly bytesPerSecond: number;
}

/** GET /api/v1/locks: the locks that are held, and what became of operations. */
export interface LocksDocument {
  readonly locks: readonly {
    readonly resource: string;
    readonly holder: string;
    /** Offset of the grant in the control log. */
    readonly token: number;
    readonly since: string;
    /** The lock is over if it is not renewed within this time. */
    readonly ttlSeconds: number;
    /** What is being done under it; null: nothing was announced. */
    readonly operation: string | null;
    /** Members that wait for it, the next one first. */
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
    /** interrupted: its holder was not heard of again. */
    readonly outcome: 'done' | 'refused' | 'failed' | 'timed-out' | 'interrupted';
    readonly text: string;
  }[];
}

/** GET /api/v1/services: the services that the traffic comes from, as it shows them. */
export interface ServicesDocument {
  readonly windowSeconds: number;
  readonly services: readonly ServiceDetails[];
}

/** How many decisions are kept, and so can be asked for. */
export const MAX_DECISIONS = 200;

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
  /** null: nothing is committed yet, so all of the log is still to be processed. */
  readonly committed: number | null;
  /** Where the log ends for a read_committed reader. */
  readonly latest: number;
  readonly records: number;
  /** Ring epoch of the committed offset; null before the first commit. */
  readonly ringEpoch: number | null;
}
