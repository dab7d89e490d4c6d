/**
 * The events of the control log (`weir.control`), in JSON, one a record. They are the single source of truth: state = fold(events), see
 * `state.ts`. An event of a type or version that this build does not know stops the member: skipping it would fork the state.
 *
 * | type | version | written | says |
 * |---|---|---|---|
 * | LeaderElected | 1 | by a new leader, before anything else | who leads; the record's offset is the leader epoch |
 * | RingActive | 1 | by the first leader or `weir topics --create`; then once all have adopted a proposal, and what goes with it is copied | the ring epoch in force: the first whole, later ones by their number |
 * | RingProposed | 1 | on a request or a decision, one at a time | what changes from the ring epoch in force to the next; or that the proposal before it is taken back |
 * | RequestAnswered | 1 | with the consumed offset of the request, in one transaction | what became of a request |
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
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { z } from 'zod';
import { DECISION_KINDS } from '../control/decision.ts';
import { WeirError } from '../errors.ts';
import { ROLES } from '../load/load-report.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { ringChangeSchema, shardSchema } from './ring-change.ts';
import { type RingEpoch, type SignalRing, slotOwners, UNTOUCHED } from './ring-epoch.ts';

const whole = z.int().min(0);

const envelope = {
  version: z.literal(1),
  /** Unix ms, by the writer's clock. */
  at: whole,
};

/** What only a leader writes: under which leader epoch, and the how many-th event of it (LeaderElected itself is 0). */
const led = { ...envelope, leaderEpoch: whole, sequence: z.int().min(1) };

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

const signalRing = z.object({
  key: z.string(),
  slotBits: z.union([z.literal(16), z.literal(18)]),
  shards: z.array(shardSchema).min(1),
  /** Owner of each slot: base64 of deflate-raw of u16 LE. Runs of a shard make it small: 256 shards on 2^18 slots take about 450 KB. */
  slotTable: z.string(),
  /** 16 hex digits of XXH64 of the key. */
  overrides: z.array(z.object({ keyHash: z.string().regex(/^[0-9a-f]{16}$/), shard: whole })).max(1_024),
});

const ringActive = z.object({
  ...envelope,
  type: z.literal('RingActive'),
  /** Absent when `weir topics --create` wrote it. */
  leaderEpoch: whole.optional(),
  sequence: z.int().min(1).optional(),
  epoch: z.int().min(1),
  /** What was copied for it, and how long that took. */
  carried: z.object({ items: whole, bytes: whole, ms: whole }).optional(),
  /** Of the first epoch. A later one is what RingProposed has made of the one before. */
  signals: z.object({ traces: signalRing, metrics: signalRing, logs: signalRing }).optional(),
});

const ringProposed = z.object({
  ...led,
  type: z.literal('RingProposed'),
  epoch: z.int().min(2),
  /** The ring epoch in force, which `change` leads on from. */
  base: z.int().min(1),
  change: ringChangeSchema,
  /** Epoch of the proposal in flight that this one takes back; then `change` is empty. */
  abandons: z.int().min(2).optional(),
  /** What the moved slots got in this time before `at` is copied to their new shards before it becomes active. */
  carryMs: whole,
  reason: z.string(),
  /** Whose wish it is, if a request's. */
  requestId: z.string().optional(),
  /** Or a decision's. */
  decisionId: z.string().optional(),
  /** Of slot moves that are to be judged once they are in force: load of the hottest shard over its fair share, before and as planned. */
  planned: z.object({ signal: z.enum(SIGNALS), from: z.number(), to: z.number() }).optional(),
});

export const REQUEST_OUTCOMES = ['accepted', 'refused', 'cancelled', 'expired'] as const;

const requestAnswered = z.object({
  ...led,
  type: z.literal('RequestAnswered'),
  id: z.string(),
  outcome: z.enum(REQUEST_OUTCOMES),
  /** For people: what was done, or why not. */
  text: z.string(),
  /** Of the proposal that it has led to. */
  ringEpoch: whole.optional(),
});

