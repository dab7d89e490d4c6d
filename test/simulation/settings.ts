/** How the members of a simulated installation are configured: like a real one, but for times and amounts that fit into its seconds. */
import { type Config, defaultConfig } from '../../src/config.ts';
import type { Traits } from './traits.ts';

export const FIRST_PARTITIONS = 3;

export function settingsOf(
  { carryMs, key, decisions }: Pick<Traits, 'carryMs' | 'key' | 'decisions'>,
  kafka: { readonly instanceId?: string } = {},
): Config {
  const apply = decisions === 'applied';
  return defaultConfig({
    kafka: { sessionTimeoutMs: 2_000, transactionTimeoutMs: 4_000, ...kafka },
    topics: { ingestPartitions: FIRST_PARTITIONS },
    poll: { maxRecords: 4 },
    routing: { vnodes: 8, traces: { shards: 4, key }, metrics: { shards: 1 }, logs: { shards: 1 } },
    load: { reportIntervalMs: 1_000, slotIntervalMs: 2_000 },
    control: {
      tickMs: 500,
      windowMs: 2_000,
      ring: { carryMs },
      scaling: { stabilisationMs: 500 },
      rebalance: {
        apply,
        minBytesPerSecond: decisions === 'none' ? 1e12 : 10_000,
        cooldownMs: 3_000,
        holdMs: 1_000,
        churnSlots: 65_536,
      },
      capacity: {
        apply,
        // The high load of `spans.ts` is too much for the first shards, and the low one little enough for two of them.
        bytesPerSecond: 70_000,
        minShards: 2,
        maxShards: 8,
        splitAfterMs: 0,
        mergeAfterMs: 0,
        holdMs: 1_500,
        cooldownMs: 1_000,
      },
    },
  });
}
