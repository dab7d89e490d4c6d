/**
 * Exactly-once writes: one transaction at a time under a transactional id.
 *
 * commit: AddPartitionsToTxn, then Produce to each leader beside AddOffsetsToTxn and TxnOffsetCommit, then EndTxn. An answer that
 * says "not done, try later" is tried again until the time is over. After anything unclear the sink is dead and the outcome
 * `reopen`: in particular a Produce without an answer is never sent again, nor is its transaction aborted and the
 * sink used on, since the broker's sequence may be ahead of ours.
 *
 * `fenced`: INVALID_PRODUCER_EPOCH or PRODUCER_FENCED. A newer owner opened the same key, or the broker aborted the
 * transaction over its time limit and raised the epoch: for requests of these versions the broker answers alike. Taking
 * the second for the first costs a wait for the next generation; the other way round two owners would fence each other
 * for ever. So both are `fenced`, and whoever holds the partition opens again only after its group membership was confirmed.
 * `fenced` is also what the group coordinator's refusal of the tenure means (ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID,
 * FENCED_INSTANCE_ID): it can come before any successor has opened the key.
 */
import type { CommitOutcome, Headers, OffsetToCommit, SinkOptions, TransactionalSink, Value } from '../port.ts';
import { addPartitionsRequest } from './add-partitions-request.ts';
import { askCoordinator, type ClusterView, checkCoordinator } from './cluster.ts';
import { CommitState, commitTimeoutMs } from './commit-state.ts';
import type { Compression } from './compression.ts';
import { type Protocol, requestOf } from './internals.ts';
import type { Links } from './links.ts';
import { BrokerError, denied, ErrorCode, faultOf, isPassing } from './outcomes.ts';
import { encodeHeaders, type OutgoingRecord } from './outgoing-batch.ts';
import { cutBatches, produceOnce, Sequences } from './produce.ts';
import type { OutgoingBatch } from './produce-request.ts';
import { retry } from './retry.ts';
import { txnOffsetCommitRequest } from './txn-offset-commit-request.ts';

const STEP_MS = 20;
/** The next transaction meets the end of the last one as CONCURRENT_TRANSACTIONS, for a few ms. */
const FIRST_STEP_MS = 2;
const NO_HEADERS: Headers = [];

export interface SinkParts {
  readonly cluster: ClusterView;
  readonly links: Links;
  readonly compression: Compression;
  readonly requestTimeoutMs: number;
  /** Bounds opening. */
  readonly openTimeoutMs: number;
}

/** Throws when the coordinator cannot be had within the time, WeirError KAFKA_DENIED when it may not be used. */
export async function openSink(options: SinkOptions, parts: SinkParts): Promise<TransactionalSink> {
  const { fencingKey, transactionTimeoutMs, signal } = options;
  // Asking again is harmless here: whatever an unanswered attempt did, the next one fences.
  const opened = await retry(
    async () => {
      const answer = await askCoordinator(
        parts,
        'transaction',
        fencingKey,
        requestOf('InitProducerId', { transactionalId: fencingKey, transactionTimeout: transactionTimeoutMs }),
        parts.requestTimeoutMs,
      );
      checkCoordinator(parts.cluster, 'transaction', fencingKey, 'InitProducerId', answer.errorCode);
      return answer;
    },
    {
      deadline: performance.now() + parts.openTimeoutMs,
      firstStepMs: STEP_MS,
      maxStepMs: STEP_MS * 5,
      // Another one opens the same key at this moment: the last one to do so has it.
      again: (error) => isPassing(error) || faultOf(error) === 'fenced',
      ...(signal && { signal }),
    },
  ).catch((error) => {
    if (faultOf(error) === 'denied') throw denied(`to use transactional id ${fencingKey}`, error);
    throw error;
  });
  const identity = { producerId: BigInt(opened.producerId), producerEpoch: opened.producerEpoch };
  return new KafkaSink(options, parts, new Sequences(identity));
}

interface StagedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly records: OutgoingRecord[];
}

class KafkaSink implements TransactionalSink {
  readonly #options: SinkOptions;
  readonly #parts: SinkParts;
  readonly #sequences: Sequences;
  readonly #timeoutMs: number;
  readonly #staged = new Map<string, StagedPartition>();
  #stagedBytes = 0;
  /** Of the last record: the next one mostly has the same. */
  #headers = { of: NO_HEADERS, encoded: encodeHeaders(NO_HEADERS) };
  readonly #state: CommitState;
  /** A transaction that this sink began may still be open at the broker. */
  #leftOpen = false;

