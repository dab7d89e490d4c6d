/** The Kafka port of one client of the in-process log. */
import type {
  Admin,
  FetchOptions,
  GroupHandlers,
  GroupMember,
  GroupOptions,
  KafkaPort,
  PartitionReader,
  Producer,
  SinkOptions,
  TopicPartition,
  TransactionalSink,
} from '../port.ts';
import { DESCRIPTION, MemoryAdmin } from './admin.ts';
import type { Client } from './client.ts';
import { MemoryMember } from './member.ts';
import { MemoryProducer } from './producer.ts';
import { MemoryReader } from './reader.ts';
import { openSink } from './sink.ts';

export class MemoryPort implements KafkaPort {
  readonly description = DESCRIPTION;
  readonly admin: Admin;
  readonly #client: Client;
  readonly #members = new Set<MemoryMember>();

  constructor(client: Client) {
    this.#client = client;
    this.admin = new MemoryAdmin(client);
  }

  joinGroup(options: GroupOptions, handlers: GroupHandlers): GroupMember {
    this.#assertOpen();
    const member = new MemoryMember(this.#client, options, handlers);
    this.#members.add(member);
    const forget = () => this.#members.delete(member);
    member.done.then(forget, forget);
    return member;
  }

  reader(at: TopicPartition, options?: FetchOptions): PartitionReader & { close(): Promise<void> } {
    this.#assertOpen();
    const ended = new AbortController();
    const reader = new MemoryReader(this.#client, at, options, ended.signal);
    return Object.assign(reader, { close: async () => ended.abort() });
  }

  openSink(options: SinkOptions): Promise<TransactionalSink> {
    return openSink(this.#client, options);
  }

  async producer(options?: { deliveryTimeoutMs?: number }): Promise<Producer> {
    this.#assertOpen();
    return new MemoryProducer(this.#client, options);
  }

  /**
   * Members and sinks that are still open are left behind as those of a client that vanished: their sessions expire, their
   * open transactions wait for a successor or the timeout.
   */
  async close(): Promise<void> {
    this.#client.wire.close();
    await Promise.allSettled([...this.#members].map((member) => member.done));
  }

  #assertOpen(): void {
    if (this.#client.wire.closed.aborted) throw new Error('the Kafka port is closed');
  }
}
