/** Where an item goes by a ring, worked out apart from the kernels: key -> override, else slot -> shard; of a key that is spread by the slot of its trace id. */
import { type SignalRing, slotOf as slotOfHash } from '../../src/coordination/ring-epoch.ts';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { BY_TRACE_ID } from '../../src/kernels/split/kernel.ts';
import type { DecodedItem } from './otlp-schema.ts';

/** XXH64 of what can decide where an item goes. */
export interface ItemRoute {
  readonly keyHash: bigint;
  readonly traceHash: bigint;
}

const hash = createReferenceHash();
export const hashOfTrace = (traceId: string) => hash.xxh64(Buffer.from(traceId, 'hex'));

export const slotOf = (traceId: string, slotBits: SignalRing['slotBits']) =>
  slotOfHash({ slotBits }, hashOfTrace(traceId));

/** Of items of rings with one routing key, `trace_id` or `service.name`; hashes of what was seen before are known. */
export class ItemRoutes {
  readonly #ofTraces = new Map<string, bigint>();
  /** By resource, as JSON. */
  readonly #ofServices = new Map<string, bigint>();

  of({ key }: Pick<SignalRing, 'key'>, { traceId, resource }: Pick<DecodedItem, 'traceId' | 'resource'>): ItemRoute {
    const traceHash = kept(this.#ofTraces, traceId, hashOfTrace);
    if (key === 'trace_id') return { keyHash: traceHash, traceHash };
    if (key === 'service.name') return { keyHash: kept(this.#ofServices, resource, hashOfService), traceHash };
    throw new RangeError(`items of the routing key ${key} are not followed`);
  }
}

export function shardOf(ring: SignalRing, { keyHash, traceHash }: ItemRoute): number {
  const override = ring.overrides.get(keyHash);
  if (override !== undefined && override !== BY_TRACE_ID) return override;
  return ring.slots[slotOfHash(ring, override === undefined ? keyHash : traceHash)]!;
}

/** What has to be in one shard of a ring: items of a key, or of a trace where the key is spread. */
export function togetherBy(ring: SignalRing, { keyHash, traceHash }: ItemRoute): string {
  return ring.overrides.get(keyHash) === BY_TRACE_ID ? `${keyHash} ${traceHash}` : String(keyHash);
}

function hashOfService(resourceX: string): bigint {
  const { attributes } = (JSON.parse(resourceX) as ResourceX).resource;
  return hash.xxh64(Buffer.from(attributes.find(({ key }) => key === 'service.name')!.value.stringValue));
}

interface ResourceX {
  readonly resource: {
    readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[];
  };
}

function kept(known: Map<string, bigint>, of: string, hashOf: (of: string) => bigint): bigint {
  const before = known.get(of);
  if (before !== undefined) return before;
  const value = hashOf(of);
  known.set(of, value);
  return value;
}
