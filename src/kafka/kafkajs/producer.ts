/**
 * Idempotent writes without a transaction. Per partition one batch is on its way at a time, sent again with the same
 * producer id and sequence until it is answered or its time is over; records that wait behind it are gathered into the next
 * batch. The views of a record are read until its outcome is known, and not after.
 *
 * Whatever leaves the broker's sequence uncertain costs the producer id: with the old one the next batch would be taken for
 * the lost one's duplicate, and be dropped without an error.
 */
import type { Logger } from 'pino';
import type { Producer, ProducerRecord, SendOutcome, Value } from '../port.ts';
import type { ClusterView } from './cluster.ts';
import type { Compression } from './compression.ts';
import { requestOf } from './internals.ts';
import type { Links } from './links.ts';
import { asError, check, denied, faultOf, isPassing } from './outcomes.ts';
import { encodeHeaders, type OutgoingRecord, type ProducerIdentity } from './outgoing-batch.ts';
import { type BatchResult, cutBatches, produceOnce, Sequences } from './produce.ts';
import type { OutgoingBatch } from './produce-request.ts';
import { retry } from './retry.ts';

const DEFAULT_DELIVERY_TIMEOUT_MS = 30_000;
const STEP_MS = 20;
const MAX_STEP_MS = 1_000;
const GATHERED_RECORDS = 10_000;
/** A request that runs out of time costs the shared connection: no attempt gets less. */
const MIN_ATTEMPT_MS = 1_000;
const LATE = 'not sent before deliveryTimeoutMs was over: earlier records of the partition took all the time';

export interface ProducerParts {
  readonly cluster: ClusterView;
  readonly links: Links;
  readonly compression: Compression;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
}

interface QueuedRecord extends OutgoingRecord {
  readonly value: Value;
  /** `performance.now()` clock, in ms. */
  readonly deadline: number;
  settle(outcome: SendOutcome): void;
}

interface PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  readonly waiting: QueuedRecord[];
  /** Cut off the queue already, to be sent before what waits. */
  cut: QueuedRecord[][];
  sending: boolean;
}

interface Head {
  readonly queue: PartitionQueue;
  readonly records: QueuedRecord[];
}

interface Attempt extends OutgoingBatch {
  readonly records: readonly QueuedRecord[];
}

export async function openProducer(options: { deliveryTimeoutMs?: number }, parts: ProducerParts): Promise<Producer> {
  const deliveryTimeoutMs = options.deliveryTimeoutMs ?? DEFAULT_DELIVERY_TIMEOUT_MS;
  const first = await newIdentity(parts, performance.now() + deliveryTimeoutMs);
  return new IdempotentProducer(parts, deliveryTimeoutMs, new Sequences(first));
}

class IdempotentProducer implements Producer {
  readonly #parts: ProducerParts;
  readonly #deliveryTimeoutMs: number;
  readonly #queues = new Map<string, PartitionQueue>();
  readonly #working = new Set<Promise<void>>();
  #sequences: Promise<Sequences>;
  /** With records to send. */
  readonly #ready = new Set<PartitionQueue>();
  #awake = false;
  #closed = false;

  constructor(parts: ProducerParts, deliveryTimeoutMs: number, sequences: Sequences) {
    this.#parts = parts;
    this.#deliveryTimeoutMs = deliveryTimeoutMs;
    this.#sequences = Promise.resolve(sequences);
  }

