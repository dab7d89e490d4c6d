/** Aggregates as the split kernel makes them, and reports, for tests. */
import {
  bucketOf,
  LATENCY_BUCKETS,
  type ServiceAggregate,
  type SplitAggregates,
} from '../../src/kernels/split/kernel.ts';
import type { InstanceLoad, LoadReport, Reporter, ShardLoad } from '../../src/load/load-report.ts';

export const REPORTER: Reporter = { id: 'process-1', role: 'process', version: '0.1.0' };

export function aggregates(over: Partial<SplitAggregates> = {}): SplitAggregates {
  const keySamples = { hashes: new BigUint64Array(), bytes: new Uint32Array(), names: [] };
  return {
    items: 0,
    bytes: 0,
    shards: [],
    services: [],
    slotBytes: new Uint32Array(),
    keySamples,
    watched: [],
    ...over,
  };
}

export function shardAggregate(shard: number, bytes: number, over: { items?: number; latencyNs?: number } = {}) {
  const { items = 1, latencyNs = 0 } = over;
  return {
    shard,
    items,
    bytes,
    errors: 0,
    latencySumNs: latencyNs * items,
    latencyMinNs: latencyNs,
    latencyMaxNs: latencyNs,
  };
}

/** `requests` of 1 ms each. */
export function serviceAggregate(service: string, instance: string, requests = 1): ServiceAggregate {
  const requestLatency = new Uint32Array(LATENCY_BUCKETS);
  requestLatency[bucketOf(1_000_000n)] = requests;
  return {
    service,
    instance,
    items: requests,
    bytes: requests * 100,
    errors: 0,
    latencySumNs: 0,
    latencyMinNs: 0,
    latencyMaxNs: 0,
    requests,
    requestErrors: 0,
    requestLatencySumNs: requests * 1_000_000,
    requestLatency,
  };
}

/** Of items of 100 bytes each. */
export function shardLoad(shard: number, bytes: number): ShardLoad {
  return { shard, items: bytes / 100, bytes, errors: 0, latencySumNs: 0, latencyMinNs: 0, latencyMaxNs: 0 };
}

export function instanceLoad(service: string, instance: string, over: Partial<InstanceLoad> = {}): InstanceLoad {
  return {
    service,
    instance,
    items: 0,
    bytes: 0,
    requests: 0,
    requestErrors: 0,
    requestLatencySumNs: 0,
    requestLatency: [],
    cpuUtilisation: null,
    memoryUtilisation: null,
    ...over,
  };
}

export function report(toUnixMs: number, over: Partial<LoadReport> = {}): LoadReport {
  return {
    reporter: REPORTER,
    fromUnixMs: toUnixMs - 1_000,
    toUnixMs,
    ringEpoch: 1,
    part: 0,
    parts: 1,
    signals: [],
    lag: [],
    instancesLeftOut: 0,
    usage: null,
    acceptedItems: 0,
    acceptedBytes: 0,
    leaving: false,
    ...over,
  };
}
