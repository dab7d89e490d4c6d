import { WeirError } from '../errors.ts';

/** What a static member's `done` rejects with once another process has its place in the group. */
export const instanceIdTaken = (instanceId: string, groupId: string, cause: unknown): WeirError =>
  new WeirError(
    'INSTANCE_ID_TAKEN',
    `two processes share the instance id ${instanceId} in group ${groupId}, and the later one has this one's place. ` +
      'Give each its own kafka.instanceId (or none), and stop the one that is too many.',
    { cause },
  );
