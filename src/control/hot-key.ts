/**
 * Keys that no slot move can fix, as each of them alone is more than a shard should carry. One of them gets an override, which goes when the key
 * has cooled down.
 *
 * | rule | when | then |
 * |---|---|---|
 * | hot-key | load of a key without override, at the least, > targetRatio * the fair share of its shard | spread_key where the key is a service: its items go by their trace ids, over all shards; else isolate_key: to a shard of its own, which the rebalance (`rebalance.ts`) then empties of slots |
 * | cool-key | load of a key with one, at the most, < COOL_SHARE * the fair share of its shard, for holdMs | release_key |
 *
 * Loads of keys are sampled: what they may be wrong by counts against the wish. What keeps a key from being isolated and released in turn is
 * the gap between the two limits, and that a key of which something was changed is left alone for `holdMs`. Each change is one of the churn budget.
 * Overrides that the configuration made stay as they are.
 */

import { type SignalRing, slotOf } from '../coordination/ring-epoch.ts';
import { hashOfText, hashText } from '../kernels/hash/kernel.ts';
import { BY_TRACE_ID, MAX_OVERRIDES } from '../kernels/split/kernel.ts';
import type { Signal } from '../signals.ts';
import { churnLeft, keysChangedWithin } from './churn.ts';
import type { HotKeyProposal, Reason } from './decision.ts';
import { distributionOf, fairShares, loadsOf } from './distribution.ts';
import { type KeyRate, type SignalView, UNHEARD_KEY } from './load-view.ts';
import type { PastMoves, RebalancePolicy } from './rebalance.ts';
import { ownedSlotsOfEach } from './shard-slots.ts';

/** Of a fair share: below it a key can be among others again without making their shard hot. */
const COOL_SHARE = 0.5;

export interface HotKeyState {
  readonly signal: Signal;
  readonly ring: SignalRing;
  readonly view: SignalView;
  readonly windowMs: number;
  readonly pastMoves: readonly PastMoves[];
}

/** Bytes/s by shard, in the order of the ring's. */
interface ShardLoads {
  readonly loads: readonly number[];
  readonly fair: readonly number[];
  /** What each is meant to carry beside keys that have one for themselves. */
  readonly shares: readonly number[];
  readonly total: number;
  readonly indexOf: ReadonlyMap<number, number>;
  /** Of all slots those that each owns, 0..1: one walk over the table, if anyone asks. */
  slotShares(): readonly number[];
}

/** A shard, or null: all shards, by trace id. */
type Place = number | null;

/** Hottest first, then those that cooled down. */
export function hotKeyWishes(state: HotKeyState, policy: RebalancePolicy, now: number): HotKeyProposal[] {
  const shards = shardLoads(state);
  const { total } = shards;
  if (state.ring.shards.length < 2 || total === 0 || total < policy.minBytesPerSecond) return [];
  const held = keysChangedWithin(state.pastMoves, policy.holdMs, now);
  const wishes = [...overrides(state, policy, shards, held), ...releases(state, shards, held)];
  return wishes.slice(0, churnLeft(state.pastMoves, policy, now));
}

function shardLoads({ ring, view }: Pick<HotKeyState, 'ring' | 'view'>): ShardLoads {
  const { loads, total } = loadsOf(ring.shards, view);
  const indexOf = new Map(ring.shards.map(({ id }, index) => [id, index]));
  const shares = sharesBesideKeys(ring, view).map(({ share }) => share);
  let slotShares: number[] | undefined;
  return {
    ...{ loads, fair: fairShares(ring.shards, total), shares, total, indexOf },
    slotShares() {
      slotShares ??= [...ownedSlotsOfEach(ring, [...indexOf.keys()]).values()].map(
        (owned) => owned.length / ring.slots.length,
      );
      return slotShares;
    },
  };
}

