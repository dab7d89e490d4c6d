/** Before anyone is measured: what comes out of a split holds what went in. A peer that does less would be no comparison. */
import type { Signal } from '../../../src/signals.ts';
import { REQUESTS } from './schema.ts';

/** Throws where an item of the inputs, with its resource and scope, is not in the outputs just as often. */
export function assertSameItems(
  who: string,
  signal: Signal,
  inputs: readonly Uint8Array[],
  outputs: readonly Uint8Array[],
): void {
  const counts = new Map<string, number>();
  const count = (requests: readonly Uint8Array[], step: number) => {
    for (const item of requests.flatMap((request) => itemsOf(signal, request))) {
      counts.set(item, (counts.get(item) ?? 0) + step);
    }
  };
  count(inputs, 1);
  count(outputs, -1);
  const wrong = [...counts.values()].filter((left) => left !== 0).length;
  if (wrong > 0) throw new Error(`${who}: ${wrong} ${signal} items do not come out as they went in`);
}

function itemsOf(signal: Signal, request: Uint8Array): string[] {
  const type = REQUESTS[signal];
  const decoded = type.toObject(type.decode(request), { longs: String, bytes: String }) as {
    resources?: Array<{ resource: unknown; schemaUrl: string; scopes?: Array<{ scope: unknown; items?: unknown[] }> }>;
  };
  return (decoded.resources ?? []).flatMap(({ scopes, ...resource }) =>
    (scopes ?? []).flatMap(({ items, ...scope }) =>
      (items ?? []).map((item) => JSON.stringify([resource, scope, item])),
    ),
  );
}
