/**
 * The transaction coordinator: producer ids, epochs, fencing by transactional id, and the end of transactions, by request or
 * by timeout. Answers are those of Apache Kafka to a client without KIP-890's second part (as kafkajs is): the epoch is
 * bumped by InitProducerId and by a timeout, not by each EndTxn.
 */
import type { OffsetToCommit, TopicPartition } from '../port.ts';
import { BrokerError } from './broker-errors.ts';
import type { Clock } from './clock.ts';
import type { AppendRequest } from './log.ts';
import type { GroupOffsets } from './offsets.ts';
import type { Topics } from './topics.ts';

export interface ProducerIdentity {
  readonly producerId: number;
  readonly epoch: number;
}

export interface TransactionalIdentity extends ProducerIdentity {
  readonly transactionalId: string;
}

interface TransactionState {
  producerId: number;
  epoch: number;
  timeoutMs: number;
  open: OpenTransaction | null;
}

interface OpenTransaction {
  readonly partitions: Map<string, TopicPartition>;
  readonly groups: Set<string>;
  cancelTimeout(): void;
}

/** Epochs are 16 bits on the wire. At the end of them the transactional id gets another producer id. */
const LAST_EPOCH = 32_766;

export class TransactionCoordinator {
  readonly #clock: Clock;
  readonly #topics: Topics;
  readonly #offsets: GroupOffsets;
  readonly #states = new Map<string, TransactionState>();
  #nextProducerId = 1;

  constructor(clock: Clock, topics: Topics, offsets: GroupOffsets) {
    this.#clock = clock;
    this.#topics = topics;
    this.#offsets = offsets;
  }

  /** For a producer without transactions. */
  newProducerId(): ProducerIdentity {
    return { producerId: this.#nextProducerId++, epoch: 0 };
  }

  /** Fences every earlier producer of the transactional id and aborts its open transaction. */
  initProducerId(transactionalId: string, timeoutMs: number): TransactionalIdentity {
    let state = this.#states.get(transactionalId);
    if (!state) {
      state = { producerId: this.#nextProducerId++, epoch: -1, timeoutMs, open: null };
      this.#states.set(transactionalId, state);
    }
    if (state.open) this.#fenceAndAbort(state);
    state.timeoutMs = timeoutMs;
    this.#bumpEpoch(state);
    return { transactionalId, producerId: state.producerId, epoch: state.epoch };
  }

  addPartitions(identity: TransactionalIdentity, partitions: readonly TopicPartition[]): void {
    const state = this.#checked(identity);
    for (const at of partitions) this.#topics.log(at.topic, at.partition);
    const open = this.#begun(state);
    for (const { topic, partition } of partitions) open.partitions.set(`${topic}/${partition}`, { topic, partition });
  }

  /** Offset of the first record. */
  produce(identity: TransactionalIdentity, at: TopicPartition, baseSequence: number, request: AppendRequest): number {
    const state = this.#checked(identity);
    if (!state.open?.partitions.has(`${at.topic}/${at.partition}`)) {
      throw new BrokerError('INVALID_TXN_STATE', `${at.topic}/${at.partition} is not part of the transaction`);
    }
    const { producerId, epoch } = identity;
    const producer = { producerId, epoch, baseSequence, transactional: true };
    return this.#topics.append(at.topic, at.partition, { ...request, producer });
  }

  addOffsets(identity: TransactionalIdentity, groupId: string): void {
    const state = this.#checked(identity);
    this.#begun(state).groups.add(groupId);
  }

  commitOffsets(identity: TransactionalIdentity, groupId: string, offsets: readonly OffsetToCommit[]): void {
    const state = this.#checked(identity);
    if (!state.open?.groups.has(groupId)) {
      throw new BrokerError('INVALID_TXN_STATE', `group ${groupId} is not part of the transaction`);
    }
    for (const at of offsets) this.#topics.log(at.topic, at.partition);
    this.#offsets.addPending(state.producerId, groupId, offsets);
  }

  end(identity: TransactionalIdentity, outcome: 'committed' | 'aborted'): void {
    const state = this.#checked(identity);
    if (!state.open) {
      throw new BrokerError(
        'INVALID_TXN_STATE',
        `transactional id ${identity.transactionalId} has no transaction open`,
      );
    }
    this.#end(state, outcome);
  }

  #checked({ transactionalId, producerId, epoch }: TransactionalIdentity): TransactionState {
    const state = this.#states.get(transactionalId);
    if (state?.producerId !== producerId) {
      throw new BrokerError('INVALID_PRODUCER_ID_MAPPING', `${transactionalId} is not of producer ${producerId}`);
    }
    if (state.epoch !== epoch) {
      throw new BrokerError(
        'PRODUCER_FENCED',
        `${transactionalId} has epoch ${state.epoch}, the producer has ${epoch}`,
      );
    }
    return state;
  }

  #begun(state: TransactionState): OpenTransaction {
    if (!state.open) {
      const cancelTimeout = this.#clock.setTimer(() => this.#fenceAndAbort(state), state.timeoutMs, true);
      state.open = { partitions: new Map(), groups: new Set(), cancelTimeout };
    }
    return state.open;
  }

  /** The markers carry the bumped epoch, so that no late Produce of the older one lands behind them. */
  #fenceAndAbort(state: TransactionState): void {
    state.epoch++;
    this.#end(state, 'aborted');
  }

  #bumpEpoch(state: TransactionState): void {
    if (state.epoch < LAST_EPOCH) {
      state.epoch++;
      return;
    }
    state.producerId = this.#nextProducerId++;
    state.epoch = 0;
  }

  #end(state: TransactionState, outcome: 'committed' | 'aborted'): void {
    const open = state.open!;
    open.cancelTimeout();
    state.open = null;
    const producer = { id: state.producerId, epoch: state.epoch };
    for (const { topic, partition } of open.partitions.values()) {
      this.#topics.endTransaction(topic, partition, producer, outcome);
    }
    this.#offsets.endTransaction(state.producerId, outcome);
  }
}
