/** The sums over the items of a poll, in plain JS. Only items of taken records are added. */
import type { Signal } from '../../signals.ts';
import { xxh64 } from '../hash/reference.ts';
import {
  type Aggregate,
  bucketOf,
  KEY_STRIDE_BYTES,
  type KeyName,
  type KeySelector,
  LATENCY_BUCKETS,
  MAX_KEY_SAMPLES,
  NAMED_EVERY,
  type ServiceAggregate,
  type ShardAggregate,
  type SplitAggregates,
  type WatchedMetric,
} from './kernel.ts';
import { type KeyText, keyName, NAMED_BYTES, resourceName } from './key-name.ts';
import { attributeOf, type Route, type RoutingKey } from './reference-route.ts';
import { contentOf, type Item, type WalkedResource } from './reference-walk.ts';

const MAX_SERVICES = 4_096;
const MAX_WATCHED = 1_024;
const WATCHED_PREFIXES = ['process.', 'container.', 'k8s.', 'system.'];

export interface ReferenceAggregates {
  add(bytes: Uint8Array, item: Item, resource: WalkedResource, route: Route): void;
  finish(): SplitAggregates;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Instance {
  readonly service: string;
  readonly instance: string;
  /** The two as they stand: texts that differ only in invalid UTF-8 stay two instances. */
  readonly key: string;
}

export function createReferenceAggregates(signal: Signal, selector: KeySelector): ReferenceAggregates {
  let items = 0;
  let bytes = 0;
  const shards = new Map<number, ShardAggregate>();
  const services = new Map<string, Mutable<ServiceAggregate>>();
  const bytesOfSlot = new Map<number, number>();
  let draw: KeyDraw | null = null;
  const samples: { hash: bigint; bytes: number }[] = [];
  const names: KeyName[] = [];
  const watched: WatchedMetric[] = [];
  const instances = new WeakMap<WalkedResource, Instance>();

  function instanceOf(resource: WalkedResource): Instance {
    const known = instances.get(resource);
    if (known) return known;
    const [service, instance] = namesOf(resource);
    const read = {
      service: service.toString('utf8'),
      instance: instance.toString('utf8'),
      key: `${service.toString('hex')}/${instance.toString('hex')}`,
    };
    instances.set(resource, read);
    return read;
  }

  function nameOf(key: RoutingKey, resource: WalkedResource): string {
    if (key.source !== 'resource') return keyName(selector, key.source, key.kind, headOf(key.bytes));
    const [service, instance] = namesOf(resource);
    return resourceName(headOf(service), headOf(instance));
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
      draw ??= new KeyDraw(
        Number(xxh64(request.subarray(item.frame.start, item.frame.end).subarray(0, 1_024)) & 0xffffffffn),
      );
      const strides = draw.countBefore(bytes);
      if (strides > 0 && samples.length < MAX_KEY_SAMPLES) {
        const { hash } = route.key;
        if (samples.length % NAMED_EVERY === 0) names.push({ hash, text: nameOf(route.key, resource) });
        samples.push({ hash, bytes: strides * KEY_STRIDE_BYTES });
      }

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
      keySamples: {
        hashes: BigUint64Array.from(samples, ({ hash }) => hash),
        bytes: Uint32Array.from(samples, (sample) => sample.bytes),
        names,
      },
      watched,
    }),
  };
}

/** service.name and service.instance.id; empty where they are missing or no text. */
function namesOf(resource: WalkedResource): [Buffer, Buffer] {
  return ['service.name', 'service.instance.id'].map((name) => {
    const attribute = attributeOf(resource, name);
    return Buffer.from(attribute?.kind === 'string' && attribute.keyBytes ? attribute.keyBytes : []);
  }) as [Buffer, Buffer];
}

const headOf = (bytes: Uint8Array): KeyText => ({ head: bytes.subarray(0, NAMED_BYTES), bytes: bytes.length });

/** Draws one byte of each KEY_STRIDE_BYTES of the call's item bytes. */
class KeyDraw {
  #random: number;
  #stride = 0;
  #next: number;

  constructor(seed: number) {
    this.#random = seed | 1;
    this.#next = this.#drawInStride();
  }

  /** How many drawn bytes lie before `end` that did not at the call before. */
  countBefore(end: number): number {
    let count = 0;
    for (; this.#next < end; count++) {
      this.#stride += KEY_STRIDE_BYTES;
      this.#next = this.#drawInStride();
    }
    return count;
  }

  #drawInStride(): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    return this.#stride + (this.#random & (KEY_STRIDE_BYTES - 1));
  }
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