const decisionMade = z.object({
  ...led,
  type: z.literal('DecisionMade'),
  id: z.string(),
  kind: z.enum(DECISION_KINDS),
  subject: z.string(),
  /** What makes two decisions of one subject the same: see `fingerprint` of the decision's kind in src/control. */
  fingerprint: z.string(),
  /** Unix ms: until then nothing more is decided about the subject. */
  until: whole,
  /** Next offset of `weir.load` at the tick: from here a later leader may read on. */
  inputOffset: whole,
});

const planVerified = z.object({
  ...led,
  type: z.literal('PlanVerified'),
  /** That the moves led to. */
  epoch: z.int().min(2),
  decisionId: z.string(),
  /** Load of the hottest shard over its fair share. */
  measured: z.number(),
  /** RingProposed with the moves back goes with it. */
  reversed: z.boolean(),
});

const conditionCleared = z.object({
  ...led,
  type: z.literal('ConditionCleared'),
  kind: z.enum(DECISION_KINDS),
  subject: z.string(),
});

const memberJoined = z.object({
  ...led,
  type: z.literal('MemberJoined'),
  id: z.string(),
  role: z.enum(ROLES),
  /** Of Weir. */
  release: z.string(),
});

const memberGone = z.object({
  ...led,
  type: z.literal('MemberGone'),
  id: z.string(),
  /** `left`: it said so. `lost`: killed, stuck, or cut off from Kafka; it joins again when it is heard again. */
  how: z.enum(['left', 'lost']),
  /** Unix ms, by its own clock: the end of its last report. */
  reportedAt: whole,
});

const claim = {
  resource: z.string(),
  requestId: z.string(),
  /** Member that asked. */
  holder: z.string(),
  /** From the grant, the last renewal or the election of a leader, whichever is the latest. */
  ttlMs: z.int().min(1),
};

const lockGranted = z.object({ ...led, type: z.literal('LockGranted'), ...claim });

const lockQueued = z.object({
  ...led,
  type: z.literal('LockQueued'),
  ...claim,
  /** Unix ms: not to be granted any more from then on. */
  until: whole,
});

const lockReleased = z.object({
  ...led,
  type: z.literal('LockReleased'),
  resource: z.string(),
  token: whole,
  how: z.enum(['released', 'expired']),
});

const operationStarted = z.object({
  ...led,
  type: z.literal('OperationStarted'),
  resource: z.string(),
  token: whole,
  /** For people. */
  what: z.string(),
});

/** What the holder of the lock can say of its operation. `interrupted` is the leader's word for one that says nothing more. */
export const OPERATION_ENDS = ['done', 'refused', 'failed', 'timed-out'] as const;

const operationEnded = z.object({
  ...led,
  type: z.literal('OperationEnded'),
  resource: z.string(),
  token: whole,
  outcome: z.enum([...OPERATION_ENDS, 'interrupted']),
  text: z.string(),
});

const SCHEMAS = {
  LeaderElected: leaderElected,
  RingActive: ringActive,
  RingProposed: ringProposed,
  RequestAnswered: requestAnswered,
  DecisionMade: decisionMade,
  PlanVerified: planVerified,
  ConditionCleared: conditionCleared,
  MemberJoined: memberJoined,
  MemberGone: memberGone,
  LockGranted: lockGranted,
  LockQueued: lockQueued,
  LockReleased: lockReleased,
  OperationStarted: operationStarted,
  OperationEnded: operationEnded,
} as const;

export type LeaderElected = z.infer<typeof leaderElected>;
export type RingActive = z.infer<typeof ringActive>;
export type RingProposed = z.infer<typeof ringProposed>;
export type RequestAnswered = z.infer<typeof requestAnswered>;
export type DecisionMade = z.infer<typeof decisionMade>;
export type PlanVerified = z.infer<typeof planVerified>;
export type ConditionCleared = z.infer<typeof conditionCleared>;
export type MemberJoined = z.infer<typeof memberJoined>;
export type MemberGone = z.infer<typeof memberGone>;
export type LockGranted = z.infer<typeof lockGranted>;
export type LockQueued = z.infer<typeof lockQueued>;
export type LockReleased = z.infer<typeof lockReleased>;
export type OperationStarted = z.infer<typeof operationStarted>;
export type OperationEnded = z.infer<typeof operationEnded>;
export type ControlEvent =
  | LeaderElected
  | RingActive
  | RingProposed
  | RequestAnswered
  | DecisionMade
  | PlanVerified
  | ConditionCleared
  | MemberJoined
  | MemberGone
  | LockGranted
  | LockQueued
  | LockReleased
  | OperationStarted
  | OperationEnded;

