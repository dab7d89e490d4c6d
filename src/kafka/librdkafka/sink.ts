/**
 * Exactly-once writes on librdkafka's transactional producer. It sends what was not answered again by itself, under the same
 * sequence: a lost Produce reply is mended here, where the kafkajs sink ends in `reopen`.
 *
 * The binding commits offsets under no generation, and hides the producer id with which a request of our own could carry one.
 * So the group is asked for the tenure before the commit. A tenure that ends between the two does no harm: its successor reads
 * the offset after it has fenced this transactional id, by when the commit is either done or refused.
 */

import { pause } from '../../abortable.ts';
import { CommitState, commitTimeoutMs } from '../kafkajs/commit-state.ts';
import { asError, denied, type Fault, faultOf, faultOfCode } from '../kafkajs/outcomes.ts';
import { retry } from '../kafkajs/retry.ts';
import type { CommitOutcome, Headers, OffsetToCommit, SinkOptions, TransactionalSink, Value } from '../port.ts';
import {
  ask,
  type Binding,
  type Callback,
  type RdConsumer,
  type RdError,
  type RdProducer,
  type Settings,
} from './binding.ts';
import { Deliveries } from './deliveries.ts';

/**
 * The binding's calls block a thread of libuv's pool, of which there are four, and which name look-ups need, too. So where
 * librdkafka goes on with a call that timed out, a long wait is made of short ones.
 */
const SLICE_MS = 200;
const TIMED_OUT = -185;
const WRONG_STATE = -172;
/** `RD_KAFKA_RESP_ERR__FENCED`. */
const FENCED = -144;
const NO_HEADERS: Headers = [];
/** Larger than any record that a topic may take. */
const MESSAGE_BYTES = 1_000_000_000;
const QUEUED_KIBIBYTES = 2_097_151;

export interface RdSinkParts {
  readonly binding: Binding;
  readonly connection: Settings;
  readonly compression: string;
  readonly requestTimeoutMs: number;
  readonly openTimeoutMs: number;
  /** Throws when the sink's tenure is over, or no answer comes within the time. */
  readonly confirm: (withinMs: number) => Promise<void>;
  /** Whose group's offsets are committed; the binding takes the group's name from a consumer. */
  readonly groupOf: (groupId: string) => Promise<RdConsumer>;
}

interface Staged {
  readonly topic: string;
  readonly partition: number;
  readonly value: Value;
  readonly key: Value;
  readonly headers: Headers;
}

/** Throws when the coordinator cannot be had within the time, WeirError KAFKA_DENIED when it may not be used. */
export async function openRdSink(options: SinkOptions, parts: RdSinkParts): Promise<TransactionalSink> {
  const { fencingKey, signal } = options;
  const producer = new parts.binding.Producer(
    {
      ...parts.connection,
      'transactional.id': fencingKey,
      'transaction.timeout.ms': options.transactionTimeoutMs,
      'socket.timeout.ms': Math.min(parts.requestTimeoutMs, Math.max(options.transactionTimeoutMs, 1_000)),
      'compression.codec': parts.compression,
      'linger.ms': 0,
      // With several of a partition on their way one that is refused may be overtaken, and taken for stored (deliveries.ts).
      'max.in.flight.requests.per.connection': 1,
      'message.max.bytes': MESSAGE_BYTES,
      'queue.buffering.max.kbytes': QUEUED_KIBIBYTES,
      // A record alone in its batch: of several that are too large for the topic only together librdkafka refuses all. Weir
      // writes one record a shard and transaction.
      'batch.num.messages': 1,
      dr_cb: true,
    },
    {},
  );
  const deadline = performance.now() + parts.openTimeoutMs;
  try {
    await ask((done) => producer.connect({ timeout: parts.openTimeoutMs }, done));
    producer.setPollInBackground(true);
    await inSlices(deadline, (ms, done) => producer.initTransactions(ms, done), signal);
    return new RdSink(options, parts, producer, await parts.groupOf(options.groupId));
  } catch (error) {
    await ask((done) => producer.disconnect(1, done)).catch(() => 'never connected');
    if (meaningOf(error) === 'denied') throw denied(`to use transactional id ${fencingKey}`, error);
    throw error;
  }
}

class RdSink implements TransactionalSink {
  readonly #options: SinkOptions;
  readonly #producer: RdProducer;
  readonly #group: RdConsumer;
  readonly #confirm: (withinMs: number) => Promise<void>;
  readonly #deliveries: Deliveries;
  readonly #timeoutMs: number;
  #staged: Staged[] = [];
  #stagedBytes = 0;
  readonly #state: CommitState;
  #ending: Promise<void> | undefined;
  /**
   * A call that librdkafka holds back beyond its timeout, as it does while the coordinator is away. Nothing else can be done
   * with the producer before, so it ends by itself then; nobody waits for it.
   */
  #held: Promise<unknown> | undefined;

  constructor(options: SinkOptions, parts: RdSinkParts, producer: RdProducer, group: RdConsumer) {
    this.#options = options;
    this.#producer = producer;
    this.#group = group;
    this.#confirm = parts.confirm;
    this.#deliveries = new Deliveries(producer);
    this.#state = new CommitState(options.fencingKey);
    this.#timeoutMs = commitTimeoutMs(options.transactionTimeoutMs, parts.requestTimeoutMs);
  }

  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  stage(topic: string, partition: number, value: Value, headers: Headers = NO_HEADERS, key: Value = null): void {
    this.#state.mustBeOpen();
    this.#staged.push({ topic, partition, value, key, headers });
    this.#stagedBytes += value?.length ?? 0;
  }

