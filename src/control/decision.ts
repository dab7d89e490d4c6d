/**
 * A decision as it stands on `weir.decisions`: one JSON object a record, key = `kind/subject`. Users read it; a field never changes
 * its meaning, readers ignore fields that they do not know.
 */
import { z } from 'zod';
import { SIGNALS } from '../signals.ts';

export const DECISION_KINDS = ['scaling', 'rebalance', 'capacity', 'hot_key'] as const;
export type DecisionKind = (typeof DECISION_KINDS)[number];

/** Why: one rule that spoke, in the order of their weight. */
const reason = z.object({
  rule: z
    .string()
    .describe(
      'name of the rule, such as cpu-high: the table in src/control/scaling.ts, rebalance.ts, verify.ts, capacity.ts and hot-key.ts',
    ),
  observed: z.number().describe('what was measured, as a mean over the window'),
  threshold: z.number().describe('the limit that it was held against, from the configuration'),
  window: z.number().describe('ms over which it was measured'),
  wish: z.number().optional().describe('scaling: the number of instances that this rule alone would want'),
  text: z.string().describe('the same as a sentence'),
});

const common = {
  version: z.literal(1).describe('of this schema'),
  id: z.string().describe('unique: leader epoch, dash, number of the decision under it'),
  subject: z
    .string()
    .describe('scaling: the service.name; rebalance, capacity: the signal; hot_key: the signal, a slash, and keyHash'),
  priority: z.enum(['normal', 'high']).describe('high: memory runs out'),
  reasons: z.array(reason).min(1),
  at: z.iso.datetime().describe('the tick that decided; decide() saw this time as now'),
  ringEpoch: z.number().describe('ring epoch in force'),
  leaderEpoch: z.number().describe('offset of the LeaderElected record of the leader that decided'),
  inputOffset: z.number().describe('next offset of weir.load: everything before it was seen'),
  status: z
    .enum(['emitted', 'proposed', 'applied', 'abandoned', 'verified', 'reversed'])
    .describe(
      'what became of it; emitted: written here, not applied; proposed: the ring epoch with its moves is in flight; applied: that is active; abandoned: it was taken back before that; verified: a load window later it had made nothing worse; reversed: it had, and a decision with action reverse takes its moves back. A change of it comes as another record with the same id',
    ),
  notApplied: z
    .string()
    .optional()
    .describe(
      'why Weir leaves it at saying so, and which command does it by hand; with the status emitted, of what would change the ring',
    ),
};

const scaling = z.object({
  ...common,
  kind: z.literal('scaling'),
  action: z.enum(['scale_out', 'scale_in']),
  from: z.number().describe('instances heard of in the window'),
  to: z.number().describe('instances wanted'),
});

const distribution = z.object({
  maxOverMean: z.number().describe('load of the most loaded shard over its fair share'),
  coefficientOfVariation: z.number().describe('standard deviation over mean; 0 is even'),
  gini: z.number().describe('0 is even, near 1 one shard has all'),
});

const slotMoves = z.object({
  from: z.number().describe('shard that loses the slots'),
  to: z.number().describe('shard that gains them'),
  slots: z.array(z.number()).describe('ascending'),
  bytesPerSecond: z.number().describe('measured load of these slots together'),
});

const rebalance = z.object({
  ...common,
  kind: z.literal('rebalance'),
  action: z
    .enum(['move_slots', 'cannot_balance', 'reverse'])
    .describe(
      'move_slots: moves say what would go where; cannot_balance: no slot move helps, unmovable says why; reverse: moves take back those of the decision that reverses names',
    ),
  from: z.number().describe('load of the hottest shard over its fair share, now'),
  to: z.number().describe('the same after the moves, by the measured slot loads'),
  measured: z
    .number()
    .optional()
    .describe('the same a load window after the moves were in force; with the status verified or reversed'),
  reverses: z.string().optional().describe('reverse: id of the decision whose moves are taken back'),
  distribution: z.object({ before: distribution, after: distribution }).describe('of the load over the shards'),
  hotShards: z.array(z.number()).describe('shards above hotRatio times their fair share, hottest first'),
  slotsMoved: z.number(),
  moves: z.array(slotMoves).describe('ordered by the losing, then by the gaining shard'),
  unmovable: z
    .array(
      z.object({
        shard: z.number(),
        slot: z.number().nullable().describe('its heaviest slot; null: no slot of it had measured load'),
        slotBytesPerSecond: z.number(),
        text: z.string(),
      }),
    )
    .describe('shards that stay above targetRatio times their fair share whatever is moved'),
});

