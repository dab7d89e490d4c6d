import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Extent, Extents } from '../../src/kernels/split/extents.ts';

const AT = 65_536;
const BYTES = 1_048_576;
const END = AT + BYTES;

function cover(): Extents {
  const extents = new Extents();
  extents.cover(AT, BYTES);
  return extents;
}

type Step = { readonly kind: 'take'; readonly bytes: number; readonly used: number } | { readonly kind: 'release' };

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('take' as const),
      bytes: fc.integer({ min: 1, max: BYTES >> 2 }),
      used: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    fc.record({ kind: fc.constant('release' as const) }),
  ),
  { maxLength: 60 },
);

describe('extents of the output arena', () => {
  it('never overlap, lie in the arena, and leave it whole when all are released', () => {
    fc.assert(
      fc.property(steps, (all: Step[]) => {
        const extents = cover();
        const held: Extent[] = [];
        for (const step of all) {
          if (step.kind === 'release') {
            const extent = held.splice(Math.floor(held.length / 2), 1)[0];
            if (extent) extents.release(extent);
          } else {
            const extent = extents.take(step.bytes);
            if (!extent) continue;
            expect(extent.end - extent.at).toBeGreaterThanOrEqual(step.bytes);
            held.push(extents.shrink(extent, extent.end - Math.floor(step.bytes * step.used)));
          }
          // Leases and free stretches tile the arena.
          const tiles = [...held, ...extents.free].filter(({ at, end }) => end > at).sort((a, b) => a.at - b.at);
          expect(tiles.map(({ at }) => at)).toEqual([AT, ...tiles.slice(0, -1).map(({ end }) => end)]);
          expect(tiles.at(-1)!.end).toBe(END);
          expect(extents.leased).toBe(held.length);
        }
        for (const extent of held) extents.release(extent);
        expect(extents.free).toEqual([{ at: AT, end: END }]);
      }),
      { numRuns: 300 },
    );
  });

  it('wake who waits with the next release, and give nothing beyond the arena', async () => {
    const extents = cover();
    const extent = extents.take(BYTES)!;
    expect(extents.take(1)).toBeNull();
    const released = extents.released();
    extents.release(extent);
    await released;
    expect(extents.take(BYTES + 1)).toBeNull();
    expect(extents.take(BYTES)).toEqual(extent);
  });

  it('are not laid out anew while one is leased out', () => {
    const extents = cover();
    extents.take(100);
    expect(() => extents.cover(AT, BYTES)).toThrow(/1 outputs are still leased/);
  });
});
