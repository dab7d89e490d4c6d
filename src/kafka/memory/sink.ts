/** A transactional sink: stages by reference, sends at commit, is dead after anything but `committed`. */
import type {
  CommitOutcome,
  Headers,
  OffsetToCommit,
  SinkOptions,
  TopicPartition,
  TransactionalSink,
  Value,
} from '../port.ts';
import type { RecordToAppend } from './batch.ts';
import { appendCutting, batchesOf } from './batching.ts';
import { BrokerError, hasCode } from './broker-errors.ts';
import { type Client, retried } from './client.ts';
import { sequenceAfter } from './sequences.ts';
import type { TransactionalIdentity } from './transactions.ts';

const FENCED = [
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'FENCED_INSTANCE_ID',
] as const;

interface StagedPartition extends TopicPartition {
  readonly records: RecordToAppend[];
}

export async function openSink(client: Client, options: SinkOptions): Promise<TransactionalSink> {
  const { fencingKey, transactionTimeoutMs, signal } = options;
  const identity = await retried(
    client,
    'InitProducerId',
    `Opening the transactional sink ${fencingKey}`,
    () => client.broker.transactions.initProducerId(fencingKey, transactionTimeoutMs),
    transactionTimeoutMs,
    signal,
  );
  return new MemorySink(client, options, identity);
}

class MemorySink implements TransactionalSink {
  readonly #client: Client;
  readonly #options: SinkOptions;
  readonly #identity: TransactionalIdentity;
  /** `topic/partition` -> next sequence number. */
  readonly #sequences = new Map<string, number>();
  #staged = new Map<string, StagedPartition>();
  #stagedBytes = 0;
  #committing: Promise<CommitOutcome> | null = null;
  /** A transaction that this sink began may still be open at the broker. */
  #leftOpen = false;
  /** Why it cannot be used any more. */
  #dead: string | null = null;

  constructor(client: Client, options: SinkOptions, identity: TransactionalIdentity) {
    this.#client = client;
    this.#options = options;
    this.#identity = identity;
  }

  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  stage(topic: string, partition: number, value: Value, headers: Headers = [], key: Value = null): void {
    this.#assertUsable('stage');
    const name = `${topic}/${partition}`;
    const at = this.#staged.get(name) ?? { topic, partition, records: [] };
    this.#staged.set(name, at);
    at.records.push({ value, headers, key });
    this.#stagedBytes += (value?.length ?? 0) + (key?.length ?? 0);
    for (const [, headerValue] of headers) this.#stagedBytes += headerValue.length;
  }

  async commit(offsets: readonly OffsetToCommit[]): Promise<CommitOutcome> {
    this.#assertUsable('commit');
    this.#committing = this.#commit(offsets);
    try {
      return await this.#committing;
    } finally {
      this.#committing = null;
    }
  }

  abort(): void {
    this.#assertUsable('abort');
    this.#drop();
  }

  async close(): Promise<void> {
    await this.#committing;
    this.#drop();
    this.#dead ??= 'it is closed';
    if (!this.#leftOpen) return;
    this.#leftOpen = false;
    // As the kafkajs adapter does, else read_committed readers would wait for a successor.
    const { transactions } = this.#client.broker;
    try {
      await this.#request('EndTxn', () => transactions.end(this.#identity, 'aborted'));
    } catch (error) {
      // It had ended, the key has another owner, or the request was lost: then the time limit ends it.
      if (!(error instanceof BrokerError)) throw error;
    }
  }

  async #commit(offsets: readonly OffsetToCommit[]): Promise<CommitOutcome> {
    try {
      if (this.#staged.size > 0 || offsets.length > 0) await this.#sendTransaction(offsets);
      return { kind: 'committed' };
    } catch (error) {
      const cause = error as Error;
      const kind = hasCode(error, ...FENCED) ? 'fenced' : 'reopen';
      this.#leftOpen = true;
      this.#dead = `its last transaction ended as "${kind}" (${cause.message})`;
      return { kind, cause };
    } finally {
      this.#drop();
    }
  }

  async #sendTransaction(offsets: readonly OffsetToCommit[]): Promise<void> {
    const { transactions, groups } = this.#client.broker;
    const { groupId, tenure } = this.#options;
    const identity = this.#identity;
    const partitions = [...this.#staged.values()];
    if (partitions.length > 0) {
      await this.#request('AddPartitionsToTxn', () => transactions.addPartitions(identity, partitions));
    }
    for (const at of partitions) {
      for (const batch of batchesOf(at.records)) {
        await appendCutting(
          batch,
          (records) => this.#produce(at, records),
          (_, cause) => {
            throw cause;
          },
        );
      }
    }
    if (offsets.length > 0) {
      await this.#request('AddOffsetsToTxn', () => transactions.addOffsets(identity, groupId));
      await this.#request('TxnOffsetCommit', () => {
        if (tenure) groups.checkTenure(groupId, tenure);
        transactions.commitOffsets(identity, groupId, offsets);
      });
    }
    await this.#request('EndTxn', () => transactions.end(identity, 'committed'));
  }

  async #produce(at: StagedPartition, records: readonly RecordToAppend[]): Promise<void> {
    const { clock, transactions } = this.#client.broker;
    const name = `${at.topic}/${at.partition}`;
    const sequence = this.#sequences.get(name) ?? 0;
    await this.#request(
      'Produce',
      () => transactions.produce(this.#identity, at, sequence, { records, timestampMs: clock.now() }),
      at,
    );
    this.#sequences.set(name, sequenceAfter(sequence, records.length));
  }

  #request<T>(
    name: 'AddPartitionsToTxn' | 'Produce' | 'AddOffsetsToTxn' | 'TxnOffsetCommit' | 'EndTxn',
    serve: () => T,
    at: TopicPartition | null = null,
  ) {
    return this.#client.wire.request(name, serve, { transactional: true, at });
  }

  #drop(): void {
    this.#staged = new Map();
    this.#stagedBytes = 0;
  }

  #assertUsable(doing: 'stage' | 'commit' | 'abort'): void {
    if (this.#dead) throw new Error(`Sink ${this.#options.fencingKey} cannot ${doing}: ${this.#dead}. Open a new one.`);
    if (this.#committing) throw new Error(`Sink ${this.#options.fencingKey} cannot ${doing} during a commit.`);
  }
}
