/** Where an item goes: key -> XXH64 -> override, else slot -> shard. Of a key that is spread: trace id -> XXH64 -> slot -> shard. */
import { xxh64 } from '../hash/reference.ts';
import { BY_TRACE_ID, type KeySelector, type Routing } from './kernel.ts';
import type { KeyKind, KeySource } from './key-name.ts';
import { type Attribute, contentOf, type Item, type WalkedResource } from './reference-walk.ts';

export interface Route {
  readonly key: RoutingKey;
  readonly shard: number;
  /** null: an override gave it to the shard. */
  readonly slot: number | null;
}

/** What an item is routed by. */
export type RoutingKey =
  | {
      readonly hash: bigint;
      readonly source: Exclude<KeySource, 'resource'>;
      readonly kind: KeyKind;
      readonly bytes: Uint8Array;
    }
  | { readonly hash: bigint; readonly source: 'resource' };

export function routeItem(bytes: Uint8Array, item: Item, resource: WalkedResource, routing: Routing): Route {
  const key = routingKey(bytes, item, resource, routing.selector);
  const override = routing.overrides.get(key.hash);
  if (override !== undefined && override !== BY_TRACE_ID) return { key, shard: override, slot: null };
  const hash = override === undefined ? key.hash : spreadHash(bytes, item, resource);
  const slot = Number(hash >> BigInt(64 - routing.slotBits));
  return { key, shard: routing.slots[slot]!, slot };
}

function spreadHash(bytes: Uint8Array, item: Item, resource: WalkedResource): bigint {
  return item.traceId ? xxh64(item.traceId) : resourceIdentity(bytes, resource);
}

function routingKey(bytes: Uint8Array, item: Item, resource: WalkedResource, selector: KeySelector): RoutingKey {
  if (selector.kind !== 'resource') {
    const selected = selectedKey(item, resource, selector);
    if (selected) return { hash: xxh64(selected.bytes), source: 'selected', ...selected };
    const service = keyValueOf(attributeOf(resource, 'service.name'));
    if (service) return { hash: xxh64(service.bytes), source: 'service.name', ...service };
  }
  return { hash: resourceIdentity(bytes, resource), source: 'resource' };
}

type KeyValue = { readonly kind: KeyKind; readonly bytes: Uint8Array };

function selectedKey(item: Item, resource: WalkedResource, selector: KeySelector): KeyValue | null {
  switch (selector.kind) {
    case 'trace_id':
      return item.traceId && { kind: 'bytes', bytes: item.traceId };
    case 'metric.name':
      return item.metricName && { kind: 'string', bytes: item.metricName };
    case 'resource-attribute':
      return keyValueOf(attributeOf(resource, selector.name));
    case 'item-attribute':
      return keyValueOf(attributeOf(item, selector.name));
    default:
      return null;
  }
}

function keyValueOf(attribute: Attribute | undefined): KeyValue | null {
  return attribute?.keyBytes ? { kind: attribute.kind!, bytes: attribute.keyBytes } : null;
}

/** Of several attributes with one key the first counts. */
export function attributeOf(owner: WalkedResource | Item, name: string): Attribute | undefined {
  const key = Buffer.from(name);
  return owner.attributes.find((attribute) => key.equals(attribute.key));
}

const identities = new WeakMap<WalkedResource, bigint>();

/** The order of the attributes does not change it. */
function resourceIdentity(bytes: Uint8Array, resource: WalkedResource): bigint {
  const known = identities.get(resource);
  if (known !== undefined) return known;
  let sum = 0n;
  for (const { keyValue } of resource.attributes) sum += xxh64(contentOf(bytes, keyValue));
  const key = new Uint8Array(8);
  new DataView(key.buffer).setBigUint64(0, BigInt.asUintN(64, sum), true);
  const identity = xxh64(key);
  identities.set(resource, identity);
  return identity;
}
