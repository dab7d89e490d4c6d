/** Which input partitions have adopted a ring epoch: those whose committed offset names it, or a later one. */
import { WeirError } from '../errors.ts';
import type { CommittedOffset, KafkaPort } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import { SIGNALS } from '../signals.ts';
import { ringEpochOf } from './ring-epoch.ts';

export interface RingAcks {
  /** Of all input topics, as they are now. */
  readonly partitions: number;
  /** Those that have not adopted it. */
  readonly waiting: readonly WaitingPartition[];
}

export interface WaitingPartition {
  readonly topic: string;
  readonly partition: number;
  /** Of its committed offset; null: it has none, or one that no processor wrote. */
  readonly ringEpoch: number | null;
}

/**
 * Lists the partitions anew: one that was added a moment ago counts. An offset that is shown late is no harm: a partition's epoch never goes
 * down, so what was seen once holds. A topic that is not there, as an operator is about to make it anew, is waited for by its first partition.
 */
export async function readRingAcks(
  admin: Pick<KafkaPort['admin'], 'committedOffsets'>,
  names: Pick<Names, 'ingest' | 'processGroup'>,
  epoch: number,
): Promise<RingAcks> {
  const offsets = await Promise.all(
    SIGNALS.map(async (signal) => {
      const topic = names.ingest(signal);
      const committed = await admin.committedOffsets(names.processGroup, topic).catch(noPartition);
      return committed.map(({ partition, offset, metadata }) => ({
        topic,
        partition,
        ringEpoch: offset === null ? null : ringEpochOf(metadata),
      }));
    }),
  );
  const partitions = offsets.flat();
  return { partitions: partitions.length, waiting: partitions.filter(({ ringEpoch }) => (ringEpoch ?? 0) < epoch) };
}

function noPartition(error: unknown): CommittedOffset[] {
  if (error instanceof WeirError && error.code === 'TOPIC_MISSING')
    return [{ partition: 0, offset: null, metadata: '' }];
  throw error;
}
