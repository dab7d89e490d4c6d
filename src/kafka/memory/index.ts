/**
 * The in-process log: what Weir runs on where there is no Kafka, and what the simulation tests run on. It has Kafka's
 * partitions, transactions, fencing and groups behind the same port; data lives in this process and nowhere else.
 */
import type { KafkaPort } from '../port.ts';
import { createBroker } from './broker.ts';
import { type Clock, realClock } from './clock.ts';
import { MemoryPort } from './port.ts';
import { type HoldReply, type Intercept, Wire } from './wire.ts';

export type { Clock } from './clock.ts';
export { createFaults, type Faults } from './faults.ts';
export type { Fate, HoldReply, Intercept, Request, RequestName } from './wire.ts';

export interface MemoryKafkaOptions {
  /** Unix ms. Default: the real time. */
  readonly now?: Clock['now'];
  /** Default: real timers. With a simulated `now` it has to be simulated, too. */
  readonly setTimer?: Clock['setTimer'];
  /** What each request waits for first. Default: a turn of the event loop; with a simulated `setTimer` nothing. */
  readonly turn?: Clock['turn'];
  /** Most bytes of all logs together, beyond which the oldest records go. Default 256 MB. */
  readonly maxBytes?: number;
}

export interface MemoryKafka {
  /** One client. All clients share the log. `intercept` decides what becomes of each of its requests, `holdReply` when it hears of it. */
  connect(intercept?: Intercept, holdReply?: HoldReply): KafkaPort;
  /** Bytes of all logs together. */
  readonly storedBytes: number;
  /** As `kafka-topics --alter --partitions` does: it has so many from now on. */
  addPartitions(topic: string, partitions: number): void;
  /** Deletes the records before `offset`, as Kafka's DeleteRecords does. */
  truncate(topic: string, partition: number, offset: bigint): void;
  /** Ends a member's session at once, as if no heartbeat of it had come for the session timeout. */
  expireMember(groupId: string, memberId: string): void;
}

const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;

export function createMemoryKafka(options: MemoryKafkaOptions = {}): MemoryKafka {
  const { now = realClock.now, setTimer = realClock.setTimer, maxBytes = DEFAULT_MAX_BYTES } = options;
  const { turn = options.setTimer ? async () => {} : realClock.turn } = options;
  const clock: Clock = { now, setTimer, turn };
  const broker = createBroker(maxBytes, clock);
  return {
    connect: (intercept, holdReply) => new MemoryPort({ broker, wire: new Wire(clock, intercept, holdReply) }),
    get storedBytes() {
      return broker.topics.bytes;
    },
    addPartitions(topic, partitions) {
      broker.topics.addPartitions(topic, partitions);
      broker.groups.topicChanged(topic);
    },
    truncate: (topic, partition, offset) => broker.topics.truncate(topic, partition, Number(offset)),
    expireMember: (groupId, memberId) => broker.groups.remove(groupId, memberId),
  };
}
