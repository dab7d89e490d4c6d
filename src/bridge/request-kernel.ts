/**
 * The bridge's own split kernel, which tells whether a request is valid, and cuts one that no record can hold. Not the
 * processor's, where that runs in the same process: there a call waits while outputs wait for their transaction.
 */
import { loadKernels } from '../kernels/index.ts';
import { RECORD_STATUS, type Routing, type SplitKernel, type Validation } from '../kernels/split/kernel.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { cutBetweenResources, type LargeItem, withoutLargeItems } from './request-frames.ts';

export type CutRequest =
  /** In order, each a valid request within the limit; `large` are the items that are in none. */
  | { readonly kind: 'pieces'; readonly pieces: readonly Uint8Array[]; readonly large: readonly LargeItem[] }
  /** What stands around the items would have to be repeated so often that the pieces have a multiple of the request's bytes. */
  | { readonly kind: 'too-large' };

export interface RequestKernel {
  validate(signal: Signal, request: Uint8Array): Promise<Validation>;
  /** Of a valid request. */
  countItems(signal: Signal, request: Uint8Array): Promise<number>;
  /** A valid request, of no more items than CALL_BOUNDS, as pieces of at most `maxBytes`. */
  cut(signal: Signal, request: Uint8Array, maxBytes: number): Promise<CutRequest>;
}

/** All items go to the one shard there is, in their order. */
const ONE_SHARD: Routing = {
  selector: { kind: 'service.name' },
  slotBits: 16,
  slots: new Uint16Array(2 ** 16),
  shardCount: 1,
  overrides: new Map(),
};
/** Bytes of all pieces, as a multiple of the request's. */
const MOST_GROWTH = 4;
/** A kernel whose memory has grown by more is replaced: it cannot shrink, and requests of tens of MiB are rare. */
const KEPT_GROWTH_BYTES = 32 * 1024 * 1024;

/** `onBusy` is told of the seconds that the kernel works. */
export async function loadRequestKernel(onBusy: (seconds: number) => void): Promise<RequestKernel> {
  let kernel = loadSplit();
  const initialBytes = (await kernel).split.memoryBytes;

  async function use<T>(work: (split: SplitKernel) => Promise<T>): Promise<T> {
    const used = kernel;
    const { split, counted } = await used;
    try {
      return await work(split);
    } finally {
      onBusy(split.busySeconds - counted.seconds);
      counted.seconds = split.busySeconds;
      if (kernel === used && split.memoryBytes > initialBytes + KEPT_GROWTH_BYTES) kernel = loadSplit();
    }
  }

  /** Of items that are too large the indices are those in `piece`. */
  async function cutPiece(signal: Signal, piece: Uint8Array, maxBytes: number): Promise<CutRequest> {
    const limits = { maxRecordBytes: maxBytes, maxOutputBytes: piece.length * MOST_GROWTH };
    const split = await use(async (kernel) => {
      const { statuses, outputs, release } = await kernel.split(signal, { values: [piece] }, limits);
      // Kafka may take its time with the pieces: the kernel's memory is not held for as long.
      const pieces = outputs.map(({ value }) => Buffer.from(value));
      release();
      return { status: statuses[0]!, pieces };
    });
    switch (split.status) {
      case RECORD_STATUS.ok:
        return { kind: 'pieces', pieces: split.pieces, large: [] };
      case RECORD_STATUS.item_too_large: {
        const { rest, large } = withoutLargeItems(signal, piece, maxBytes);
        const cut = await cutPiece(signal, rest, maxBytes);
        return cut.kind === 'pieces' ? { ...cut, large } : cut;
      }
      case RECORD_STATUS.output_too_large:
        return { kind: 'too-large' };
      default:
        throw new Error(`a valid request was split with status ${split.status}`);
    }
  }

  async function cut(signal: Signal, request: Uint8Array, maxBytes: number): Promise<CutRequest> {
    const pieces: Uint8Array[] = [];
    const large: LargeItem[] = [];
    let at = 0;
    for (const piece of cutBetweenResources(request, maxBytes)) {
      if (piece.length <= maxBytes) pieces.push(piece);
      else {
        const inner = await cutPiece(signal, piece, maxBytes);
        if (inner.kind !== 'pieces') return inner;
        pieces.push(...inner.pieces);
        if (inner.large.length > 0) {
          const itemsBefore = await countItems(signal, request.subarray(0, at));
          for (const { index, points } of inner.large) large.push({ index: itemsBefore + index, points });
        }
      }
      at += piece.length;
    }
    return { kind: 'pieces', pieces, large };
  }

  async function countItems(signal: Signal, request: Uint8Array): Promise<number> {
    const validation = await validate(signal, request);
    if (validation.kind === 'valid') return validation.counts.items;
    throw new Error(`a part of a valid request is not: ${JSON.stringify(validation.fault)}`);
  }

  const validate: RequestKernel['validate'] = (signal, request) => use((split) => split.validate(signal, request));
  return { validate, countItems, cut };
}

async function loadSplit(): Promise<{ readonly split: SplitKernel; readonly counted: { seconds: number } }> {
  const { split } = await loadKernels();
  for (const signal of SIGNALS) split.setRouting(signal, ONE_SHARD);
  return { split, counted: { seconds: 0 } };
}
