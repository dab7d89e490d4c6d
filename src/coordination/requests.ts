/**
 * What members ask of the leader, on `weir.requests`: JSON, one request a record, each with an id. The leader answers in the control log, in the
 * transaction that commits the request's offset: so each is answered once, whatever happens to the leader, and a request that comes twice is
 * not granted twice. Who asks waits for the answer in the control log.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { WeirError } from '../errors.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import type { ControlLogFollower } from './control-log.ts';
import { OPERATION_ENDS } from './events.ts';
import type { Answer } from './state.ts';
import { fenceSchema, type Wish, wishSchema } from './wishes.ts';

const resource = z.string().min(1).max(200);
const token = z.int().min(0);
/** Of what an operation does, and of how it ended: in characters. */
export const MAX_TEXT_LENGTH = 1_000;
const text = z.string().max(MAX_TEXT_LENGTH);

/** What can be asked by code only: see `locks.ts` and `operations.ts`. */
export const lockWishSchema = z.discriminatedUnion('kind', [
  /** `wait`: in line, until the request lapses. */
  z.strictObject({
    kind: z.literal('acquire'),
    resource,
    ttlMs: z.int().min(100).max(3_600_000),
    wait: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('renew'), resource, token }),
  z.strictObject({ kind: z.literal('release'), resource, token }),
  /** Of an operation under the lock. */
  z.strictObject({ kind: z.literal('start'), resource, token, what: text }),
  /** Releases the lock, too. */
  z.strictObject({
    kind: z.literal('end'),
    resource,
    token,
    outcome: z.enum(OPERATION_ENDS),
    text,
  }),
]);
export type LockWish = z.infer<typeof lockWishSchema>;

const requestSchema = z.object({
  version: z.literal(1),
  id: z.string().min(1).max(100),
  /** Who asks. */
  member: z.string(),
  /** Unix ms, by the asker's clock. */
  at: z.int(),
  /** Unix ms: not to be granted any more from then on. */
  expiresAt: z.int(),
  fence: fenceSchema.optional(),
  wish: z.union([wishSchema, lockWishSchema]),
});
export type Request = z.infer<typeof requestSchema>;

export function encodeRequest(request: Request): Uint8Array {
  return Buffer.from(JSON.stringify(request));
}

export type DecodedRequest =
  | { readonly kind: 'request'; readonly request: Request }
  /** `id` is null when there is nobody to be answered. */
  | { readonly kind: 'unreadable'; readonly id: string | null; readonly text: string };

export function decodeRequest(value: Uint8Array | null): DecodedRequest {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(value ?? []).toString('utf8'));
  } catch {
    return { kind: 'unreadable', id: null, text: 'the request is not JSON' };
  }
  const parsed = requestSchema.safeParse(json);
  if (parsed.success) return { kind: 'request', request: parsed.data };
  const id = z.object({ id: z.string() }).safeParse(json).data?.id ?? null;
  return {
    kind: 'unreadable',
    id,
    text: `the leader does not understand the request: ${z.prettifyError(parsed.error)}`,
  };
}

export interface AskOptions {
  readonly member: string;
  /** A lock under which it is asked: the leader refuses when the token is not the latest. */
  readonly fence?: Request['fence'] | undefined;
  /** Until then the leader may grant it. Default 30,000. */
  readonly timeoutMs?: number;
  /** Waited for the answer beyond that, and after a cancellation: clocks differ, and a leader may have to be elected. Default 5,000. */
  readonly graceMs?: number;
  /** Aborted: the request is cancelled; when it was granted before, that is told all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** The answer to a request that was accepted. */
export interface Accepted extends Answer {
  readonly id: string;
}

/** Throws REQUEST_REFUSED and REQUEST_UNANSWERED. */
export async function askLeader(
  port: KafkaPort,
  names: Pick<Names, 'requests'>,
  log: ControlLogFollower,
  wish: Wish | LockWish,
  { member, fence, timeoutMs = 30_000, graceMs = 5_000, signal }: AskOptions,
): Promise<Accepted> {
  const producer = await port.producer();
  const at = Date.now();
  const send = async (of: Request['wish'], id: string) => {
    const value = encodeRequest({ version: 1, id, member, at, expiresAt: at + timeoutMs, fence, wish: of });
    const [outcome] = await producer.send([{ topic: names.requests, partition: 0, value }]);
    if (outcome?.kind === 'refused') throw outcome.cause;
    // Unknown: it may be there, and then it is answered.
  };
  const id = randomUUID();
  const answered = (withinMs: number, cancel?: AbortSignal) => {
    const patience = AbortSignal.timeout(withinMs);
    const either = cancel ? AbortSignal.any([patience, cancel]) : patience;
    return log
      .waitFor((state) => state.answers.has(id), { signal: either })
      .catch((cause: unknown) => {
        if (patience.aborted) throw unanswered(names.requests, cause);
        throw cause;
      });
  };
  try {
    await send(wish, id);
    const state = await answered(timeoutMs + graceMs, signal).catch(async (error: unknown) => {
      if (!signal?.aborted) throw error;
      await send({ kind: 'cancel', id }, randomUUID());
      return answered(graceMs);
    });
    const answer = state.answers.get(id)!;
    if (answer.outcome !== 'accepted') throw new WeirError('REQUEST_REFUSED', answer.text);
    return { id, ...answer };
  } finally {
    await producer.close();
  }
}

function unanswered(topic: string, cause: unknown): WeirError {
  return new WeirError(
    'REQUEST_UNANSWERED',
    `asking the leader by ${topic}: there is no answer. See that a \`weir control\` runs (\`weir inspect members\`); the request lapses, or is cancelled when the next one comes to it`,
    { cause },
  );
}
