/**
 * Keys that no slot move can help with, because each of them alone is more than a shard should carry. Such a key gets an override, which goes away when the
 * key has cooled down.
 *
 * | rule | when | then |
 * |---|---|---|
 * | hot-key | the least that the load of a key without override may be > targetRatio * the share of its shard by weight | spread_key where the key is a service: its items go by their trace ids, over all shards; otherwise isolate_key: it gets a shard of its own, from which the rebalance (`rebalance.ts`) then moves all slots |
 * | cool-key | the most that the load of a key with an override may be < COOL_SHARE * the share of its shard by weight, for holdMs | release_key |
 *
 * The load of a key is sampled; its sampling error counts against the change. A key is not isolated and released in turn because the two limits are far apart
 * and because a key that was changed is left alone for `holdMs`. Each change takes one from the churn budget. Overrides from the configuration stay as they
 * are.
 */

import { type SignalRing, slotOf } from '../coordination/ring-epoch.ts';
import { hashOfText, hashText } from '../kernels/hash/kernel.ts';
import { BY_TRACE_ID, MAX_OVERRIDES } from '../kernels/split/kernel.ts';
import type { Signal } from '../signals.ts';
import { churnLeft, keysChangedWithin } from './churn.ts';
import type { HotKeyProposal, Reason } from './decision.ts';
import { distributionOf } from './distribution.ts';
import { percent, rate } from './figures.ts';
import { type KeyRate, UNHEARD_KEY } from './load-view.ts';
import type { RebalancePolicy } from './policy.ts';
import { isEnoughToJudge, relativeLoad, type ShardLoad, shardLoads } from './shard-loads.ts';
import { ownedSlotsOfEach } from './shard-slots.ts';
import type { SignalState } from './signal-state.ts';

/** Of a shard's share: a key below it can be among others again without making their shard hot. */
const COOL_SHARE = 0.5;

interface Shards {
  readonly byId: ReadonlyMap<number, ShardLoad>;
  /** Bytes/s of all. */
  readonly total: number;
  /** The part of all slots that each shard owns, 0..1. Counted at the first call, since that walks the whole table. */
  slotShares(): ReadonlyMap<number, number>;
}

/** A shard's id, or null: all shards, by trace id. */
type Place = number | null;

/** Changes for the hottest keys first, then for those that have cooled down. */
export function hotKeyWishes(state: SignalState, policy: RebalancePolicy, now: number): HotKeyProposal[] {
  const shards = measure(state);
  if (state.ring.shards.length < 2 || !isEnoughToJudge(shards.total, policy)) return [];
  const held = keysChangedWithin(state.pastMoves, policy.holdMs, now);
  const wishes = [...overrides(state, policy, shards, held), ...releases(state, shards, held)];
  return wishes.slice(0, churnLeft(state.pastMoves, policy, now));
}

function measure({ ring, view }: KeyState): Shards {
  const { shards, total } = shardLoads(ring, view);
  const byId = new Map(shards.map((measured) => [measured.shard.id, measured]));
  let slotShares: ReadonlyMap<number, number> | undefined;
  return {
    byId,
    total,
    slotShares() {
      slotShares ??= new Map(
        [...ownedSlotsOfEach(ring, [...byId.keys()])].map(([id, owned]) => [id, owned.length / ring.slots.length]),
      );
      return slotShares;
    },
  };
}

function* overrides(
  state: SignalState,
  policy: RebalancePolicy,
  shards: Shards,
  held: ReadonlySet<string>,
): Generator<HotKeyProposal> {
  const { signal, ring, view, windowMs } = state;
  const { byId, total } = shards;
  const spreads = isService(signal, ring);
  const taken = new Set([...ring.overrides.values()].filter((to) => to !== BY_TRACE_ID));
  const byLoad = [...view.keys].sort(([, a], [, b]) => b.bytesPerSecond - a.bytesPerSecond);
  let count = ring.overrides.size;
  for (const [keyHash, key] of byLoad) {
    const { bytesPerSecond, errorBytesPerSecond } = key;
    const hash = hashOfText(keyHash);
    if (ring.overrides.has(hash) || held.has(keyHash)) continue;
    const owner = slotOwner(ring, hash);
    const limit = policy.targetRatio * byId.get(owner)!.shareByWeight;
    if (bytesPerSecond - errorBytesPerSecond <= limit) continue;
    // At least one shard has to be left for all other keys.
    if (count === MAX_OVERRIDES || (!spreads && taken.size >= ring.shards.length - 1)) return;
    const toShard = spreads ? null : ownShard(shards, owner, bytesPerSecond, taken);
    if (toShard !== null) taken.add(toShard);
    count++;
    const remedy = spreads ? 'it is spread over all shards by trace id' : `it gets shard ${toShard} for itself`;
    yield {
      ...aboutKey(signal, keyHash, key, total),
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
          text: `${keyText(signal, keyHash, key, total)}, more than the ${percent(limit / total)} that its shard ${owner} should carry: ${remedy}`,
        },
      ],
    };
  }
}