const capacity = z.object({
  ...common,
  kind: z.literal('capacity'),
  action: z
    .enum(['split', 'merge', 'cannot_split'])
    .describe(
      'split: a new shard takes from those that are fullest, which are as full as it is then; merge: shard goes, and what it has is shared out among the others; cannot_split: shard is above its capacity, and alternatives say why nothing helps',
    ),
  shard: z.number().describe('that goes; else the fullest that can be, or could not be, split'),
  from: z.number().describe('load over capacity: of shard now; merge: of the fullest of those that stay, now'),
  to: z.number().describe('the same after it; split: of the fuller one of shard and the new one; cannot_split: as now'),
  shards: z.object({ before: z.number(), after: z.number() }).describe('how many the signal has'),
  fill: z
    .object({ before: z.number(), after: z.number() })
    .describe('load of all shards of the signal over all that they can carry'),
  distribution: z.object({ before: distribution, after: distribution }).describe('of the load over the shards'),
  overCapacity: z.array(z.number()).describe('shards above their capacity, the fullest first'),
  slotsMoved: z.number(),
  moves: z
    .array(
      slotMoves.omit({ slots: true }).extend({
        to: slotMoves.shape.to.nullable().describe('shard that gains them; null: the new one'),
        runs: z.array(z.number()).describe('slots, ascending, as runs: first, count, first, count, ...'),
      }),
    )
    .describe('in the order of those of a rebalance'),
  bytesPerSecond: z.number().describe('measured load of the slots that move'),
  copiedBytes: z.number().describe('about what is copied with them: their load over control.ring.carryMs'),
  alternatives: z
    .array(z.object({ action: z.string(), text: z.string() }))
    .describe('what else was looked at, and why it was not taken'),
});

const hotKey = z.object({
  ...common,
  kind: z.literal('hot_key'),
  action: z
    .enum(['isolate_key', 'spread_key', 'release_key'])
    .describe(
      'isolate_key: the key alone is too much for a shard and gets one for itself; spread_key: the same of a service, whose items go by their trace ids, over all shards; release_key: it is not any more',
    ),
  signal: z.enum(SIGNALS),
  keyHash: z.string().describe('16 hex digits of XXH64 of the key; `weir route` shows that of a key'),
  key: z
    .string()
    .describe('what the key says, such as service.name=checkout; at most 64 bytes of its value; empty: not known'),
  share: z.number().describe('0..1: of the load of the signal'),
  fromShard: z.number().nullable().describe('shard that has it now; null: all, by trace id'),
  toShard: z
    .number()
    .nullable()
    .describe(
      'shard that gets it, or null as above; the same as fromShard where the key stays and what is beside it goes',
    ),
  from: z.number().describe('load of the hottest shard over its fair share, now'),
  to: z.number().describe('the same once the key is where it goes, before anything else moves'),
  measured: z
    .number()
    .optional()
    .describe('the same a load window after that was in force; with the status verified or reversed'),
  reverses: z
    .string()
    .optional()
    .describe('release_key: id of the decision that is taken back, as it made things worse'),
  bytesPerSecond: z.number().describe('of the key, by samples'),
  errorBytesPerSecond: z.number().describe('what that may be wrong by, in either direction'),
});

export const decisionSchema = z.discriminatedUnion('kind', [scaling, rebalance, capacity, hotKey]);
export type Decision = z.infer<typeof decisionSchema>;
export type ScalingDecision = z.infer<typeof scaling>;
export type RebalanceDecision = z.infer<typeof rebalance>;
export type HotKeyDecision = z.infer<typeof hotKey>;
export type CapacityDecision = z.infer<typeof capacity>;
export type Reason = z.infer<typeof reason>;

/** What the runtime adds to what decide() says. */
export type DecisionStamp = Pick<
  Decision,
  'version' | 'id' | 'at' | 'ringEpoch' | 'leaderEpoch' | 'inputOffset' | 'status' | 'notApplied'
>;
type Unstamped<D> = D extends Decision ? Omit<D, keyof DecisionStamp> : never;
/** An action of decide(). */
export type Proposal = Unstamped<Decision>;
export type ScalingProposal = Unstamped<ScalingDecision>;
export type HotKeyProposal = Unstamped<HotKeyDecision>;
export type RebalanceProposal = Unstamped<RebalanceDecision>;
export type CapacityProposal = Unstamped<CapacityDecision>;

export function encodeDecision(decision: Decision): Uint8Array {
  return Buffer.from(JSON.stringify(decision));
}

/** null: not a decision of this version (readers ignore what they do not know). */
export function decodeDecision(value: Uint8Array): Decision | null {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8'));
  } catch {
    return null;
  }
  const parsed = decisionSchema.safeParse(json);
  return parsed.success ? parsed.data : null;
}

/** The last decision about a subject, as the control log keeps it. */
export interface LastDecision {
  readonly id: string;
  readonly kind: DecisionKind;
  readonly subject: string;
  readonly fingerprint: string;
  /** Unix ms. */
  readonly at: number;
  readonly until: number;
  /** Its condition has been gone since: the same decision is news again. */
  readonly cleared: boolean;
}

export function decisionKey(kind: DecisionKind, subject: string): string {
  return `${kind}/${subject}`;
}
