/**
 * What Weir asks of Kafka, and nothing else. Two adapters stand behind it: `kafkajs/` (Apache Kafka) and `memory/`
 * (an in-process log with the same transactions and fencing). `test/contract/` holds both to every sentence here.
 *
 * Two rules carry the cost and the correctness of everything above:
 * - A poll is a lease. Its views are valid until `release()`, and not a moment longer.
 * - Staged views are the sink's from `stage()` until the outcome of `commit()` or `abort()` is known: an adapter reads
 *   them by reference, at each attempt anew, so the caller must not change them; after the outcome the adapter never
 *   touches them again.
 */

/** A value, null for a record without one (which is not the same as an empty one). */
export type Value = Uint8Array | null;

/** Header names are compared exactly; a name may come more than once. */
export type Headers = ReadonlyArray<readonly [name: string, value: Uint8Array]>;

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Consecutive records of one partition, aborted transactions and control records left out. */
export interface Poll extends TopicPartition {
  /** How many records; 0 when only control or aborted records lay between the position and `nextOffset`. */
  readonly count: number;
  /** Bytes of all values. */
  readonly bytes: number;
  /** The offset to commit once the poll is done: behind the last record and any control records that follow it. */
  readonly nextOffset: bigint;
  offset(index: number): bigint;
  /** The record's timestamp, in Unix ms. */
  timestampMs(index: number): number;
  /** A view, valid until `release()`. */
  value(index: number): Value;
  key(index: number): Value;
  /** Decoded on demand. */
  headers(index: number): Headers;
  /** Ends the lease. A second call does nothing. */
  release(): void;
}

/** What became of a request for records. */
export type PollOutcome =
  | { readonly kind: 'poll'; readonly poll: Poll }
  /** Nothing came within the wait. */
  | { readonly kind: 'idle' }
  /** The position is outside the log. Every further poll says the same until a seek; nothing is reset or committed. */
  | { readonly kind: 'out-of-range'; readonly position: bigint; readonly earliest: bigint; readonly latest: bigint }
  /** The batch at the position cannot be read; all before it was handed out. Every further poll says the same until a seek. */
  | { readonly kind: 'corrupt'; readonly batch: CorruptBatch }
  /** Revoked, lost or closed: no more polls. */
  | { readonly kind: 'ended' };

/** A record batch that stayed unreadable when it was fetched again. Bytes in memory do not rot: only an adapter of a broker has them. */
export interface CorruptBatch {
  /**
   * - `damaged`: its checksum, its compressed bytes or its records are wrong; no version will read it.
   * - `too-large`: decompressed it is larger than what is taken.
   * - `unsupported`: whole, but of a codec or format that this version does not know.
   */
  readonly cause: 'damaged' | 'too-large' | 'unsupported';
  /** In words. */
  readonly reason: string;
  /** Offset of the first record of it that was not handed out. */
  readonly offset: bigint;
  /** Offset behind the batch; null where its end is unknown. */
  readonly nextOffset: bigint | null;
  /** The batch as the broker sent it, a copy. Where its end is unknown: all that came from its beginning on. */
  readonly bytes: Uint8Array;
}

/** Reads one partition, forward. `poll` calls must not overlap. Errors of the connection are retried inside, for ever. */
export interface PartitionReader extends TopicPartition {
  /** Next offset to be read. */
  readonly position: bigint;
  /** Read on from here; `'earliest'` and `'latest'` (read_committed: the last stable offset) are looked up. */
  seek(to: bigint | 'earliest' | 'latest'): Promise<void>;
  /** Waits up to `maxWaitMs` for records. */
  poll(maxWaitMs: number): Promise<PollOutcome>;
  /** A paused partition is left out of fetches; a waiting `poll` goes on waiting, and then is `idle`. */
  pause(): void;
  resume(): void;
}

/**
 * The right by which a member holds a partition. It is over once the group is in another generation, has dropped the member,
 * or has given its place to another process.
 */
export interface Tenure {
  readonly generation: number;
  readonly memberId: string;
  /** Of a static member, see GroupOptions; null for others. */
  readonly instanceId: string | null;
}