function* overrides(
  state: HotKeyState,
  policy: RebalancePolicy,
  shards: ShardLoads,
  held: ReadonlySet<string>,
): Generator<HotKeyProposal> {
  const { signal, ring, view, windowMs } = state;
  const { fair, total, indexOf } = shards;
  const taken = new Set([...ring.overrides.values()].filter((to) => to !== BY_TRACE_ID));
  const byLoad = [...view.keys].sort(([, a], [, b]) => b.bytesPerSecond - a.bytesPerSecond);
  let count = ring.overrides.size;
  for (const [keyHash, rate] of byLoad) {
    const { bytesPerSecond, errorBytesPerSecond } = rate;
    const hash = hashOfText(keyHash);
    if (ring.overrides.has(hash) || held.has(keyHash)) continue;
    const owner = slotOwner(ring, hash);
    const limit = policy.targetRatio * fair[indexOf.get(owner)!]!;
    if (bytesPerSecond - errorBytesPerSecond <= limit) continue;
    const spreads = isService(signal, ring);
    // One shard at least has to be left for all other keys.
    if (count === MAX_OVERRIDES || (!spreads && taken.size >= ring.shards.length - 1)) return;
    const toShard = spreads ? null : ownShard(ring, shards, owner, bytesPerSecond, taken);
    if (toShard !== null) taken.add(toShard);
    count++;
    yield {
      ...of(signal, keyHash, rate, total),
      action: spreads ? 'spread_key' : 'isolate_key',
      fromShard: owner,
      toShard,
      ...effect(shards, bytesPerSecond, owner, toShard),
      reasons: [
        {
          rule: 'hot-key',
          observed: bytesPerSecond,
          threshold: limit,
          window: windowMs,
          text: `${said(signal, keyHash, rate, total)}, more than the ${percent(limit / total)} that its shard ${owner} should carry: ${spreads ? 'it is spread over all shards by trace id' : `it gets shard ${toShard} for itself`}`,
        },
      ],
    };
  }
}

/** Whether the keys are services, or finer: those hold many traces, each of which may be anywhere. Metrics have none. */
function isService(signal: Signal, { key }: SignalRing): boolean {
  return key === 'service.name' || (key === 'resource' && signal !== 'metrics');
}

/** Where the least load has to move for it: mostly the key stays, and what is beside it goes. */
function ownShard(
  ring: SignalRing,
  { loads, indexOf }: ShardLoads,
  owner: number,
  bytesPerSecond: number,
  taken: ReadonlySet<number>,
): number {
  const rest = (id: number) => loads[indexOf.get(id)!]! - (id === owner ? bytesPerSecond : 0);
  const free = ring.shards.filter(({ id }) => !taken.has(id)).map(({ id }) => id);
  const least = free.reduce((best, id) => (rest(id) < rest(best) ? id : best));
  return !taken.has(owner) && rest(owner) <= bytesPerSecond + rest(least) ? owner : least;
}

function* releases(state: HotKeyState, shards: ShardLoads, held: ReadonlySet<string>): Generator<HotKeyProposal> {
  const { signal, ring, windowMs } = state;
  const { fair, total, indexOf } = shards;
  for (const hash of ring.hotKeys?.keys() ?? []) {
    const keyHash = hashText(hash);
    const rate = rateOf(state, hash);
    const owner = slotOwner(ring, hash);
    const limit = COOL_SHARE * fair[indexOf.get(owner)!]!;
    if (held.has(keyHash) || rate.bytesPerSecond + rate.errorBytesPerSecond >= limit) continue;
    yield releaseOf(state, shards, keyHash, {
      rule: 'cool-key',
      observed: rate.bytesPerSecond,
      threshold: limit,
      window: windowMs,
      text: `${said(signal, keyHash, rate, total)}, less than ${percent(limit / total)}: it goes by its slot again, to shard ${owner}`,
    });
  }
}

type KeyState = Pick<HotKeyState, 'signal' | 'ring' | 'view'>;

/** For a key that has an override. */
export function releaseWish(state: KeyState, keyHash: string, reason: Reason): HotKeyProposal {
  return releaseOf(state, shardLoads(state), keyHash, reason);
}