  constructor(options: SinkOptions, parts: SinkParts, sequences: Sequences) {
    this.#options = options;
    this.#parts = parts;
    this.#sequences = sequences;
    this.#state = new CommitState(options.fencingKey);
    this.#timeoutMs = commitTimeoutMs(options.transactionTimeoutMs, parts.requestTimeoutMs);
  }

  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  stage(topic: string, partition: number, value: Value, headers: Headers = NO_HEADERS, key: Value = null): void {
    this.#state.mustBeOpen();
    const name = `${partition} ${topic}`;
    let staged = this.#staged.get(name);
    if (!staged) {
      staged = { topic, partition, records: [] };
      this.#staged.set(name, staged);
    }
    if (headers !== this.#headers.of) this.#headers = { of: headers, encoded: encodeHeaders(headers) };
    staged.records.push({ value, key, headers: this.#headers.encoded });
    this.#stagedBytes += value?.length ?? 0;
  }

  async commit(offsets: readonly OffsetToCommit[]): Promise<CommitOutcome> {
    this.#state.mustBeOpen();
    if (this.#staged.size === 0 && offsets.length === 0) return { kind: 'committed' };
    const staged = [...this.#staged.values()];
    return this.#state.commit(async () => {
      // Until it is known that the broker has ended it.
      this.#leftOpen = true;
      try {
        await this.#transact(staged, offsets);
        this.#leftOpen = false;
      } finally {
        this.#drop();
      }
    }, faultOf);
  }

  abort(): void {
    this.#state.mustBeOpen();
    this.#drop();
  }

  async close(): Promise<void> {
    await this.#state.end();
    this.#drop();
    if (!this.#leftOpen) return;
    this.#leftOpen = false;
    // Else read_committed readers wait until a successor or the time limit ends it. It cannot undo a commit: to a
    // transaction that is ending or has ended the broker answers INVALID_TXN_STATE.
    try {
      await this.#transaction('EndTxn', 0, { transactionResult: false }, ({ errorCode }) => [errorCode]);
    } catch (error) {
      if (faultOf(error) === 'denied') throw denied(`to end a transaction of ${this.#options.fencingKey}`, error);
    }
  }

  async #transact(staged: readonly StagedPartition[], offsets: readonly OffsetToCommit[]): Promise<void> {
    const deadline = performance.now() + this.#timeoutMs;
    if (staged.length > 0) await this.#addPartitions(staged, deadline);
    // Both are waited for whatever comes of the other: when the outcome is known no request reads staged views any more.
    const [produced, added] = await Promise.allSettled([
      this.#produce(staged, deadline),
      offsets.length > 0 ? this.#addOffsets(deadline).then(() => this.#commitOffsets(offsets, deadline)) : undefined,
    ]);
    const failed = [produced, added].filter((result) => result.status === 'rejected').map((result) => result.reason);
    // Of two failures the one that says who owns the key.
    if (failed.length > 0) throw failed.find((reason) => faultOf(reason) === 'fenced') ?? failed[0];
    await this.#transaction('EndTxn', deadline, { transactionResult: true }, ({ errorCode }) => [errorCode]);
  }

  async #addPartitions(partitions: readonly StagedPartition[], deadline: number): Promise<void> {
    const { fencingKey: transactionalId } = this.#options;
    const { identity } = this.#sequences;
    await this.#untilDone(deadline, async () => {
      const request = addPartitionsRequest({ transactionalId, identity, partitions });
      const added = await askCoordinator(this.#parts, 'transaction', transactionalId, request, this.#timeoutMs);
      for (const { topic, errorCode } of added) {
        if (errorCode !== ErrorCode.topicAuthorizationFailed) continue;
        throw new BrokerError('AddPartitionsToTxn', errorCode, `topic ${topic}`);
      }
      this.#checkTransaction(
        'AddPartitionsToTxn',
        added.map(({ errorCode }) => errorCode),
      );
    });
  }

