/** How far the processors are behind, as the brokers know it. */
import { ringEpochOf } from '../coordination/ring-epoch.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import { SIGNALS } from '../signals.ts';
import type { LagDocument, PartitionLagDocument } from './documents.ts';

/** Ingest topics that do not exist are left out. */
export async function readLag(port: KafkaPort, names: Names): Promise<LagDocument> {
  const { admin } = port;
  const group = names.processGroup;
  const topics = await admin.describeTopics(SIGNALS.map((signal) => names.ingest(signal)));
  const partitions = await Promise.all(
    topics.map(async ({ name: topic }): Promise<PartitionLagDocument[]> => {
      const [committed, offsets, lag] = await Promise.all([
        admin.committedOffsets(group, topic),
        admin.offsets(topic),
        admin.lag(group, topic),
      ]);
      return offsets.map(({ partition, latest }) => {
        const at = committed.find((candidate) => candidate.partition === partition);
        return {
          topic,
          partition,
          committed: at?.offset == null ? null : Number(at.offset),
          latest: Number(latest),
          records: Number(lag.get(partition) ?? 0n),
          ringEpoch: ringEpochOf(at?.metadata ?? ''),
        };
      });
    }),
  );
  const all = partitions.flat().sort((a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition);
  return { group, totalRecords: all.reduce((sum, { records }) => sum + records, 0), partitions: all };
}
