/** How evenly each signal's load is spread over its shards, as the leader sees it when it decides. */
import { distributionOf } from '../control/distribution.ts';
import type { LoadView } from '../control/load-view.ts';
import type { RebalancePolicy } from '../control/policy.ts';
import { isEnoughToJudge, loadDistribution, shardLoads } from '../control/shard-loads.ts';
import type { RingEpoch } from '../coordination/ring-epoch.ts';
import type { Metrics } from '../metrics.ts';
import { SIGNALS } from '../signals.ts';

type LoadMetrics = Pick<Metrics, 'shardLoadMaxOverMean' | 'shardLoadCv' | 'shardLoadGini'>;

/** A signal with too little load to judge counts as even: an alert on chance would help nobody. */
export function showDistribution(
  metrics: LoadMetrics,
  ring: RingEpoch,
  load: Pick<LoadView, 'signals'>,
  policy: Pick<RebalancePolicy, 'minBytesPerSecond'>,
): void {
  for (const signal of SIGNALS) {
    const loads = shardLoads(ring.signals[signal], load.signals[signal]);
    const distribution = isEnoughToJudge(loads.total, policy) ? loadDistribution(loads) : distributionOf([]);
    metrics.shardLoadMaxOverMean.set({ signal }, distribution.maxOverMean);
    metrics.shardLoadCv.set({ signal }, distribution.coefficientOfVariation);
    metrics.shardLoadGini.set({ signal }, distribution.gini);
  }
}

/** For a controller that no longer leads: it shows no distribution. */
export function clearDistribution(metrics: LoadMetrics): void {
  metrics.shardLoadMaxOverMean.reset();
  metrics.shardLoadCv.reset();
  metrics.shardLoadGini.reset();
}
