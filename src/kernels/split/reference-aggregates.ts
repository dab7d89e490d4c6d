/** The sums over the items of a poll, in plain JS. Only items of taken records are added. */
import type { Signal } from '../../signals.ts';
import {
  type Aggregate,
  bucketOf,
  LATENCY_BUCKETS,
  type ServiceAggregate,
  type ShardAggregate,
  type SplitAggregates,
  type WatchedMetric,
} from './kernel.ts';
import { attributeOf } from './reference-route.ts';
import { contentOf, type Item, type WalkedResource } from './reference-walk.ts';

const MAX_SERVICES = 4_096;
const MAX_WATCHED = 1_024;
const WATCHED_PREFIXES = ['process.', 'container.', 'k8s.', 'system.'];

export interface ReferenceAggregates {
  add(
    bytes: Uint8Array,
    item: Item,
    resource: WalkedResource,
    route: { readonly shard: number; readonly slot: number | null },
  ): void;
  finish(): SplitAggregates;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Instance {
  readonly service: string;
  readonly instance: string;
  /** The two as they stand: texts that differ only in invalid UTF-8 stay two instances. */
  readonly key: string;
}

export function createReferenceAggregates(signal: Signal): ReferenceAggregates {
  let items = 0;
  let bytes = 0;
  const shards = new Map<number, ShardAggregate>();
  const services = new Map<string, Mutable<ServiceAggregate>>();
  const bytesOfSlot = new Map<number, number>();
  const watched: WatchedMetric[] = [];
  const instances = new WeakMap<WalkedResource, Instance>();

  function instanceOf(resource: WalkedResource): Instance {
    const known = instances.get(resource);
    if (known) return known;
    const [service, instance] = ['service.name', 'service.instance.id'].map((name) => {
      const attribute = attributeOf(resource, name);
      return Buffer.from(attribute?.isString && attribute.keyBytes ? attribute.keyBytes : []);
    }) as [Buffer, Buffer];
    const read = {
      service: service.toString('utf8'),
      instance: instance.toString('utf8'),
      key: `${service.toString('hex')}/${instance.toString('hex')}`,
    };
    instances.set(resource, read);
    return read;
  }

  function serviceOf(resource: WalkedResource): Mutable<ServiceAggregate> | null {
    const { key, service, instance } = instanceOf(resource);
    const known = services.get(key);
    if (known) return known;
    if (services.size === MAX_SERVICES) return null;
    const added = {
      service,
      instance,
      ...emptyAggregate(),
      requests: 0,
      requestErrors: 0,
      requestLatencySumNs: 0,
      requestLatency: new Uint32Array(LATENCY_BUCKETS),
    };
    services.set(key, added);
    return added;
  }

  return {
    add(request, item, resource, route) {
      const itemBytes = item.frame.end - item.frame.start;
      items++;
      bytes += itemBytes;

      const shard = shards.get(route.shard) ?? { shard: route.shard, ...emptyAggregate() };
      shards.set(route.shard, shard);
      addItem(shard, item, itemBytes);
      if (route.slot !== null) bytesOfSlot.set(route.slot, (bytesOfSlot.get(route.slot) ?? 0) + itemBytes);

      const service = serviceOf(resource);
      if (service) {
        addItem(service, item, itemBytes);
        if (item.isRequest) addRequest(service, item);
      }

      if (signal === 'metrics' && watched.length < MAX_WATCHED && isWatched(item)) {
        const { service, instance } = instanceOf(resource);
        watched.push({ service, instance, metric: contentOf(request, item.frame).slice() });
      }
    },
    finish: () => ({
      items,
      bytes,
      shards: [...shards.values()].sort((a, b) => a.shard - b.shard),
      services: [...services.values()],
      slotBytes: Uint32Array.from([...bytesOfSlot].sort(([a], [b]) => a - b).flat()),
      watched,
    }),
  };
}

function emptyAggregate(): Aggregate {
  return { items: 0, bytes: 0, errors: 0, latencySumNs: 0, latencyMinNs: 0, latencyMaxNs: 0 };
}

function addItem(aggregate: Aggregate, item: Item, itemBytes: number): void {
  const latencyNs = Number(item.latencyNs);
  aggregate.latencyMinNs = aggregate.items === 0 ? latencyNs : Math.min(aggregate.latencyMinNs, latencyNs);
  aggregate.latencyMaxNs = Math.max(aggregate.latencyMaxNs, latencyNs);
  aggregate.latencySumNs += latencyNs;
  aggregate.items++;
  aggregate.bytes += itemBytes;
  if (item.failed) aggregate.errors++;
}

function addRequest(service: Mutable<ServiceAggregate>, item: Item): void {
  service.requests++;
  service.requestLatencySumNs += Number(item.latencyNs);
  service.requestLatency[bucketOf(item.latencyNs)]!++;
  if (item.failed) service.requestErrors++;
}

function isWatched(item: Item): boolean {
  if (!item.metricName) return false;
  const name = Buffer.from(item.metricName).toString('latin1');
  return WATCHED_PREFIXES.some((prefix) => name.startsWith(prefix));
}