  async send(records: readonly ProducerRecord[]): Promise<readonly SendOutcome[]> {
    if (this.#closed) throw new Error('this producer is closed');
    const deadline = performance.now() + this.#deliveryTimeoutMs;
    const touched = new Set<PartitionQueue>();
    const outcomes = records.map(({ topic, partition, value, key = null, headers = [] }) => {
      const name = `${partition} ${topic}`;
      let queue = this.#queues.get(name);
      if (!queue) {
        queue = { topic, partition, waiting: [], cut: [], sending: false };
        this.#queues.set(name, queue);
      }
      touched.add(queue);
      const { waiting } = queue;
      return new Promise<SendOutcome>((settle) => {
        waiting.push({ value, key, headers: encodeHeaders(headers), deadline, settle });
      });
    });
    for (const queue of touched) this.#ready.add(queue);
    this.#wake();
    return Promise.all(outcomes);
  }

  async close(): Promise<void> {
    this.#closed = true;
    while (this.#working.size > 0 || this.#awake) {
      await Promise.all(this.#working);
      if (this.#awake) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** After this turn of the event loop, so that all calls and answers of one turn share requests. */
  #wake(): void {
    if (this.#awake) return;
    this.#awake = true;
    setImmediate(() => {
      this.#awake = false;
      const heads: Head[] = [];
      for (const queue of this.#ready) {
        if (queue.sending) continue;
        this.#ready.delete(queue);
        const records = nextBatch(queue);
        if (records.length === 0) continue;
        queue.sending = true;
        heads.push({ queue, records });
      }
      if (heads.length === 0) return;
      const work = this.#sendHeads(heads).finally(() => this.#working.delete(work));
      this.#working.add(work);
    });
  }

  async #sendHeads(heads: readonly Head[]): Promise<void> {
    let sequences: Sequences;
    try {
      sequences = await this.#currentSequences(Math.max(...heads.map(deadlineOf)));
    } catch (error) {
      const cause = asError(error);
      const outcome: SendOutcome =
        faultOf(cause) === 'denied' ? { kind: 'refused', tooLarge: false, cause } : { kind: 'unknown', cause };
      for (const head of heads) this.#finish(head, outcome);
      return;
    }
    const timestampMs = Date.now();
    const attempts = heads.map((head) => ({
      topic: head.queue.topic,
      partition: head.queue.partition,
      records: head.records,
      identity: sequences.identity,
      firstSequence: sequences.next(head.queue.topic, head.queue.partition),
      timestampMs,
      head,
    }));
    const firstTry = await this.#produce(attempts);
    // Those that were answered settle now; a slow partition goes on by itself and holds up only its own records.
    await Promise.all(
      attempts.map(async (attempt) => {
        try {
          const result = await this.#untilAnswered(attempt, firstTry.get(attempt)!);
          this.#finish(attempt.head, this.#judge(attempt, sequences, result));
        } catch (error) {
          // Not the broker's doing; even so nobody may wait for ever for a record.
          this.#renew(sequences);
          this.#finish(attempt.head, { kind: 'unknown', cause: asError(error) });
        }
      }),
    );
  }

  /** Null: the records are back in the queue. */
  #finish({ queue, records }: Head, outcome: SendOutcome | null): void {
    if (outcome) for (const record of records) record.settle(outcome);
    queue.sending = false;
    if (queue.waiting.length === 0 && queue.cut.length === 0) return;
    this.#ready.add(queue);
    this.#wake();
  }

  #produce<A extends Attempt>(attempts: readonly A[]): Promise<ReadonlyMap<A, BatchResult>> {
    const leftMs = Math.max(...attempts.map(deadlineOf)) - performance.now();
    return produceOnce(attempts, {
      cluster: this.#parts.cluster,
      links: this.#parts.links,
      compression: this.#parts.compression,
      transactionalId: null,
      timeoutMs: Math.min(this.#parts.requestTimeoutMs, Math.max(MIN_ATTEMPT_MS, leftMs)),
    });
  }

  async #untilAnswered(attempt: Attempt, first: BatchResult): Promise<BatchResult & { unclear: boolean }> {
    let unclear = false;
    let result = first;
    const note = () => {
      if (!result.stored && faultOf(result.error) === 'unclear') unclear = true;
    };
    note();
    if (result.stored || !isPassing(result.error)) return { ...result, unclear };
    await retry(
      async () => {
        result = (await this.#produce([attempt])).get(attempt)!;
        note();
        if (!result.stored) throw result.error;
      },
      { deadline: deadlineOf(attempt), firstStepMs: STEP_MS, maxStepMs: MAX_STEP_MS, again: isPassing },
    ).catch((error) => this.#parts.log.debug({ err: error }, 'a batch was not stored'));
    return { ...result, unclear };
  }

  #judge(
    attempt: Attempt & { head: Head },
    sequences: Sequences,
    result: BatchResult & { unclear: boolean },
  ): SendOutcome | null {
    const { queue, records } = attempt.head;
    if (result.stored) {
      sequences.advance(attempt.topic, attempt.partition, records.length);
      return { kind: 'stored' };
    }
    const cause = result.error;
    const fault = faultOf(cause);
    if (!result.unclear) {
      // Nothing was appended.
      if (fault === 'denied') {
        return { kind: 'refused', tooLarge: false, cause: denied(`to write to topic ${attempt.topic}`, cause) };
      }
      if (fault === 'too-large' || fault === 'refused') {
        if (records.length === 1) return { kind: 'refused', tooLarge: fault === 'too-large', cause };
        // One record may spoil a batch for the others: they are tried apart.
        const half = records.length >> 1;
        queue.cut.unshift(records.slice(0, half), records.slice(half));
        return null;
      }
      if ((fault === 'sequence' || fault === 'fenced') && performance.now() < deadlineOf(attempt)) {
        // Under a new producer id it is a first attempt again.
        this.#renew(sequences);
        queue.cut.unshift(records);
        return null;
      }
    }
    this.#renew(sequences);
    return { kind: 'unknown', cause };
  }

  /** Throws this producer id away, unless that was done already. */
  #renew(old: Sequences): void {
    this.#sequences = this.#sequences.then(async (current) => {
      if (current !== old) return current;
      return new Sequences(await newIdentity(this.#parts, performance.now() + this.#deliveryTimeoutMs));
    });
    this.#sequences.catch((error) => this.#parts.log.debug({ err: error }, 'no new producer id'));
  }

  async #currentSequences(deadline: number): Promise<Sequences> {
    const asked = this.#sequences;
    try {
      return await asked;
    } catch {
      // The failed renewal was logged; one caller asks again, others that come meanwhile share it.
      if (this.#sequences === asked) {
        this.#sequences = newIdentity(this.#parts, deadline).then((identity) => new Sequences(identity));
      }
      return this.#sequences;
    }
  }
}

/** Records queue in order of their deadlines. */
const deadlineOf = ({ records }: { readonly records: readonly QueuedRecord[] }) => records.at(-1)!.deadline;

/** Takes the next records off the queue; those whose time is over have not been sent and are told so. */
function nextBatch(queue: PartitionQueue): QueuedRecord[] {
  const now = performance.now();
  if (queue.cut.length === 0) {
    const fresh = queue.waiting.findIndex((record) => record.deadline > now);
    const late = queue.waiting.splice(0, fresh < 0 ? queue.waiting.length : fresh);
    for (const record of late) record.settle({ kind: 'unknown', cause: new Error(LATE) });
    if (queue.waiting.length === 0) return [];
    queue.cut = [cutBatches(queue.waiting.slice(0, GATHERED_RECORDS))[0]!];
    queue.waiting.splice(0, queue.cut[0]!.length);
  }
  return queue.cut.shift()!;
}

function newIdentity(parts: ProducerParts, deadline: number): Promise<ProducerIdentity> {
  return retry(
    async () => {
      const link = await parts.cluster.anyLink();
      const answer = await link.request(
        requestOf('InitProducerId', { transactionalId: null, transactionTimeout: 60_000 }),
        parts.requestTimeoutMs,
      );
      check('InitProducerId', answer.errorCode);
      return { producerId: BigInt(answer.producerId), producerEpoch: answer.producerEpoch };
    },
    { deadline, firstStepMs: STEP_MS, maxStepMs: MAX_STEP_MS, again: isPassing },
  );
}
