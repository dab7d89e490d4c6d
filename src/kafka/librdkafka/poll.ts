import type { Headers, Poll, TopicPartition, Value } from '../port.ts';
import type { RdMessage } from './binding.ts';

/** Records as the binding hands them out, each with buffers of its own: the lease is a promise to the caller, not a need. */
export class RdPoll implements Poll {
  readonly topic: string;
  readonly partition: number;
  readonly count: number;
  readonly bytes: number;
  readonly nextOffset: bigint;
  readonly #poison: boolean;
  #messages: readonly RdMessage[] | undefined;

  /** `messages`: at least one. */
  constructor(at: TopicPartition, messages: readonly RdMessage[], poison: boolean) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.count = messages.length;
    this.bytes = messages.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
    this.nextOffset = BigInt(messages.at(-1)!.offset + 1);
    this.#poison = poison;
    this.#messages = messages;
  }

  offset(index: number): bigint {
    return BigInt(this.#at(index).offset);
  }

  timestampMs(index: number): number {
    return this.#at(index).timestamp;
  }

  value(index: number): Value {
    return this.#at(index).value;
  }

  key(index: number): Value {
    return this.#at(index).key;
  }

  headers(index: number): Headers {
    return (this.#at(index).headers ?? []).map((header) => Object.entries(header)[0]!);
  }

  release(): void {
    const messages = this.#messages;
    this.#messages = undefined;
    if (!messages || !this.#poison) return;
    for (const { value, key } of messages) for (const view of [value, key]) view?.fill(0xdb);
  }

  #at(index: number): RdMessage {
    if (!this.#messages) throw new Error(`a poll of ${this.topic}/${this.partition} was used after its release`);
    const message = this.#messages[index];
    if (!message) throw new RangeError(`record ${index} of a poll of ${this.count}`);
    return message;
  }
}
