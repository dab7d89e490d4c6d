/**
 * Splits as one would with protobufjs: decode the requests, put each item into a new request of its shard, encode those. Two
 * forms: all fields decoded, and items kept as opaque bytes. Both are spared what the kernel does besides: no aggregate, no
 * limit on outputs, and a key's first 16 bits (or a remembered answer) in the place of its hash.
 */
import type { Type } from 'protobufjs';
import type { Signal } from '../../../src/signals.ts';
import { OPAQUE_REQUEST, REQUESTS } from './schema.ts';

/** One output a shard that got items, in order of the shards. */
export type PeerSplit = (requests: readonly Uint8Array[]) => Uint8Array[];

export interface Sharding {
  /** Owner of each of 2^16 slots. */
  readonly slots: Uint16Array;
  readonly shardCount: number;
}

/** Traces and logs by trace id, metrics by resource; what has no trace id goes by its service. */
export function decodingSplit(signal: Signal, { slots, shardCount }: Sharding): PeerSplit {
  const shardOfText = new Map<string, number>();
  const byResource = ({ resource }: ResourceLevel<Item>) => {
    const wanted = signal === 'metrics' ? 'service.instance.id' : 'service.name';
    const { attributes } = resource as { attributes: Array<{ key: string; value: { stringValue: string } }> };
    const text = attributes.find((attribute) => attribute.key === wanted)?.value.stringValue ?? '';
    let shard = shardOfText.get(text);
    if (shard === undefined) {
      shard = slots[slotOfText(text)]!;
      shardOfText.set(text, shard);
    }
    return shard;
  };
  return regroup<Item>(REQUESTS[signal], shardCount, ({ traceId }, resource) =>
    traceId && traceId.length > 1 ? slots[(traceId[0]! << 8) | traceId[1]!]! : byResource(resource),
  );
}

/** Traces by trace id; resources, scopes and spans are not decoded. */
export function opaqueSplit({ slots, shardCount }: Sharding): PeerSplit {
  return regroup<Uint8Array>(OPAQUE_REQUEST, shardCount, (span) => {
    // A span begins with its trace id wherever an SDK wrote it: field 1, 16 bytes.
    if (span[0] !== 0x0a || span[1] !== 16) throw new Error('a span of the corpus does not begin with its trace id');
    return slots[(span[2]! << 8) | span[3]!]!;
  });
}

interface Item {
  readonly traceId?: Uint8Array;
}

interface RequestLevel<T> {
  resources: ResourceLevel<T>[];
}

interface ResourceLevel<T> {
  resource: unknown;
  scopes: ScopeLevel<T>[];
  schemaUrl?: string;
}

interface ScopeLevel<T> {
  scope: unknown;
  items: T[];
  schemaUrl?: string;
}

/** An empty one is not written: the encoder would. */
const urlOf = ({ schemaUrl }: { schemaUrl?: string }) => (schemaUrl ? { schemaUrl } : null);

function regroup<T>(
  type: Type,
  shardCount: number,
  shardOf: (item: T, resource: ResourceLevel<T>) => number,
): PeerSplit {
  return (requests) => {
    const outputs = new Array<RequestLevel<T> | undefined>(shardCount).fill(undefined);
    const resourceOf = new Array<ResourceLevel<T> | undefined>(shardCount).fill(undefined);
    const scopeOf = new Array<ScopeLevel<T> | undefined>(shardCount).fill(undefined);
    for (const bytes of requests) {
      const request = type.decode(bytes) as unknown as RequestLevel<T>;
      for (const from of request.resources) {
        resourceOf.fill(undefined);
        for (const scopeFrom of from.scopes) {
          const { scope, items } = scopeFrom;
          scopeOf.fill(undefined);
          for (const item of items) {
            const shard = shardOf(item, from);
            let scopeTo = scopeOf[shard];
            if (!scopeTo) {
              let resourceTo = resourceOf[shard];
              if (!resourceTo) {
                resourceTo = { resource: from.resource, scopes: [], ...urlOf(from) };
                resourceOf[shard] = resourceTo;
                outputs[shard] ??= { resources: [] };
                outputs[shard].resources.push(resourceTo);
              }
              scopeTo = { scope, items: [], ...urlOf(scopeFrom) };
              scopeOf[shard] = scopeTo;
              resourceTo.scopes.push(scopeTo);
            }
            scopeTo.items.push(item);
          }
        }
      }
    }
    return outputs.filter((output) => output !== undefined).map((output) => type.encode(output).finish());
  };
}

/** FNV-1a, 32 bits, folded: asked once a text. */
function slotOfText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 16)) & 0xffff;
}
