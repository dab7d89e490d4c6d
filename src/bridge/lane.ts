/**
 * The records that wait for one ingest partition, in the order of their arrival. At most one batch of a lane is under way,
 * which keeps that order whatever the producer retries.
 */
import type { ProducerRecord } from '../kafka/port.ts';
import type { IngestTopic } from './ingest-topics.ts';
import { BATCH_OVERHEAD_BYTES } from './record-bytes.ts';

export interface QueuedRecord {
  readonly record: ProducerRecord & { readonly value: Uint8Array };
  /** As `recordBytes` counts them. */
  readonly bytes: number;
}

export class Lane<R extends QueuedRecord> {
  readonly topic: string;
  readonly partition: number;
  /** A batch of it is under way. */
  inFlight = false;
  readonly #of: IngestTopic;
  readonly #maxBatchBytes: number;
  #queue: R[] = [];
  #queuedBytes = 0;

  constructor(of: IngestTopic, partition: number, maxBatchBytes: number) {
    this.topic = of.topic;
    this.partition = partition;
    this.#of = of;
    this.#maxBatchBytes = maxBatchBytes;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** A batch's worth is waiting. */
  get isFull(): boolean {
    return this.#queuedBytes >= this.#batchBytes;
  }

  /** Of a lane that is not empty. */
  get nextBatchBytes(): number {
    return Math.min(this.#queuedBytes, Math.max(this.#batchBytes, this.#queue[0]!.bytes));
  }

  push(queued: R): void {
    this.#queue.push(queued);
    this.#queuedBytes += queued.bytes;
  }

  /** Takes a batch off the queue, leaving out those for which `isWanted` says no. One larger record goes alone. */
  takeBatch(isWanted: (queued: R) => boolean): R[] {
    const batch: R[] = [];
    let taken = 0;
    let bytes = 0;
    for (; taken < this.#queue.length; taken++) {
      const queued = this.#queue[taken]!;
      if (isWanted(queued)) {
        if (batch.length > 0 && bytes + queued.bytes > this.#batchBytes) break;
        bytes += queued.bytes;
        batch.push(queued);
      }
      this.#queuedBytes -= queued.bytes;
    }
    this.#queue = this.#queue.slice(taken);
    return batch;
  }

  /** The topic's limit may be altered at any time. */
  get #batchBytes(): number {
    return Math.min(this.#maxBatchBytes, this.#of.maxMessageBytes - BATCH_OVERHEAD_BYTES);
  }
}
