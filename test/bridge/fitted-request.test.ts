import { describe, expect, it } from 'vitest';
import { type FittedRequest, fitAgain, fitRequest } from '../../src/bridge/fitted-request.ts';
import { loadRequestKernel } from '../../src/bridge/request-kernel.ts';
import { SIGNALS } from '../../src/signals.ts';
import { namesIn, POINTS, requestOf } from './sample-requests.ts';

const kernel = await loadRequestKernel(() => {});

describe.each(SIGNALS)('a request of %s that is cut again to a lower limit', (signal) => {
  const names = ({ pieces }: FittedRequest) => pieces.map((piece) => namesIn(signal, piece));
  const points = signal === 'metrics' ? POINTS : 1;
  async function fitted(limitBytes: number, sizes: readonly number[]) {
    const cut = await fitRequest(kernel, signal, requestOf(signal, sizes), sizes.length, limitBytes);
    if (cut.kind !== 'fitted') throw new Error(cut.kind);
    return cut;
  }
  async function again(before: FittedRequest, refused: readonly Uint8Array[], limitBytes: number) {
    const cut = await fitAgain(kernel, signal, before, refused, limitBytes);
    if (cut.kind !== 'fitted') throw new Error(cut.kind);
    return cut;
  }

  it('has only what was refused, and names by their place in the request only items that are in no record', async () => {
    const first = await fitted(10_000, [12_000, 6_000, 3_000, 6_000, 2_000, 1_000, 9_000]);
    expect(names(first)).toEqual([['item 1', 'item 2'], ['item 3', 'item 4', 'item 5'], ['item 6']]);
    expect(first.large).toEqual([{ index: 0, points }]);

    // The first is stored, with an item that would be too large now.
    const second = await again(first, first.pieces.slice(1), 5_000);
    expect(names(second)).toEqual([['item 4', 'item 5']]);
    expect(second.large.map(({ index }) => index)).toEqual([0, 3, 6]);

    const third = await again(second, second.pieces, 1_500);
    expect(names(third)).toEqual([['item 5']]);
    expect(third.large).toEqual([0, 3, 4, 6].map((index) => ({ index, points })));
  });

  it('stays as it is where a piece fits: Kafka has refused it for what went with it', async () => {
    const first = await fitted(10_000, [6_000, 6_000, 3_000]);
    const second = await again(first, first.pieces, 9_900);
    expect(second.pieces).toEqual(first.pieces);
    expect(second.large).toEqual([]);
  });
});
