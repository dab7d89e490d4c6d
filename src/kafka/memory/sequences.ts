/**
 * What a partition remembers of its idempotent producers, as Kafka's ProducerStateManager does: epoch and the last five
 * batches by sequence number. It is what drops duplicates, and what makes "abort, then go on with the same producer" lose
 * data after a lost reply: the next batch comes with the sequence of the one already appended, and is taken for it.
 */
import { BrokerError } from './broker-errors.ts';

export interface ProducerStamp {
  readonly producerId: number;
  readonly epoch: number;
  /** Sequence number of the batch's first record, from 0 in each partition and epoch. */
  readonly baseSequence: number;
}

interface AppendedBatch {
  readonly first: number;
  readonly last: number;
  readonly baseOffset: number;
}

interface ProducerState {
  epoch: number;
  batches: AppendedBatch[];
  lastSeenMs: number;
}

const REMEMBERED_BATCHES = 5;
/** Kafka's `producer.id.expiration.ms`. */
const EXPIRATION_MS = 24 * 60 * 60 * 1_000;
/** From how many producers on a partition the expired ones are looked for. */
const EXPIRY_THRESHOLD = 1_024;
const SEQUENCES = 2 ** 31;

export const sequenceAfter = (sequence: number, count: number) => (sequence + count) % SEQUENCES;

export class ProducerSequences {
  readonly #producers = new Map<number, ProducerState>();

  /** Offset of the batch if it is there already, null if it may be appended now; throws if neither is so. */
  check(stamp: ProducerStamp, count: number): number | null {
    const state = this.#producers.get(stamp.producerId);
    if (!state) return null;
    if (stamp.epoch < state.epoch) {
      throw new BrokerError(
        'INVALID_PRODUCER_EPOCH',
        `producer ${stamp.producerId} writes with epoch ${stamp.epoch}, the partition has seen ${state.epoch}`,
      );
    }
    if (stamp.epoch > state.epoch) {
      if (stamp.baseSequence !== 0) throw outOfOrder(stamp, 0);
      return null;
    }
    const last = sequenceAfter(stamp.baseSequence, count - 1);
    const duplicate = state.batches.find((batch) => batch.first === stamp.baseSequence && batch.last === last);
    if (duplicate) return duplicate.baseOffset;
    const newest = state.batches.at(-1);
    const next = newest ? sequenceAfter(newest.last, 1) : 0;
    if (stamp.baseSequence !== next) throw outOfOrder(stamp, next);
    return null;
  }

  appended(stamp: ProducerStamp, count: number, baseOffset: number, nowMs: number): void {
    const state = this.#stateFor(stamp.producerId, stamp.epoch, nowMs);
    state.batches.push({ first: stamp.baseSequence, last: sequenceAfter(stamp.baseSequence, count - 1), baseOffset });
    if (state.batches.length > REMEMBERED_BATCHES) state.batches.shift();
  }

  /** A transaction marker carries an epoch too: one bumped for fencing shuts the partition to the older producer. */
  markerAppended(producerId: number, epoch: number, nowMs: number): void {
    this.#stateFor(producerId, epoch, nowMs);
  }

  #stateFor(producerId: number, epoch: number, nowMs: number): ProducerState {
    let state = this.#producers.get(producerId);
    if (!state || epoch > state.epoch) {
      if (!state && this.#producers.size >= EXPIRY_THRESHOLD) this.#expire(nowMs);
      state = { epoch, batches: [], lastSeenMs: nowMs };
      this.#producers.set(producerId, state);
    }
    state.lastSeenMs = nowMs;
    return state;
  }

  #expire(nowMs: number): void {
    for (const [producerId, state] of this.#producers) {
      if (nowMs - state.lastSeenMs > EXPIRATION_MS) this.#producers.delete(producerId);
    }
  }
}

const outOfOrder = (stamp: ProducerStamp, expected: number) =>
  new BrokerError(
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
    `producer ${stamp.producerId} sent sequence ${stamp.baseSequence}, expected ${expected}`,
  );