  async #addOffsets(deadline: number): Promise<void> {
    const { groupId } = this.#options;
    await this.#transaction('AddOffsetsToTxn', deadline, { groupId }, ({ errorCode }) => {
      if (errorCode === ErrorCode.groupAuthorizationFailed) {
        throw new BrokerError('AddOffsetsToTxn', errorCode, `group ${groupId}`);
      }
      return [errorCode];
    });
  }

  async #commitOffsets(offsets: readonly OffsetToCommit[], deadline: number): Promise<void> {
    const { groupId, fencingKey: transactionalId, tenure } = this.#options;
    const { identity } = this.#sequences;
    await this.#untilDone(deadline, async () => {
      const request = txnOffsetCommitRequest({ transactionalId, groupId, ...identity, tenure, offsets });
      const answer = await askCoordinator(this.#parts, 'group', groupId, request, this.#timeoutMs);
      for (const { errorCode } of answer.partitions) {
        checkCoordinator(this.#parts.cluster, 'group', groupId, 'TxnOffsetCommit', errorCode);
      }
    });
  }

  /** Batches of a partition one after the other, partitions beside each other. */
  async #produce(staged: readonly StagedPartition[], deadline: number): Promise<void> {
    const queues = staged.map(({ topic, partition, records }) => ({ topic, partition, batches: cutBatches(records) }));
    const timestampMs = Date.now();
    const { identity } = this.#sequences;
    let waiting = queues;
    while (waiting.length > 0) {
      await this.#untilDone(deadline, async () => {
        const heads = waiting.map((queue) => ({
          topic: queue.topic,
          partition: queue.partition,
          records: queue.batches[0]!,
          identity,
          firstSequence: this.#sequences.next(queue.topic, queue.partition),
          timestampMs,
          queue,
        }));
        const results = await produceOnce<OutgoingBatch & { queue: (typeof queues)[number] }>(heads, {
          cluster: this.#parts.cluster,
          links: this.#parts.links,
          compression: this.#parts.compression,
          transactionalId: this.#options.fencingKey,
          timeoutMs: this.#timeoutMs,
        });
        const failures: Error[] = [];
        for (const [{ queue, records }, result] of results) {
          if (result.stored) {
            this.#sequences.advance(queue.topic, queue.partition, records.length);
            queue.batches.shift();
          } else if (faultOf(result.error) === 'too-large' && records.length > 1) {
            const half = records.length >> 1;
            queue.batches.splice(0, 1, records.slice(0, half), records.slice(half));
          } else failures.push(result.error);
        }
        waiting = waiting.filter(({ batches }) => batches.length > 0);
        // The gravest decides whether there is another try.
        const gravest =
          failures.find((error) => faultOf(error) === 'fenced') ?? failures.find((error) => !notDone(error));
        if (gravest ?? failures[0]) throw gravest ?? failures[0];
      });
    }
  }

  async #transaction<N extends 'AddOffsetsToTxn' | 'EndTxn'>(
    name: N,
    deadline: number,
    options: object,
    codesOf: (answer: AnswerOf<N>) => number[],
  ): Promise<void> {
    const { fencingKey } = this.#options;
    const request = () => requestOf(name, { transactionalId: fencingKey, ...this.#identity(), ...options });
    await this.#untilDone(deadline, async () => {
      const answer = await askCoordinator(this.#parts, 'transaction', fencingKey, request(), this.#timeoutMs);
      this.#checkTransaction(name, codesOf(answer as AnswerOf<N>));
    });
  }

  #checkTransaction(request: string, codes: readonly number[]): void {
    const refusals = codes.filter((code) => code !== ErrorCode.none);
    // Where one partition is at fault the others are OPERATION_NOT_ATTEMPTED.
    const told = refusals.find((code) => code !== ErrorCode.notAttempted) ?? refusals[0] ?? ErrorCode.none;
    checkCoordinator(this.#parts.cluster, 'transaction', this.#options.fencingKey, request, told);
  }

  /** Tries again only what is certain not to have been done. */
  #untilDone(deadline: number, work: () => Promise<void>): Promise<void> {
    return retry(work, { deadline, firstStepMs: FIRST_STEP_MS, maxStepMs: STEP_MS, again: notDone });
  }

  #identity() {
    const { producerId, producerEpoch } = this.#sequences.identity;
    return { producerId: String(producerId), producerEpoch };
  }

  #drop(): void {
    this.#staged.clear();
    this.#stagedBytes = 0;
    this.#headers = { of: NO_HEADERS, encoded: encodeHeaders(NO_HEADERS) };
  }
}

type AnswerOf<N extends Parameters<typeof requestOf>[0]> =
  ReturnType<typeof requestOf<N>> extends Protocol<infer D> ? D : never;

const notDone = (error: unknown) => faultOf(error) === 'busy' || faultOf(error) === 'moved';
