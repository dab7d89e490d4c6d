/** Ring epoch 1, out of the configuration alone: whoever makes it makes the same. Later epochs are proposals. */
import { abortable } from '../abortable.ts';
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { HashKernel } from '../kernels/hash/kernel.ts';
import type { RingKernel } from '../kernels/ring/kernel.ts';
import { type Names, namesFor } from '../names.ts';
import { bySignal, SIGNALS, type Signal } from '../signals.ts';
import { followControlLog } from './control-log.ts';
import { encodeEvent, ringActiveEvent } from './events.ts';
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

function configuredOverrides(
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

/** What the configuration says otherwise than the ring epoch, as a sentence; null: nothing. */
export function routingDiffers(
  config: Pick<Config, 'prefix' | 'routing'>,
  ring: RingEpoch,
  hash: HashKernel,
): string | null {
  const differences: string[] = [];
  for (const signal of SIGNALS) {
    const wanted = config.routing[signal];
    const held = ring.signals[signal];
    if (wanted.key !== held.key)
      differences.push(`routing.${signal}.key is ${wanted.key}, the ring epoch has ${held.key}`);
    // From epoch 2 on shards and overrides have been changed by proposals, which the configuration does not know of.
    if (ring.epoch > 1) continue;
    if (wanted.shards !== held.shards.length)
      differences.push(`routing.${signal}.shards is ${wanted.shards}, the ring epoch has ${held.shards.length}`);
    else if (!sameOverrides(configuredOverrides(config, signal, hash), held.overrides))
      differences.push(`routing.overrides of ${signal} are others than the ring epoch's`);
  }
  return differences.length === 0 ? null : differences.join('; ');
}

/** Throws ROUTING_MISMATCH: a member that routes by another rule would split keys over two shards. */
export function requireSameRouting(
  config: Pick<Config, 'prefix' | 'routing'>,
  ring: RingEpoch,
  hash: HashKernel,
): void {
  const difference = routingDiffers(config, ring, hash);
  if (difference !== null)
    throw new WeirError(
      'ROUTING_MISMATCH',
      `starting under ring epoch ${ring.epoch} of ${namesFor(config.prefix).control}: ${difference}. Configure it as the ring epoch has it, or use another prefix`,
    );
}

function sameOverrides(a: SignalRing['overrides'], b: SignalRing['overrides']): boolean {
  return a.size === b.size && [...a].every(([hash, shard]) => b.get(hash) === shard);
}

export type FirstRingOutcome =
  | { readonly kind: 'written'; readonly ring: RingEpoch }
  /** The log held one already. */
  | { readonly kind: 'present'; readonly ring: RingEpoch };

/**
 * For `weir topics --create`: sees to it that there is a ring epoch, without a leader. Only when the log holds none it opens the leader's
 * sink; that fences a running leader (who is about to write the same epoch, and is elected again) and shuts out a second caller, so that the
 * look at the log after it is the last word. Throws ROUTING_MISMATCH when there is one that the configuration does not fit.
 */
export async function ensureFirstRing(
  port: KafkaPort,
  names: Names,
  config: Config,
  kernels: { readonly ring: RingKernel; readonly hash: HashKernel },
  options: { now?: () => number; signal?: AbortSignal } = {},
): Promise<FirstRingOutcome> {
  const { now = Date.now, signal } = options;
  const present = (ring: RingEpoch): FirstRingOutcome => {
    requireSameRouting(config, ring, kernels.hash);
    return { kind: 'present', ring };
  };
  const before = await readRing(port, names, signal);
  if (before) return present(before);
  for (let attempt = 1; ; attempt++) {
    const sink = await abortable(
      port.openSink({
        fencingKey: names.leaderKey('control'),
        groupId: names.controlGroup,
        transactionTimeoutMs: config.kafka.transactionTimeoutMs,
      }),
      signal,
    );
    try {
      const held = await readRing(port, names, signal);
      if (held) return present(held);
      const ring = firstRing(config, kernels.ring, kernels.hash);
      sink.stage(names.control, 0, encodeEvent(ringActiveEvent(ring, now())));
      const outcome = await sink.commit([]);
      // Kafka says committed a moment before readers see it; whoever starts after this has the ring.
      if (outcome.kind === 'committed') return { kind: 'written', ring: await awaitRing(port, names, signal) };
      // Whoever fenced this sink is about to write the epoch: opening again would only fence it in turn.
      if (outcome.kind === 'fenced') return present(await awaitRing(port, names, signal));
      if (attempt === MAX_ATTEMPTS)
        throw new WeirError(
          'KAFKA_UNREACHABLE',
          `writing ring epoch 1 to ${names.control}: ${attempt} transactions failed, the last one with: ${outcome.cause.message}. See to the brokers and run it again`,
          { cause: outcome.cause },
        );
    } finally {
      await sink.close();
    }
  }
}

const MAX_ATTEMPTS = 5;
/** Much longer than an election and its first write take. */
const OTHER_WRITER_TIMEOUT_MS = 30_000;

async function awaitRing(port: KafkaPort, names: Names, signal: AbortSignal | undefined): Promise<RingEpoch> {
  const timeout = AbortSignal.timeout(OTHER_WRITER_TIMEOUT_MS);
  const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
  const log = await followControlLog(port, names, { signal: either });
  try {
    return (await log.waitFor((state) => state.ring !== null, { signal: either })).ring!;
  } finally {
    await log.close();
  }
}

async function readRing(port: KafkaPort, names: Names, signal: AbortSignal | undefined): Promise<RingEpoch | null> {
  const log = await followControlLog(port, names, { signal });
  await log.close();
  return log.state.ring;
}