  async commit(offsets: readonly OffsetToCommit[]): Promise<CommitOutcome> {
    this.#state.mustBeOpen();
    if (this.#staged.length === 0 && offsets.length === 0) return { kind: 'committed' };
    return this.#state.commit(() => this.#transact(offsets).finally(() => this.#drop()), meaningOf);
  }

  abort(): void {
    this.#state.mustBeOpen();
    this.#drop();
  }

  async close(): Promise<void> {
    await this.#state.end();
    this.#drop();
    if (this.#held) return;
    this.#ending ??= this.#retire();
    await this.#ending;
  }

  async #transact(offsets: readonly OffsetToCommit[]): Promise<void> {
    const producer = this.#producer;
    const deadline = performance.now() + this.#timeoutMs;
    await ask((done) => producer.beginTransaction(done));
    try {
      for (const { topic, partition, value, key, headers } of this.#staged) {
        producer.produce(topic, partition, bufferOf(value), bufferOf(key), 0, undefined, headersOf(headers));
        this.#deliveries.expect();
      }
      if (offsets.length > 0) {
        const positions = offsets.map(({ topic, partition, offset, metadata = '' }) => ({
          topic,
          partition,
          offset: Number(offset),
          metadata,
        }));
        // In one go: a second call would take the answer to the first for its own.
        const leftMs = Math.max(1, Math.ceil(deadline - performance.now()));
        const sent = ask((done) => producer.sendOffsetsToTransaction(positions, this.#group, leftMs, done));
        const timeout = new AbortController();
        const isSent = await Promise.race([
          sent.then(() => true),
          pause(leftMs + SLICE_MS, timeout.signal).then(() => false),
        ]).finally(() => timeout.abort());
        if (!isSent) {
          this.#held = sent;
          throw new Error(`librdkafka did not commit the offsets of ${this.#options.fencingKey} within ${leftMs} ms`);
        }
      }
      await this.#untilDelivered(deadline);
      if (offsets.length > 0) await this.#confirm(Math.max(1, deadline - performance.now()));
      await inSlices(deadline, (ms, done) => producer.commitTransaction(ms, done));
    } catch (error) {
      if (this.#held) this.#held.then(this.#end, this.#end);
      else await this.#end();
      throw error;
    }
  }

  /** Throws what was not delivered, or what librdkafka has given the transaction up for. */
  async #untilDelivered(deadline: number): Promise<void> {
    for (;;) {
      const outcome = await this.#deliveries.within(SLICE_MS);
      if (outcome === 'delivered') return;
      // None can begin within one that is well, so this never succeeds; it says why one is not.
      const wrong = await ask((done) => this.#producer.beginTransaction(done)).catch(asError);
      if (codeOf(wrong) !== WRONG_STATE) throw wrong;
      if (outcome !== 'pending') throw outcome;
      if (performance.now() >= deadline)
        throw new Error(`not all records of ${this.#options.fencingKey} were delivered`);
    }
  }

  /** Else read_committed readers wait until a successor or the time limit ends it. */
  readonly #end = async (): Promise<void> => {
    await this.#abort(SLICE_MS);
    this.#ending = this.#retire();
  };

  /**
   * Closes the producer when each of its records is reported. librdkafka 2.15.1 frees the text of a transaction's failure as it
   * begins to end (`rd_kafka_txns_term`), while the threads of its brokers still run: a Produce whose answer then says that a
   * successor has fenced it frees the text again (`rd_kafka_txn_set_fatal_error`), and glibc ends the process, sooner or later.
   * A report comes after what an answer does. After the transaction's time limit every record is reported as given up; an abort
   * purges those that wait for a connection.
   */
  async #retire(): Promise<void> {
    while (!(await this.#deliveries.areReportedWithin(SLICE_MS))) await this.#abort(1);
    await ask<unknown>((done) => this.#producer.disconnect(1, done));
  }

  async #abort(timeoutMs: number): Promise<void> {
    await ask((done) => this.#producer.abortTransaction(timeoutMs, done)).catch(
      () => 'its successor or the broker will',
    );
  }

  #drop(): void {
    this.#staged = [];
    this.#stagedBytes = 0;
  }
}

function inSlices(deadline: number, call: (timeoutMs: number, done: Callback) => void, signal?: AbortSignal) {
  return retry(() => ask((done) => call(SLICE_MS, done)), {
    deadline,
    firstStepMs: 2,
    maxStepMs: 20,
    again: (error) => codeOf(error) === TIMED_OUT || (error as RdError).isRetriable === true,
    ...(signal && { signal }),
  });
}

/** librdkafka's codes above 0 are Kafka's; those below are its own. */
function meaningOf(error: unknown): Fault {
  const code = codeOf(error);
  if (code === FENCED) return 'fenced';
  return code > 0 ? faultOfCode(code) : faultOf(error);
}

const codeOf = (error: unknown): number => (error as RdError).code;

const bufferOf = (value: Value): Buffer | null =>
  value && Buffer.from(value.buffer, value.byteOffset, value.byteLength);

const headersOf = (headers: Headers) => headers.map(([name, value]) => ({ [name]: bufferOf(value) as Buffer }));
