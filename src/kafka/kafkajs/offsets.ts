import type { ClusterView } from './cluster.ts';
import { requestOf } from './internals.ts';
import type { BrokerAddress } from './link.ts';
import type { Links } from './links.ts';
import { BrokerError, ConnectionFault, ErrorCode } from './outcomes.ts';

const TIMESTAMPS = { earliest: '-2', latest: '-1' } as const;
export type LogEnd = keyof typeof TIMESTAMPS;

/**
 * First or last offset of partitions of one topic, asked of their leaders. `latest` under read_committed is the last stable
 * offset. Throws on the first partition that cannot be answered; what was known of the leaders is then forgotten.
 */
export async function listOffsets(
  cluster: ClusterView,
  links: Links,
  topic: string,
  partitions: readonly number[],
  end: LogEnd,
  isolation: 'read_committed' | 'read_uncommitted',
): Promise<ReadonlyMap<number, bigint>> {
  const byLeader = new Map<string, { leader: BrokerAddress; partitions: number[] }>();
  for (const partition of partitions) {
    const leader = await cluster.leaderOf(topic, partition);
    if (!leader && !cluster.knows(topic, partition)) {
      throw new BrokerError('Metadata', ErrorCode.unknownTopicOrPartition, `${topic}/${partition}`);
    }
    if (!leader) throw new ConnectionFault(`${topic}/${partition} has no leader`, { sent: false });
    const at = `${leader.host}:${leader.port}`;
    const group = byLeader.get(at);
    if (group) group.partitions.push(partition);
    else byLeader.set(at, { leader, partitions: [partition] });
  }
  const offsets = new Map<number, bigint>();
  try {
    await Promise.all(
      [...byLeader.values()].map(async (group) => {
        const link = await links.to(group.leader);
        const answer = await link.request(
          requestOf('ListOffsets', {
            isolationLevel: isolation === 'read_committed' ? 1 : 0,
            topics: [
              {
                topic,
                partitions: group.partitions.map((partition) => ({ partition, timestamp: TIMESTAMPS[end] })),
              },
            ],
          }),
        );
        for (const found of answer.responses.flatMap((response) => response.partitions)) {
          if (found.errorCode !== 0) {
            throw new BrokerError('ListOffsets', found.errorCode, `${topic}/${found.partition}`);
          }
          offsets.set(found.partition, BigInt(found.offset));
        }
      }),
    );
  } catch (error) {
    cluster.forgetLeader(topic);
    throw error;
  }
  return offsets;
}
