/** Signals as `/api/v1/topology` and `weir inspect ring` show them: their rings, and the keys that weigh most on them. */

import type { RingEpoch, SignalRing } from '../coordination/ring-epoch.ts';
import { hashOfText, hashText } from '../kernels/hash/kernel.ts';
import { BY_TRACE_ID } from '../kernels/split/kernel.ts';
import type { Names } from '../names.ts';
import type { LoadWindow } from '../runtime/load-window.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import type { SignalDocument } from './documents.ts';

/** Of a fair share, for sure: what is lighter is no trouble to a shard, and one sample of a trickle is no measurement. */
const LEAST_SHARE = 0.5;

export function signalDocuments(
  ring: RingEpoch | null,
  names: Names,
  window: LoadWindow,
  nowUnixMs: number,
): SignalDocument[] {
  if (!ring) return [];
  return SIGNALS.map((signal) => {
    const of = ring.signals[signal];
    const { key, slots, shards, overrides, hotKeys } = of;
    return {
      signal,
      key,
      ingestTopic: names.ingest(signal),
      slots: slots.length,
      shards: shards.length,
      overrides: [...overrides].map(([hash, to]) => ({
        keyHash: hashText(hash),
        key: hotKeys?.get(hash) ?? '',
        shard: to === BY_TRACE_ID ? null : to,
      })),
      heavyKeys: heavyKeysOf(signal, of, window, nowUnixMs),
    };
  });
}

function heavyKeysOf(
  signal: Signal,
  { shards, hotKeys }: SignalRing,
  window: LoadWindow,
  nowUnixMs: number,
): SignalDocument['heavyKeys'] {
  const rates = [...window.shards(signal, nowUnixMs).values()];
  const total = rates.reduce((sum, { bytesPerSecond }) => sum + bytesPerSecond, 0);
  if (total === 0) return [];
  return [...window.keys(signal)]
    .filter(
      ([, { bytesPerSecond, errorBytesPerSecond }]) =>
        (bytesPerSecond - errorBytesPerSecond) * shards.length >= LEAST_SHARE * total,
    )
    .map(([keyHash, { name, bytesPerSecond }]) => {
      const share = bytesPerSecond / total;
      const key = name || (hotKeys?.get(hashOfText(keyHash)) ?? '');
      return { keyHash, key, share, relative: share * shards.length };
    })
    .sort((a, b) => b.share - a.share);
}
