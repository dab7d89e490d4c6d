/** The headers that Weir writes on shard records and dead letters: what each says stands in docs and README, as others read them. */
import type { Headers, TopicPartition } from '../kafka/port.ts';

type HeaderName =
  | 'weir-ring-epoch'
  | 'weir-source'
  | 'weir-marker'
  | 'weir-migrated-from'
  | 'weir-migrated-origin'
  | 'weir-reason'
  | 'weir-error'
  | 'weir-cut-from';

const text = new TextEncoder();

export function header(name: HeaderName, value: string | number): Headers[number] {
  return [name, text.encode(String(value))];
}

/** `topic/partition/offset`. */
export function sourceOf({ topic, partition }: TopicPartition, offset: bigint): string {
  return `${topic}/${partition}/${offset}`;
}

/** `topic/partition/first-last`. */
export function sourcesOf(of: TopicPartition, first: bigint, last: bigint): string {
  return `${sourceOf(of, first)}-${last}`;
}