/** A partition that the group gave to this member, valid under one generation. Has no position until `seek`. */
export interface AssignedPartition extends PartitionReader, Tenure {
  /** Aborted when the partition is to be given back (finish the poll in hand, then return) or was lost. */
  readonly signal: AbortSignal;
  /**
   * Asks the group, with a heartbeat of its own, whether this member still holds this generation. To be asked before a
   * sink is opened again: a member that was paused and woke up late would otherwise fence the rightful owner. When the answer
   * is false, also for want of any answer, `signal` is aborted and the member joins anew. So whoever then waits for `signal`
   * does not wait in vain, even if heartbeats on another connection keep the generation alive.
   */
  confirm(): Promise<boolean>;
}

export interface GroupHandlers {
  /**
   * Called for each partition gained, after the group has settled. Its promise is the partition's whole life here: it
   * ends after `signal` is aborted. The member does not join the next generation before all of them have ended or
   * `rebalanceTimeoutMs` has passed. A rejection is the caller's bug: it closes the member and rejects `done`.
   */
  run(partition: AssignedPartition): Promise<void>;
  /** Each settled generation, also one without partitions for this member. */
  onGeneration?(generation: { id: number; memberId: string; partitions: readonly TopicPartition[] }): void;
  /** The connection or the coordinator makes trouble; the member goes on trying. For the log. */
  onTrouble?(cause: Error): void;
}

export interface GroupOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  /** >= 6,000 on a broker with default settings. */
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs?: number;
  readonly heartbeatIntervalMs?: number;
  /**
   * Makes this a static member: whoever joins with the id of one that has not been missed yet (its session goes on) takes its
   * place and its partitions at once, and the others notice nothing. Two that live at the same time with one id: the
   * earlier one's `done` rejects with INSTANCE_ID_TAKEN. `close()` leaves the group all the same.
   */
  readonly instanceId?: string;
  readonly fetch?: FetchOptions;
}

export interface FetchOptions {
  /** A poll's most records and value bytes. One record larger than `maxPollBytes` comes alone. Defaults: 512, 8 MB. */
  readonly maxPollRecords?: number;
  readonly maxPollBytes?: number;
  /** Default read_committed. */
  readonly isolation?: 'read_committed' | 'read_uncommitted';
  /** For tests: `release()` overwrites the views with 0xDB, so that a use after the lease shows. */
  readonly poisonReleased?: boolean;
}

/** Membership in a consumer group. */
export interface GroupMember {
  /** Resolves after `close()`, rejects on an error that trying again cannot mend (authorisation, protocol). */
  readonly done: Promise<void>;
  /** Aborts all partitions' signals, waits for their `run` to end, leaves the group. */
  close(): Promise<void>;
}

export interface OffsetToCommit extends TopicPartition {
  /** The next offset to be read. */
  readonly offset: bigint;
  readonly metadata?: string;
}

/** What became of a transaction. */
export type CommitOutcome =
  | { readonly kind: 'committed' }
  /**
   * Unknown or failed. This sink is dead: open a new one with the same fencing key, then read the committed offset
   * again. Only that tells what happened. (Abort and go on with the same sink would lose data: a Produce whose reply was lost
   * leaves the broker's sequence ahead, and the next batch is taken for a duplicate and dropped.)
   */
  | { readonly kind: 'reopen'; readonly cause: Error }
  /**
   * A newer owner has the fencing key, the tenure is over, or the broker gave the transaction up for its age: the broker does
   * not tell the first from the last, the group does. Open again only after `AssignedPartition.confirm()`, else two would
   * fence each other for ever.
   */
  | { readonly kind: 'fenced'; readonly cause: Error };

export interface SinkOptions {
  /** The transactional id. Opening fences every earlier sink of the same key and aborts its open transaction. */
  readonly fencingKey: string;
  /** Group whose offsets `commit` writes. */
  readonly groupId: string;
  /** Goes with the committed offsets: once it is over they are refused, even before a successor has opened its sink. */
  readonly tenure?: Tenure;
  /** The broker aborts a transaction that stays open longer. */
  readonly transactionTimeoutMs: number;
  /** Aborting it ends the retries of opening, which may take as long as a predecessor's transaction; opening then rejects. */
  readonly signal?: AbortSignal;
}

