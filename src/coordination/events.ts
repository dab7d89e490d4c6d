/**
 * The events of the control log (`weir.control`), in JSON, one a record. They are the single source of truth: state = fold(events), see
 * `state.ts`. Each subject's events are in a file of `subjects/`, with what the state keeps of them. An event of a type or version that this
 * build does not know stops the member: skipping it would fork the state. Each event has the lowest version of its type that holds it, so that a
 * member of an older build goes on until there is one that it cannot follow.
 *
 * | type | version | written | says |
 * |---|---|---|---|
 * | LeaderElected | 1 | by a new leader, before anything else | who leads; the record's offset is the leader epoch |
 * | RingActive | 1, 2 | by the first leader or `weir topics --create`; then once all have adopted a proposal, and what goes with it is copied | the ring epoch in force: the first whole, later ones by their number |
 * | RingProposed | 1, 2 | on a request or a decision, one at a time | what changes from the ring epoch in force to the next; or that the proposal before it is taken back |
 * | RingAdopted | 1 | once all have adopted a proposal that something is to be copied for | that it cannot be taken back any more: from here on there are copies |
 * | RequestAnswered | 1 | with the consumed offset of the request, in one transaction | what became of a request |
 * | ChangeQueued | 1 | with the offset of a request for a change while another is in flight | its place: changes go by the order of these |
 * | DecisionMade | 1 | with each record on `weir.decisions`, in one transaction | what a later leader needs so as not to repeat it |
 * | PlanVerified | 1 | a load window after a decision's moves became active | that they are judged, and need not be again |
 * | ConditionCleared | 1 | when the condition of a decision is gone | that the same decision may be made again |
 * | MemberJoined | 1 | when a member is heard on `weir.load` for the first time, or again | who works here |
 * | MemberGone | 1 | when it says that it leaves, or is not heard for its timeout | who does not any more, and why |
 * | LockGranted | 1 | with the answer to its request, or when its turn has come | who holds the resource; the record's offset is the fencing token |
 * | LockQueued | 1 | with the offset of a request that has to wait | its place: grants go by the order of these |
 * | LockReleased | 1 | on a request, or when the time of the lock is over | that the token is not valid any more |
 * | OperationStarted | 1 | at the wish of who holds the lock | what is about to be done; its effects come after this |
 * | OperationEnded | 1 | with the LockReleased of its lock, in one transaction | what became of it, also when nothing was started |
 */
import { z } from 'zod';
import { WeirError } from '../errors.ts';
import { decisionSchemas } from './subjects/decisions.ts';
import type { WithoutLead } from './subjects/envelope.ts';
import { type LeaderElected, leaderSchemas } from './subjects/leaders.ts';
import { lockSchemas } from './subjects/locks.ts';
import { memberSchemas } from './subjects/members.ts';
import { requestSchemas } from './subjects/requests.ts';
import { ringSchemas } from './subjects/rings.ts';
import { waitingChangeSchemas } from './subjects/waiting-changes.ts';

export { ringOf } from './ring-encoding.ts';
export type { ConditionCleared, DecisionMade } from './subjects/decisions.ts';
export type { LeaderElected } from './subjects/leaders.ts';
export {
  type LockGranted,
  type LockQueued,
  type LockReleased,
  OPERATION_ENDS,
  type OperationEnded,
  type OperationStarted,
} from './subjects/locks.ts';
export type { MemberGone, MemberJoined } from './subjects/members.ts';
export { REQUEST_OUTCOMES, type RequestAnswered } from './subjects/requests.ts';
export {
  type PlanVerified,
  type RingActive,
  type RingAdopted,
  type RingProposed,
  ringActiveEvent,
  versionOfChange,
} from './subjects/rings.ts';

/** Every event that there is. */
const SCHEMAS = {
  ...leaderSchemas,
  ...ringSchemas,
  ...requestSchemas,
  ...waitingChangeSchemas,
  ...decisionSchemas,
  ...memberSchemas,
  ...lockSchemas,
} as const;

export type ControlEvent = z.infer<(typeof SCHEMAS)[keyof typeof SCHEMAS]>;

/** What a leader hands to `Leadership.write`, which adds its epoch and the sequence. */
export type LedEvent = WithoutLead<Exclude<ControlEvent, LeaderElected>>;

/** What tells whether this build knows the event at all. */
const headSchema = z.object({ type: z.string(), version: z.int() });

/** Throws a ZodError where readers would stop at it: it is better not written than in the log for ever. */
export function encodeEvent(event: ControlEvent): Uint8Array {
  SCHEMAS[event.type].parse(event);
  return Buffer.from(JSON.stringify(event));
}

/** `where` names the record, for the error. */
export function decodeEvent(value: Uint8Array | null, where: string): ControlEvent {
  const unreadable = (what: string, cause?: unknown) =>
    new WeirError(
      'CONTROL_LOG_UNREADABLE',
      `reading ${where}: ${what}. Run the version of Weir that wrote it, or a newer one; nothing was skipped`,
      { cause },
    );
  if (value === null) throw unreadable('the record has no value');
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8'));
  } catch (cause) {
    throw unreadable('the record is not JSON', cause);
  }
  const head = headSchema.safeParse(json);
  if (!head.success) throw unreadable('the event has no type and version', head.error);
  const { type, version } = head.data;
  if (!Object.hasOwn(SCHEMAS, type)) throw unreadable(`the event type ${type} (version ${version}) is unknown`);
  const schema = SCHEMAS[type as keyof typeof SCHEMAS];
  const versions: ReadonlySet<number> = schema.shape.version.values;
  if (!versions.has(version)) throw unreadable(`version ${version} of the event ${type} is unknown`);
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw unreadable(`the event ${type} is damaged: ${z.prettifyError(parsed.error)}`, parsed.error);
  return parsed.data;
}