/** Whether the keys are services, or finer: each of those has many traces, which may be anywhere. Metrics have no traces. */
function isService(signal: Signal, { key }: SignalRing): boolean {
  return key === 'service.name' || (key === 'resource' && signal !== 'metrics');
}

/** The shard for a key of its own: where the least other load has to make way for it. Mostly that is where the key is. */
function ownShard({ byId }: Shards, owner: number, bytesPerSecond: number, taken: ReadonlySet<number>): number {
  const rest = (id: number) => byId.get(id)!.load - (id === owner ? bytesPerSecond : 0);
  const free = [...byId.keys()].filter((id) => !taken.has(id));
  const least = free.reduce((best, id) => (rest(id) < rest(best) ? id : best));
  return !taken.has(owner) && rest(owner) <= bytesPerSecond + rest(least) ? owner : least;
}

function* releases(state: SignalState, shards: Shards, held: ReadonlySet<string>): Generator<HotKeyProposal> {
  const { signal, ring, windowMs } = state;
  const { byId, total } = shards;
  for (const hash of ring.hotKeys?.keys() ?? []) {
    const keyHash = hashText(hash);
    const key = rateOf(state, hash);
    const owner = slotOwner(ring, hash);
    const limit = COOL_SHARE * byId.get(owner)!.shareByWeight;
    if (held.has(keyHash) || key.bytesPerSecond + key.errorBytesPerSecond >= limit) continue;
    yield releaseOf(state, shards, keyHash, {
      rule: 'cool-key',
      observed: key.bytesPerSecond,
      threshold: limit,
      window: windowMs,
      text: `${keyText(signal, keyHash, key, total)}, less than ${percent(limit / total)}: it goes by its slot again, to shard ${owner}`,
    });
  }
}

type KeyState = Pick<SignalState, 'signal' | 'ring' | 'view'>;

/** Takes the override of a key away, for a reason that the caller gives. */
export function releaseWish(state: KeyState, keyHash: string, reason: Reason): HotKeyProposal {
  return releaseOf(state, measure(state), keyHash, reason);
}

function releaseOf(state: KeyState, shards: Shards, keyHash: string, reason: Reason): HotKeyProposal {
  const { signal, ring } = state;
  const hash = hashOfText(keyHash);
  const override = ring.overrides.get(hash)!;
  const [fromShard, toShard] = [override === BY_TRACE_ID ? null : override, slotOwner(ring, hash)];
  const key = rateOf(state, hash);
  return {
    ...aboutKey(signal, keyHash, key, shards.total),
    action: 'release_key',
    fromShard,
    toShard,
    ...effect(shards, key.bytesPerSecond, fromShard, toShard),
    reasons: [reason],
  };
}

function rateOf({ ring, view }: KeyState, hash: bigint): KeyRate {
  const key = view.keys.get(hashText(hash)) ?? UNHEARD_KEY;
  return { ...key, name: key.name || (ring.hotKeys?.get(hash) ?? '') };
}

/** What every proposal says of its key. */
function aboutKey(signal: Signal, keyHash: string, key: KeyRate, total: number) {
  const { name, bytesPerSecond, errorBytesPerSecond } = key;
  return {
    kind: 'hot_key',
    subject: `${signal}/${keyHash}`,
    signal,
    keyHash,
    key: name,
    share: bytesPerSecond / total,
    bytesPerSecond,
    errorBytesPerSecond,
    priority: 'normal',
  } as const;
}

/** Such as `key service.name=checkout is 38% of traces (9500 B/s by samples, give or take 120)`. */
function keyText(signal: Signal, keyHash: string, key: KeyRate, total: number): string {
  const { bytesPerSecond, errorBytesPerSecond, name } = key;
  const measured = `${rate(bytesPerSecond)} by samples, give or take ${Math.round(errorBytesPerSecond)}`;
  return `key ${name || `with hash ${keyHash}`} is ${percent(bytesPerSecond / total)} of ${signal} (${measured})`;
}

const slotOwner = (ring: SignalRing, hash: bigint) => ring.slots[slotOf(ring, hash)]!;

/** The load of the hottest shard over its fair share: as it is, and once the key's load is in the other place. */
function effect(
  { byId, slotShares }: Shards,
  bytesPerSecond: number,
  from: Place,
  to: Place,
): { from: number; to: number } {
  const loads = new Map([...byId].map(([id, { load }]) => [id, load]));
  const add = (place: Place, bytes: number) => {
    if (place !== null) loads.set(place, loads.get(place)! + bytes);
    else for (const [id, share] of slotShares()) loads.set(id, loads.get(id)! + bytes * share);
  };
  add(from, -bytesPerSecond);
  add(to, bytesPerSecond);
  const shards = [...byId.values()];
  return {
    from: distributionOf(shards.map(relativeLoad)).maxOverMean,
    to: distributionOf(shards.map(({ shard, share }) => loads.get(shard.id)! / share)).maxOverMean,
  };
}
