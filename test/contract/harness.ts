import type { KafkaPort } from '../../src/kafka/port.ts';

/** What the contract suite needs of a Kafka beside the port itself: a way to make things go wrong on purpose. */
export interface ContractHarness {
  readonly adapter: 'kafkajs' | 'librdkafka' | 'memory';
  /** A port of its own: own connections, same log. */
  connect(): Promise<KafkaPort>;
  /**
   * A port through which faults can be made. `loseNextProduceReply`: the broker appends the next Produce (of a sink or
   * of a plain producer), its reply never arrives and the connection breaks.
   */
  connectFaulty(): Promise<{ port: KafkaPort; loseNextProduceReply(): void }>;
  /** Deletes the records before `offset`, so that a reader below it is out of range. */
  truncate(topic: string, partition: number, offset: bigint): Promise<void>;
  close(): Promise<void>;
}
