/** Who works here, and who does not any more. */
import { z } from 'zod';
import { ROLES } from '../../load/load-report.ts';
import { led, whole } from './envelope.ts';

const memberJoined = z.object({
  ...led,
  type: z.literal('MemberJoined'),
  id: z.string(),
  role: z.enum(ROLES),
  /** Of Weir. */
  release: z.string(),
});
export type MemberJoined = z.infer<typeof memberJoined>;

const memberGone = z.object({
  ...led,
  type: z.literal('MemberGone'),
  id: z.string(),
  /** `left`: it said so. `lost`: killed, stuck, or cut off from Kafka; it joins again when it is heard again. */
  how: z.enum(['left', 'lost']),
  /** Unix ms, by its own clock: the end of its last report. */
  reportedAt: whole,
});
export type MemberGone = z.infer<typeof memberGone>;

export const memberSchemas = { MemberJoined: memberJoined, MemberGone: memberGone } as const;

export interface KnownMember extends Pick<MemberJoined, 'role' | 'release'> {
  /** Unix ms: when the leader heard it first. */
  readonly since: number;
}

export interface DepartedMember extends Pick<MemberJoined, 'role' | 'release'>, Pick<MemberGone, 'how' | 'reportedAt'> {
  /** Unix ms: when the leader noted it. */
  readonly at: number;
}

export interface MembersState {
  /** By id: those that have joined and are not gone. */
  readonly members: ReadonlyMap<string, KnownMember>;
  /** Those that are, oldest first; at most MAX_DEPARTED. */
  readonly departed: ReadonlyMap<string, DepartedMember>;
}

/** Members remembered that are gone. */
export const MAX_DEPARTED = 100;

export const memberFolds = {
  MemberJoined(state: MembersState, { id, role, release, at }: MemberJoined): MembersState {
    const members = new Map(state.members).set(id, { role, release, since: at });
    const departed = new Map(state.departed);
    departed.delete(id);
    return { members, departed };
  },

  MemberGone(state: MembersState, { id, how, reportedAt, at }: MemberGone): Partial<MembersState> {
    const member = state.members.get(id);
    if (!member) return {};
    const members = new Map(state.members);
    members.delete(id);
    const { role, release } = member;
    const departed = new Map(state.departed).set(id, { role, release, how, reportedAt, at });
    if (departed.size > MAX_DEPARTED) departed.delete(departed.keys().next().value!);
    return { members, departed };
  },
};