/** One transaction at a time. */
export interface TransactionalSink {
  /** Adds a record to the open transaction. Nothing is sent before `commit`. */
  stage(topic: string, partition: number, value: Value, headers?: Headers, key?: Value): void;
  /** Bytes staged so far. */
  readonly stagedBytes: number;
  /** Sends all that is staged and the offsets in one transaction. With nothing staged and no offsets: committed. */
  commit(offsets: readonly OffsetToCommit[]): Promise<CommitOutcome>;
  /** Drops all that is staged. */
  abort(): void;
  close(): Promise<void>;
}

export interface ProducerRecord {
  readonly topic: string;
  readonly partition: number;
  readonly value: Value;
  readonly key?: Value;
  readonly headers?: Headers;
}

export type SendOutcome =
  | { readonly kind: 'stored' }
  /** Refused by the broker for what it is (too large, invalid, not authorised): sending it again cannot help. */
  | { readonly kind: 'refused'; readonly tooLarge: boolean; readonly cause: Error }
  /** No answer until `deliveryTimeoutMs`: it may or may not be stored. */
  | { readonly kind: 'unknown'; readonly cause: Error };

/** acks=all, idempotent: retries within `deliveryTimeoutMs` neither lose, double nor reorder. */
export interface Producer {
  /** One batch a partition, one outcome for each record, in order. Views are the producer's until it resolves. */
  send(records: readonly ProducerRecord[]): Promise<readonly SendOutcome[]>;
  close(): Promise<void>;
}

export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  /** Number of replicas; absent: the broker's default. */
  readonly replicas?: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface TopicDescription {
  readonly name: string;
  readonly partitions: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface CommittedOffset {
  readonly partition: number;
  /** null: nothing committed. */
  readonly offset: bigint | null;
  readonly metadata: string;
}

export interface PartitionOffsets {
  readonly partition: number;
  readonly earliest: bigint;
  /** The last stable offset: where a read_committed reader ends. */
  readonly latest: bigint;
}

export interface Admin {
  cluster(): Promise<{ readonly brokers: number; readonly description: string }>;
  /** Creates what is missing. Returns the names that it created. */
  createTopics(topics: readonly TopicSpec[]): Promise<readonly string[]>;
  deleteTopics(names: readonly string[]): Promise<void>;
  listTopics(): Promise<readonly string[]>;
  /** Topics that do not exist are left out. */
  describeTopics(names: readonly string[]): Promise<readonly TopicDescription[]>;
  /** Offsets of the group on every partition of the topic; of pending transactions only what is committed. For display. */
  committedOffsets(groupId: string, topic: string): Promise<readonly CommittedOffset[]>;
  /**
   * The group's offset on one partition, for whoever goes on from there. Never one that a transaction which is not over could
   * still change: that is waited for, and it rejects when it takes too long.
   */
  committedOffset(groupId: string, at: TopicPartition): Promise<CommittedOffset>;
  offsets(topic: string): Promise<readonly PartitionOffsets[]>;
  /**
   * Records that a read_committed reader at the group's committed offset still has before it. Transaction markers take
   * offsets but are not records: where only they are left the lag is 0. Of these partitions; absent: of all.
   */
  lag(groupId: string, topic: string, partitions?: readonly number[]): Promise<ReadonlyMap<number, bigint>>;
}

export interface KafkaPort {
  /** For people, such as `Apache Kafka at 127.0.0.1:9092` or `an in-process log (not Kafka: data lives in this process)`. */
  readonly description: string;
  readonly admin: Admin;
  joinGroup(options: GroupOptions, handlers: GroupHandlers): GroupMember;
  /** Without a group. Has no position until `seek`. */
  reader(at: TopicPartition, options?: FetchOptions): PartitionReader & { close(): Promise<void> };
  /** Retries while the coordinator is loading or a predecessor's transaction is being ended, up to `timeoutMs`. */
  openSink(options: SinkOptions): Promise<TransactionalSink>;
  producer(options?: { deliveryTimeoutMs?: number }): Promise<Producer>;
  close(): Promise<void>;
}
