/** Changes of the ring that were asked for while another was in flight: they wait in the log, so that any leader goes on with them. */
import { z } from 'zod';
import { changeWishSchema, fenceSchema } from '../wishes.ts';
import { led, whole } from './envelope.ts';

const changeQueued = z.object({
  ...led,
  type: z.literal('ChangeQueued'),
  requestId: z.string(),
  /** Who asked. */
  member: z.string(),
  wish: changeWishSchema,
  /** As the request has it. */
  fence: fenceSchema.optional(),
  /** Unix ms: not to be granted any more from then on. */
  until: whole,
});
export type ChangeQueued = z.infer<typeof changeQueued>;

export const waitingChangeSchemas = { ChangeQueued: changeQueued } as const;

export interface WaitingChange extends Pick<ChangeQueued, 'requestId' | 'member' | 'wish' | 'fence' | 'until'> {
  /** Unix ms. */
  readonly since: number;
}

export interface WaitingChangesState {
  /** In the order in which their turn comes. The answer to a request ends its waiting. */
  readonly waitingChanges: readonly WaitingChange[];
}

/** Who asks beyond that is refused: each takes a second or so, and the shards may be others by then than those that were asked about. */
export const MAX_WAITING_CHANGES = 16;

export const waitingChangeFolds = {
  ChangeQueued({ waitingChanges }: WaitingChangesState, event: ChangeQueued): WaitingChangesState {
    const { requestId, member, wish, fence, until, at: since } = event;
    return { waitingChanges: [...waitingChanges, { requestId, member, wish, fence, until, since }] };
  },
};