/** Distributes over the union, so that `type` keeps telling the variants apart. */
type WithoutLead<E> = E extends ControlEvent ? Omit<E, 'leaderEpoch' | 'sequence'> : never;
/** What a leader hands to `Leadership.write`, which adds its epoch and the sequence. */
export type LedEvent = WithoutLead<Exclude<ControlEvent, LeaderElected>>;

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
  const head = z.object({ type: z.string(), version: z.int() }).safeParse(json);
  if (!head.success) throw unreadable('the event has no type and version', head.error);
  const { type, version } = head.data;
  if (!Object.hasOwn(SCHEMAS, type)) throw unreadable(`the event type ${type} (version ${version}) is unknown`);
  const schema = SCHEMAS[type as keyof typeof SCHEMAS];
  if (version !== schema.shape.version.value) throw unreadable(`version ${version} of the event ${type} is unknown`);
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw unreadable(`the event ${type} is damaged: ${z.prettifyError(parsed.error)}`, parsed.error);
  return parsed.data;
}

/** Of the first epoch: whole. */
export function ringActiveEvent(ring: RingEpoch, at: number): WithoutLead<RingActive> {
  const signal = (of: SignalRing): z.infer<typeof signalRing> => ({
    key: of.key,
    slotBits: of.slotBits,
    shards: of.shards.map(({ id, name, topic, weight }) => ({ id, name, topic, weight })),
    slotTable: deflateRawSync(u16LittleEndian(of.slots)).toString('base64'),
    overrides: [...of.overrides].map(([hash, shard]) => ({ keyHash: hash.toString(16).padStart(16, '0'), shard })),
  });
  const { traces, metrics, logs } = ring.signals;
  return {
    type: 'RingActive',
    version: 1,
    at,
    epoch: ring.epoch,
    signals: { traces: signal(traces), metrics: signal(metrics), logs: signal(logs) },
  };
}

/** Throws CONTROL_LOG_UNREADABLE when a table does not have a slot for each, or a slot without an owner. */
export function ringOf(epoch: number, encoded: NonNullable<RingActive['signals']>): RingEpoch {
  const signals = Object.fromEntries(
    SIGNALS.map((signal) => [signal, decodeSignal(epoch, signal, encoded[signal])]),
  ) as unknown as Record<Signal, SignalRing>;
  return { epoch, signals, touched: UNTOUCHED };
}

function decodeSignal(epoch: number, signal: Signal, of: z.infer<typeof signalRing>): SignalRing {
  const damaged = (what: string, cause?: unknown) =>
    new WeirError(
      'CONTROL_LOG_UNREADABLE',
      `reading ring epoch ${epoch}: the slot table of ${signal} ${what}. The control log is damaged: restore it, or start with another prefix`,
      { cause },
    );
  const slotCount = 2 ** of.slotBits;
  let bytes: Buffer;
  try {
    bytes = inflateRawSync(Buffer.from(of.slotTable, 'base64'), { maxOutputLength: slotCount * 2 });
  } catch (cause) {
    throw damaged('cannot be unpacked', cause);
  }
  if (bytes.length !== slotCount * 2) throw damaged(`has ${bytes.length / 2} slots, not ${slotCount}`);
  const slots = new Uint16Array(slotCount);
  for (let slot = 0; slot < slotCount; slot++) slots[slot] = bytes[2 * slot]! | (bytes[2 * slot + 1]! << 8);
  const known = new Set(of.shards.map((shard) => shard.id));
  for (const shard of slotOwners(slots))
    if (!known.has(shard)) throw damaged(`gives slots to shard ${shard}, which is none`);
  return {
    key: of.key,
    slotBits: of.slotBits,
    slots,
    shards: of.shards,
    overrides: new Map(of.overrides.map(({ keyHash, shard }) => [BigInt(`0x${keyHash}`), shard])),
  };
}

function u16LittleEndian(slots: Uint16Array): Uint8Array {
  const bytes = Buffer.alloc(slots.length * 2);
  slots.forEach((shard, slot) => {
    bytes.writeUInt16LE(shard, slot * 2);
  });
  return bytes;
}
