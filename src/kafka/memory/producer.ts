/** The plain producer: idempotent, in order within a partition, one outcome a record. */
import type { Producer, ProducerRecord, SendOutcome } from '../port.ts';
import { appendCutting, batchesOf } from './batching.ts';
import { BrokerError, hasCode } from './broker-errors.ts';
import { type Client, RETRY_DELAY_MS } from './client.ts';
import { delay } from './clock.ts';
import { sequenceAfter } from './sequences.ts';
import type { ProducerIdentity } from './transactions.ts';

const DELIVERY_TIMEOUT_MS = 30_000;

/** One partition's sends go one after another. It has a producer id of its own, so that it can start afresh alone. */
interface Lane {
  /** null: to be asked for, at first and after a batch of which nobody knows. */
  identity: ProducerIdentity | null;
  nextSequence: number;
  last: Promise<void>;
}

interface Pending {
  readonly record: ProducerRecord;
  outcome: SendOutcome | null;
}

export class MemoryProducer implements Producer {
  readonly #client: Client;
  readonly #deliveryTimeoutMs: number;
  readonly #lanes = new Map<string, Lane>();
  #closed = false;

  constructor(client: Client, options: { deliveryTimeoutMs?: number } = {}) {
    this.#client = client;
    this.#deliveryTimeoutMs = options.deliveryTimeoutMs ?? DELIVERY_TIMEOUT_MS;
  }

  async send(records: readonly ProducerRecord[]): Promise<readonly SendOutcome[]> {
    if (this.#closed) throw new Error('the producer is closed');
    const deadlineMs = this.#client.broker.clock.now() + this.#deliveryTimeoutMs;
    const pending = records.map((record): Pending => ({ record, outcome: null }));
    const byPartition = Map.groupBy(pending, ({ record }) => `${record.topic}/${record.partition}`);
    await Promise.all(
      [...byPartition].map(([name, group]) => {
        const lane = this.#lanes.get(name) ?? { identity: null, nextSequence: 0, last: Promise.resolve() };
        this.#lanes.set(name, lane);
        lane.last = lane.last.then(() => this.#sendGroup(lane, group, deadlineMs));
        return lane.last;
      }),
    );
    return pending.map(({ outcome }) => outcome!);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#lanes.values()].map((lane) => lane.last));
  }

  async #sendGroup(lane: Lane, group: readonly Pending[], deadlineMs: number): Promise<void> {
    const byRecord = batchesOf(group.map((pending) => ({ ...pending.record, pending })));
    for (const batch of byRecord) {
      try {
        await appendCutting(
          batch,
          async (part) => {
            await this.#append(lane, part, deadlineMs);
            for (const { pending } of part) pending.outcome = { kind: 'stored' };
          },
          ({ pending }, cause) => {
            pending.outcome = { kind: 'refused', tooLarge: hasCode(cause, 'MESSAGE_TOO_LARGE'), cause };
          },
        );
      } catch (error) {
        // Whether its numbers are used up nobody knows: the next batch begins under a new producer id.
        lane.identity = null;
        for (const { pending } of batch) pending.outcome ??= { kind: 'unknown', cause: error as Error };
      }
    }
  }

  /** The same batch under the same sequence numbers at each attempt, so that the broker drops what it has already. */
  async #append(lane: Lane, records: readonly ProducerRecord[], deadlineMs: number): Promise<void> {
    const { broker, wire } = this.#client;
    const { topic, partition } = records[0]!;
    for (;;) {
      try {
        if (!lane.identity) {
          lane.identity = await wire.request('InitProducerId', () => broker.transactions.newProducerId());
          lane.nextSequence = 0;
        }
        const { producerId, epoch } = lane.identity;
        const producer = { producerId, epoch, baseSequence: lane.nextSequence, transactional: false };
        await wire.request(
          'Produce',
          () => broker.topics.append(topic, partition, { records, timestampMs: broker.clock.now(), producer }),
          { at: { topic, partition } },
        );
        lane.nextSequence = sequenceAfter(lane.nextSequence, records.length);
        return;
      } catch (error) {
        const again = error instanceof BrokerError && error.canRetry;
        if (!again || broker.clock.now() + RETRY_DELAY_MS > deadlineMs) throw error;
        await delay(broker.clock, RETRY_DELAY_MS, wire.closed);
      }
    }
  }
}
