/**
 * A request as records that its topic takes. When the topic's limit is lowered while they are on their way, those that Kafka has refused are cut
 * again; what it has stored stays as it is, so only items that are in no record are told to be.
 */
import type { Signal } from '../signals.ts';
import type { LargeItem } from './request-frames.ts';
import type { RequestKernel } from './request-kernel.ts';

export interface FittedRequest {
  readonly kind: 'fitted';
  /** In order. */
  readonly pieces: readonly Uint8Array[];
  /** Of each item in the pieces, in their order, where it is among all items of the request; null: they are all of it. */
  readonly indices: readonly number[] | null;
  /** Items of the request that no record holds, in their order. */
  readonly large: readonly LargeItem[];
}

/** See `CutRequest` of request-kernel.ts. */
type TooLarge = { readonly kind: 'too-large' };

/** A valid request of so many items, as records of at most `limitBytes`. An empty one holds nothing, and needs none. */
export async function fitRequest(
  kernel: RequestKernel,
  signal: Signal,
  request: Uint8Array,
  items: number,
  limitBytes: number,
): Promise<FittedRequest | TooLarge> {
  if (request.length <= limitBytes)
    return { kind: 'fitted', pieces: request.length === 0 ? [] : [request], indices: null, large: [] };
  const cut = await kernel.cut(signal, request, limitBytes);
  if (cut.kind === 'too-large') return cut;
  const { pieces, large } = cut;
  return { kind: 'fitted', pieces, indices: large.length === 0 ? null : without(indicesOf(items), large), large };
}

/** The pieces that were refused, as records of at most `limitBytes`; the others are done with. */
export async function fitAgain(
  kernel: RequestKernel,
  signal: Signal,
  { pieces, indices, large }: FittedRequest,
  refused: readonly Uint8Array[],
  limitBytes: number,
): Promise<FittedRequest | TooLarge> {
  const isRefused = new Set(refused);
  const again: FittedRequest[] = [];
  let before = 0;
  for (const piece of pieces) {
    const count = await kernel.countItems(signal, piece);
    const within = indices?.slice(before, before + count) ?? indicesOf(count, before);
    before += count;
    if (!isRefused.has(piece)) continue;
    const fitted = await fitRequest(kernel, signal, piece, count, limitBytes);
    if (fitted.kind === 'too-large') return fitted;
    again.push({
      ...fitted,
      indices: fitted.indices?.map((index) => within[index]!) ?? within,
      large: fitted.large.map(({ index, points }) => ({ index: within[index]!, points })),
    });
  }
  return {
    kind: 'fitted',
    pieces: again.flatMap((of) => of.pieces),
    indices: again.flatMap((of) => of.indices ?? []),
    large: [...large, ...again.flatMap((of) => of.large)].sort((a, b) => a.index - b.index),
  };
}

function indicesOf(items: number, first = 0): number[] {
  return Array.from({ length: items }, (_, n) => first + n);
}

function without(indices: readonly number[], large: readonly LargeItem[]): number[] {
  const left = new Set(large.map(({ index }) => index));
  return indices.filter((index) => !left.has(index));
}
