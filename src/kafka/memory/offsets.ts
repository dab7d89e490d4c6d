/** Committed offsets of the groups. Those of an open transaction are kept apart until it ends. */
import type { OffsetToCommit } from '../port.ts';

export interface StoredOffset {
  readonly offset: number;
  readonly metadata: string;
}

export class GroupOffsets {
  /** group -> topic -> partition -> offset */
  readonly #committed = new Map<string, Map<string, Map<number, StoredOffset>>>();
  /** Producer id -> what its open transaction will commit, in order. */
  readonly #pending = new Map<number, { groupId: string; offset: OffsetToCommit }[]>();

  find(groupId: string, topic: string, partition: number): StoredOffset | undefined {
    return this.#committed.get(groupId)?.get(topic)?.get(partition);
  }

  addPending(producerId: number, groupId: string, offsets: readonly OffsetToCommit[]): void {
    const pending = this.#pending.get(producerId) ?? [];
    for (const offset of offsets) pending.push({ groupId, offset });
    this.#pending.set(producerId, pending);
  }

  /** Whether an open transaction holds an offset of the partition. */
  isPending(groupId: string, topic: string, partition: number): boolean {
    const holds = ({ groupId: of, offset }: { groupId: string; offset: OffsetToCommit }) =>
      of === groupId && offset.topic === topic && offset.partition === partition;
    return [...this.#pending.values()].some((pending) => pending.some(holds));
  }

  endTransaction(producerId: number, outcome: 'committed' | 'aborted'): void {
    if (outcome === 'committed') {
      for (const { groupId, offset } of this.#pending.get(producerId) ?? []) this.#store(groupId, offset);
    }
    this.#pending.delete(producerId);
  }

  topicDeleted(topic: string): void {
    for (const topics of this.#committed.values()) topics.delete(topic);
  }

  #store(groupId: string, { topic, partition, offset, metadata }: OffsetToCommit): void {
    const topics = this.#committed.get(groupId) ?? new Map<string, Map<number, StoredOffset>>();
    this.#committed.set(groupId, topics);
    const partitions = topics.get(topic) ?? new Map<number, StoredOffset>();
    topics.set(topic, partitions);
    partitions.set(partition, { offset: Number(offset), metadata: metadata ?? '' });
  }
}
