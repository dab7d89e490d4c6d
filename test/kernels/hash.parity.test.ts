import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import createXxhash from 'xxhash-wasm';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';

/** Seed and generator of xxHash's own sanity check (cli/xsum_sanity_check.c). */
const PRIME_32 = 2_654_435_761n;
const PRIME_64 = 11_400_714_785_074_694_797n;

function sanityBytes(length: number): Uint8Array {
  let generator = PRIME_32;
  return Uint8Array.from({ length }, () => {
    const byte = Number(generator >> 56n);
    generator = BigInt.asUintN(64, generator * PRIME_64);
    return byte;
  });
}

/** Published by xxHash: length of the sanity bytes, seed, XXH64. */
const PUBLISHED: ReadonlyArray<readonly [number, bigint, bigint]> = [
  [0, 0n, 0xef46db3751d8e999n],
  [0, PRIME_32, 0xac75fda2929b17efn],
  [1, 0n, 0xe934a84adb052768n],
  [1, PRIME_32, 0x5014607643a9b4c3n],
  [4, 0n, 0x9136a0dca57457een],
  [14, 0n, 0x8282dcc4994e35c8n],
  [14, PRIME_32, 0xc3bd6bf63deb6df0n],
  [222, 0n, 0xb641ae8cb691c174n],
  [222, PRIME_32, 0x20cb8ab7ae10c14an],
];

const SEEDS = [0n, 1n, PRIME_32, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn];

let library: Awaited<ReturnType<typeof createXxhash>>;
beforeAll(async () => {
  library = await createXxhash();
});

describe.each(KERNEL_TWINS)('XXH64 of the $name kernel', ({ hash }) => {
  it.each(PUBLISHED)('is as published for %i bytes with seed %i', (length, seed, expected) => {
    expect(hash.xxh64(sanityBytes(length), seed)).toBe(expected);
  });

  it('takes 0 for the seed when there is none', () => {
    expect(hash.xxh64(sanityBytes(222))).toBe(0xb641ae8cb691c174n);
  });

  it('is that of an independent library for every length from 0 to 200, at any alignment', () => {
    const random = createSeededRandom(20);
    const bytes = Uint8Array.from({ length: 256 }, () => random.integer(0, 255));
    for (let length = 0; length <= 200; length++) {
      for (const seed of SEEDS) {
        const view = bytes.subarray(length % 17, (length % 17) + length);
        expect(hash.xxh64(view, seed), `${length} bytes, seed ${seed}`).toBe(library.h64Raw(view, seed));
      }
    }
  });

  it('is that of an independent library for random bytes and seeds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (bytes, seed) => {
        expect(hash.xxh64(bytes, seed)).toBe(library.h64Raw(bytes, seed));
      }),
      { seed: 64, numRuns: 500 },
    );
  });

  it('is that of an independent library for a megabyte', () => {
    const bytes = sanityBytes(1_048_583);
    expect(hash.xxh64(bytes, 7n)).toBe(library.h64Raw(bytes, 7n));
  });
});
