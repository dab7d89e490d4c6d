/** Who leads. */
import { z } from 'zod';
import { envelope, whole } from './envelope.ts';

const leaderElected = z.object({
  ...envelope,
  type: z.literal('LeaderElected'),
  /** Which leadership: Weir's own is `control`. */
  name: z.string(),
  member: z.string(),
  /** By which the new leader knows its own record. */
  electionId: z.string(),
  /** Of the group that gave it the partition, and as whom. */
  generation: whole,
  memberId: z.string(),
});
export type LeaderElected = z.infer<typeof leaderElected>;

export const leaderSchemas = { LeaderElected: leaderElected } as const;

export interface Leader {
  readonly member: string;
  readonly electionId: string;
  /** In the consumer group. */
  readonly memberId: string;
  /** Offset of its LeaderElected record. */
  readonly leaderEpoch: number;
  /** Unix ms. */
  readonly since: number;
  /** Of its latest event; 0 before. */
  readonly sequence: number;
}

export interface LeadersState {
  /** By name of the leadership. */
  readonly leaders: ReadonlyMap<string, Leader>;
}

export const leaderFolds = {
  LeaderElected({ leaders }: LeadersState, event: LeaderElected, offset: bigint): LeadersState {
    const { name, member, electionId, memberId, at } = event;
    const leader: Leader = { member, electionId, memberId, leaderEpoch: Number(offset), since: at, sequence: 0 };
    return { leaders: new Map(leaders).set(name, leader) };
  },
};

/** Whichever leader wrote the event: it has come to that number. */
export function counted(
  leaders: LeadersState['leaders'],
  event: { leaderEpoch?: number | undefined; sequence?: number | undefined },
): LeadersState['leaders'] {
  for (const [name, leader] of leaders)
    if (leader.leaderEpoch === event.leaderEpoch && event.sequence !== undefined)
      return new Map(leaders).set(name, { ...leader, sequence: event.sequence });
  return leaders;
}