function releaseOf(state: KeyState, shards: ShardLoads, keyHash: string, reason: Reason): HotKeyProposal {
  const { signal, ring } = state;
  const hash = hashOfText(keyHash);
  const override = ring.overrides.get(hash)!;
  const [fromShard, toShard] = [override === BY_TRACE_ID ? null : override, slotOwner(ring, hash)];
  const rate = rateOf(state, hash);
  return {
    ...of(signal, keyHash, rate, shards.total),
    action: 'release_key',
    fromShard,
    toShard,
    ...effect(shards, rate.bytesPerSecond, fromShard, toShard),
    reasons: [reason],
  };
}

function rateOf({ ring, view }: Pick<HotKeyState, 'ring' | 'view'>, hash: bigint): KeyRate {
  const rate = view.keys.get(hashText(hash)) ?? UNHEARD_KEY;
  return { ...rate, name: rate.name || (ring.hotKeys?.get(hash) ?? '') };
}

const of = (signal: Signal, keyHash: string, rate: KeyRate, total: number) =>
  ({
    kind: 'hot_key',
    subject: `${signal}/${keyHash}`,
    signal,
    keyHash,
    key: rate.name,
    share: rate.bytesPerSecond / total,
    bytesPerSecond: rate.bytesPerSecond,
    errorBytesPerSecond: rate.errorBytesPerSecond,
    priority: 'normal',
  }) as const;

/** Such as `key service.name=checkout is 38.0 % of traces (9500 B/s by samples, give or take 120)`. */
function said(signal: Signal, keyHash: string, rate: KeyRate, total: number): string {
  const { bytesPerSecond, errorBytesPerSecond, name } = rate;
  const measured = `${Math.round(bytesPerSecond)} B/s by samples, give or take ${Math.round(errorBytesPerSecond)}`;
  return `key ${name || `with hash ${keyHash}`} is ${percent(bytesPerSecond / total)} of ${signal} (${measured})`;
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const slotOwner = (ring: SignalRing, hash: bigint) => ring.slots[slotOf(ring, hash)]!;

/** Load of the hottest shard over its fair share, as it is and with so much of a key in another place. */
function effect(
  { loads, shares, indexOf, slotShares }: ShardLoads,
  bytesPerSecond: number,
  from: Place,
  to: Place,
): { from: number; to: number } {
  const after = [...loads];
  const add = (place: Place, bytes: number) => {
    if (place !== null) after[indexOf.get(place)!]! += bytes;
    else for (const [index, share] of slotShares().entries()) after[index]! += bytes * share;
  };
  add(from, -bytesPerSecond);
  add(to, bytesPerSecond);
  return { from: distributionOf(loads, shares).maxOverMean, to: distributionOf(after, shares).maxOverMean };
}

/** What a shard is meant to carry. */
export interface ShardShare {
  /** Bytes/s. */
  readonly share: number;
  /** Of a key that has the shard for itself. */
  readonly byKey: boolean;
}

/** In the order of the shards. One that a key fills, by an override, is as it should be with that alone; the others share what is left. */
export function sharesBesideKeys(
  { shards, overrides: places }: SignalRing,
  view: Pick<SignalView, 'keys' | 'shardBytesPerSecond'>,
): ShardShare[] {
  const { loads, total } = loadsOf(shards, view);
  const fair = fairShares(shards, total);
  const ofKeys = new Map<number, number>();
  for (const [hash, shard] of places) {
    // One that is spread is among its slots' load.
    if (shard === BY_TRACE_ID) continue;
    const { bytesPerSecond, errorBytesPerSecond } = view.keys.get(hashText(hash)) ?? UNHEARD_KEY;
    ofKeys.set(shard, (ofKeys.get(shard) ?? 0) + bytesPerSecond + errorBytesPerSecond);
  }
  // At the most, but no more than there is.
  const filled = shards.map(({ id }, i) => {
    const ofKey = Math.min(ofKeys.get(id) ?? 0, loads[i]!);
    return ofKey > fair[i]! ? ofKey : null;
  });
  const left = total - filled.reduce<number>((sum, ofKey) => sum + (ofKey ?? 0), 0);
  const others = fairShares(
    shards.filter((_, i) => filled[i] === null),
    left > 0 ? left : total,
  );
  return filled.map((ofKey) => ({ share: ofKey ?? others.shift()!, byKey: ofKey !== null }));
}
