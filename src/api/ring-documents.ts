/** A ring change in flight, those that wait behind it, and where a key goes, as the API and the command line show them. */

import { keyBytes } from '../coordination/first-ring.ts';
import type { RingAcks } from '../coordination/ring-acks.ts';
import { slotCount } from '../coordination/ring-change.ts';
import { type RingEpoch, slotOf } from '../coordination/ring-epoch.ts';
import type { ControlState, ProposedRing } from '../coordination/state.ts';
import type { WaitingChange } from '../coordination/subjects/waiting-changes.ts';
import { WeirError } from '../errors.ts';
import { type HashKernel, hashText } from '../kernels/hash/kernel.ts';
import { BY_TRACE_ID } from '../kernels/split/kernel.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import type { DestinationDocument, RingChangeDocument, RouteDocument, WaitingChangeDocument } from './documents.ts';
import { isoTime } from './iso-time.ts';

export function ringChangeDocument(
  { ring, abandons, before, change, at, reason }: ProposedRing,
  { partitions, waiting }: RingAcks,
  owners: ReadonlyMap<string, string>,
  { ackTimeoutMs, nowUnixMs }: { readonly ackTimeoutMs: number; readonly nowUnixMs: number },
): RingChangeDocument {
  return {
    ringEpoch: ring.epoch,
    abandons,
    reason,
    proposedAt: isoTime(at),
    stuck: nowUnixMs - at > ackTimeoutMs,
    signals: SIGNALS.flatMap((signal) => {
      const ofSignal = change[signal];
      if (!ofSignal) return [];
      const { moves, added, retired } = ofSignal;
      const slotsMoved = moves.reduce((sum, move) => sum + slotCount(move), 0);
      const nameOf = (id: number) => before.signals[signal].shards.find((shard) => shard.id === id)!.name;
      return [{ signal, slotsMoved, added: added.map(({ name }) => name), retired: retired.map(nameOf) }];
    }),
    partitions,
    waitingFor: waiting.map((of) => ({ ...of, member: owners.get(`${of.topic}/${of.partition}`) ?? null })),
  };
}

export function waitingChangeDocument({ requestId, member, wish, since, until }: WaitingChange): WaitingChangeDocument {
  return {
    id: requestId,
    member,
    wish,
    since: isoTime(since),
    until: isoTime(until),
  };
}

/** Throws REQUEST_REFUSED for a key that has no text. */
export function routeDocument(
  { ring, proposed }: ControlState,
  signal: Signal,
  key: string,
  hash: Pick<HashKernel, 'xxh64'>,
): RouteDocument {
  if (!ring) throw new WeirError('REQUEST_REFUSED', 'looking up a key: there is no ring epoch yet');
  const keyHash = hashOf(ring.signals[signal].key, signal, key, hash);
  return {
    signal,
    key,
    routedBy: ring.signals[signal].key,
    keyHash: hashText(keyHash),
    now: destination(ring, signal, keyHash),
    pending: proposed && destination(proposed.ring, signal, keyHash),
  };
}

function hashOf(selectorKey: string, signal: Signal, key: string, hash: Pick<HashKernel, 'xxh64'>): bigint {
  if (/^0x[0-9a-f]{16}$/i.test(key)) return BigInt(key);
  if (selectorKey === 'resource')
    throw new WeirError(
      'REQUEST_REFUSED',
      `looking up a key: ${signal} go by the identity of their resource, which has no text; give its hash, 0x and 16 hex digits`,
    );
  return hash.xxh64(keyBytes(selectorKey, key));
}

function destination({ epoch, signals }: RingEpoch, signal: Signal, keyHash: bigint): DestinationDocument {
  const { overrides, slots, shards } = signals[signal];
  const slot = slotOf(signals[signal], keyHash);
  const override = overrides.get(keyHash);
  if (override === BY_TRACE_ID) return { ringEpoch: epoch, slot: null, shard: null, name: null, topic: null };
  const id = override ?? slots[slot]!;
  const { name, topic } = shards.find((shard) => shard.id === id)!;
  return { ringEpoch: epoch, slot: override === undefined ? slot : null, shard: id, name, topic };
}
