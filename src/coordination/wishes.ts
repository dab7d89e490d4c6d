/** What anybody can ask of the leader, by the command line and the API: changes of the shards. */
import { z } from 'zod';
import { SIGNALS } from '../signals.ts';

const name = z.string().min(1).max(200);

/** A lock under which something is asked: refused unless the token is the resource's latest. */
export const fenceSchema = z.strictObject({ resource: name, token: z.int().min(0) });
export type Fence = z.infer<typeof fenceSchema>;

/** What leads to another ring epoch; one is in flight at a time, the others wait for their turn. */
export const changeWishSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('create'),
    signal: z.enum(SIGNALS),
    name,
    capacity: z.number().positive().max(1_000).default(1),
  }),
  z.strictObject({ kind: z.literal('split'), shard: name }),
  z.strictObject({ kind: z.literal('merge'), shard: name, into: name }),
  z.strictObject({ kind: z.literal('retire'), shard: name }),
  z.strictObject({ kind: z.literal('move'), from: name, to: name, slots: z.int().min(1) }),
]);
export type ChangeWish = z.infer<typeof changeWishSchema>;

export const wishSchema = z.discriminatedUnion('kind', [
  ...changeWishSchema.options,
  /** Takes the proposed ring epoch back. */
  z.strictObject({ kind: z.literal('abandon') }),
  /** Takes a request back that waits. */
  z.strictObject({ kind: z.literal('cancel'), id: z.string().min(1).max(100) }),
]);
export type Wish = z.infer<typeof wishSchema>;
export const WISH_KINDS: readonly Wish['kind'][] = wishSchema.options.map(({ shape }) => shape.kind.value);

/** Such as `split shard=traces-0003`: for people. */
export function wishText(wish: Wish): string {
  const { kind, ...of } = wish;
  return [kind, ...Object.entries(of).map(([key, value]) => `${key}=${value}`)].join(' ');
}
