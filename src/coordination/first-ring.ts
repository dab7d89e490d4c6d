/** Ring epoch 1, out of the configuration alone: whoever makes it makes the same. Later epochs are proposals. */
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import type { HashKernel } from '../kernels/hash/kernel.ts';
import type { RingKernel } from '../kernels/ring/kernel.ts';
import { type Names, namesFor } from '../names.ts';
import { bySignal, type Signal } from '../signals.ts';
import { type RingEpoch, type ShardState, type SignalRing, UNTOUCHED } from './ring-epoch.ts';

/**
 * Up to as many shards a signal has 2^16 slots, above 2^18: with less than 512 slots a shard, the ring could not even out the shares
 * without moving many more slots than it has to when a shard comes (1.5/N at 256 shards on 2^16, 1.15/N on 2^18).
 */
const MAX_SHARDS_WITH_16_BITS = 128;

export function firstRing(config: Pick<Config, 'prefix' | 'routing'>, ring: RingKernel, hash: HashKernel): RingEpoch {
  const names = namesFor(config.prefix);
  const signals = bySignal((signal) => signalRing(config, signal, names, ring, hash));
  return { epoch: 1, signals, touched: UNTOUCHED };
}

function signalRing(
  config: Pick<Config, 'routing'>,
  signal: Signal,
  names: Names,
  ring: RingKernel,
  hash: HashKernel,
): SignalRing {
  const { key, shards: count } = config.routing[signal];
  const slotBits = count <= MAX_SHARDS_WITH_16_BITS ? 16 : 18;
  const shards = Array.from({ length: count }, (_, id): ShardState => {
    const name = `${signal}-${String(id).padStart(4, '0')}`;
    return { id, name, topic: names.shard(signal, id), weight: 1 };
  });
  const onRing = shards.map(({ id, weight }) => ({ shard: id, weight }));
  return {
    key,
    slotBits,
    slots: ring.assign(onRing, config.routing.vnodes, slotBits),
    shards,
    overrides: configuredOverrides(config, signal, hash),
  };
}

/** The bytes of a routing key, from the text that `weir inspect` shows: a trace id's 32 hex digits are its 16 bytes, all else is UTF-8. */
export function keyBytes(selectorKey: string, text: string): Uint8Array {
  return selectorKey === 'trace_id' && /^[0-9a-f]{32}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text);
}

/** Throws CONFIG_INVALID where two entries contradict each other. */
export function configuredOverrides(
  config: Pick<Config, 'routing'>,
  signal: Signal,
  hash: HashKernel,
): ReadonlyMap<bigint, number> {
  const { key: selectorKey } = config.routing[signal];
  const overrides = new Map<bigint, number>();
  config.routing.overrides.forEach((override, index) => {
    if (override.signal !== signal) return;
    const keyHash = hash.xxh64(keyBytes(selectorKey, override.key));
    const other = overrides.get(keyHash);
    if (other !== undefined && other !== override.shard)
      throw new WeirError(
        'CONFIG_INVALID',
        `routing.overrides[${index}] (${signal}, key ${override.key}): another entry sends the same key to shard ${other}, this one to ${override.shard}: keep one`,
      );
    overrides.set(keyHash, override.shard);
  });
  return overrides;
}
