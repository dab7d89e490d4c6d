/** Where an item goes: key -> XXH64 -> override, else slot -> shard. */
import { xxh64 } from '../hash/reference.ts';
import type { KeySelector, Routing } from './kernel.ts';
import { type Attribute, contentOf, type Item, type WalkedResource } from './reference-walk.ts';

export function routeItem(
  bytes: Uint8Array,
  item: Item,
  resource: WalkedResource,
  routing: Routing,
): { shard: number; slot: number | null } {
  const hash = keyHash(bytes, item, resource, routing.selector);
  const override = routing.overrides.get(hash);
  if (override !== undefined) return { shard: override, slot: null };
  const slot = Number(hash >> BigInt(64 - routing.slotBits));
  return { shard: routing.slots[slot]!, slot };
}

function keyHash(bytes: Uint8Array, item: Item, resource: WalkedResource, selector: KeySelector): bigint {
  if (selector.kind !== 'resource') {
    const key = selectedKey(item, resource, selector) ?? attributeOf(resource, 'service.name')?.keyBytes;
    if (key) return xxh64(key);
  }
  return resourceIdentity(bytes, resource);
}

function selectedKey(item: Item, resource: WalkedResource, selector: KeySelector): Uint8Array | null {
  switch (selector.kind) {
    case 'trace_id':
      return item.traceId;
    case 'metric.name':
      return item.metricName;
    case 'resource-attribute':
      return attributeOf(resource, selector.name)?.keyBytes ?? null;
    case 'item-attribute':
      return attributeOf(item, selector.name)?.keyBytes ?? null;
    default:
      return null;
  }
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
