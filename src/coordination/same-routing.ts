/** Whether a member is configured to route as the ring epoch in force says. */
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import type { HashKernel } from '../kernels/hash/kernel.ts';
import { namesFor } from '../names.ts';
import { SIGNALS } from '../signals.ts';
import { configuredOverrides } from './first-ring.ts';
import type { RingEpoch, SignalRing } from './ring-epoch.ts';

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
