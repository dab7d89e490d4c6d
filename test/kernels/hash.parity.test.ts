import { createRequire } from 'node:module';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import createXxhash from 'xxhash-wasm';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { createWasmHash } from '../../src/kernels/hash/wasm.ts';
import { KernelHost } from '../../src/kernels/host.ts';
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

/** As published with FNV: draft-eastlake-fnv, appendix C, and test_fnv.c of the reference implementation. */
const PUBLISHED_FNV: ReadonlyArray<readonly [string, bigint]> = [
  ['', 0xcbf29ce484222325n],
  ['a', 0xaf63dc4c8601ec8cn],
  ['b', 0xaf63df4c8601f1a5n],
  ['fo', 0x08985907b541d342n],
  ['foobar', 0x85944171f73967e8n],
  ['chongo was here!\n', 0x46810940eff5f915n],
];

/** Of Kafka's own UtilsTest.testMurmur2. */
const KAFKAS_MURMUR2: ReadonlyArray<readonly [string, number]> = [
  ['21', -973_932_308],
  ['foobar', -790_332_482],
  ['a-little-bit-long-string', -985_981_536],
  ['a-little-bit-longer-string', -1_486_304_829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971],
  ['abc', 479_470_107],
];

const kafkajsMurmur2 = createRequire(import.meta.url)('kafkajs/src/producer/partitioners/default/murmur2') as (
  key: Buffer,
) => number;

const random = createSeededRandom(64);
const NOISE = Uint8Array.from({ length: 3_000_000 }, () => random.integer(0, 255));
const nearby = () => ({ offset: random.integer(0, 60_000), length: random.integer(0, 100) });

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

describe.each(KERNEL_TWINS)('batches of the $name hash kernel', ({ hash }) => {
  const batch = (keys: ReadonlyArray<{ offset: number; length: number }>, bytes = NOISE) => ({
    bytes,
    offsets: Uint32Array.from(keys, ({ offset }) => offset),
    lengths: Uint32Array.from(keys, ({ length }) => length),
  });
  const expectedOf = (keys: ReadonlyArray<{ offset: number; length: number }>, seed = 0n) =>
    keys.map(({ offset, length }) => library.h64Raw(NOISE.subarray(offset, offset + length), seed));

  it('hold what an independent library says of each key, in any order, overlapping, empty', () => {
    const keys = Array.from({ length: 500 }, nearby);
    for (const seed of SEEDS) expect([...hash.xxh64Batch(batch(keys), seed)]).toEqual(expectedOf(keys, seed));
  });

  it('may be of keys that lie far from each other, up and down, and near each other again', () => {
    const offsets = [0, 5, 2_900_000, 40, 1_500_000, 1_500_004, 1_504_200, 1_400_000, 0, 2_999_990];
    const keys = offsets.map((offset, i) => ({ offset, length: i % 2 ? 0 : 10 }));
    expect([...hash.xxh64Batch(batch(keys))]).toEqual(expectedOf(keys));
  });

  it('may hold a key of megabytes between short ones', () => {
    const keys = [
      { offset: 3, length: 16 },
      { offset: 10, length: 2_500_001 },
      { offset: 2_400_000, length: 40 },
    ];
    expect([...hash.xxh64Batch(batch(keys), 9n)]).toEqual(expectedOf(keys, 9n));
  });

  it('may be larger than what is hashed at a time', () => {
    const keys = Array.from({ length: 40_000 }, (_, i) => ({ offset: i, length: i % 40 }));
    const hashes = hash.xxh64Batch(batch(keys));
    expect(hashes).toHaveLength(keys.length);
    for (const i of [0, 1, 16_383, 16_384, 16_385, 32_767, 32_768, 39_999]) {
      expect(hashes[i], `key ${i}`).toBe(expectedOf([keys[i]!])[0]);
    }
  });

  it('may be empty', () => {
    expect(hash.xxh64Batch(batch([]))).toHaveLength(0);
    expect(hash.xxh64Batch16(new Uint8Array(0))).toHaveLength(0);
  });

  it('go to the array that is given and leave its rest alone', () => {
    const out = new BigUint64Array(5).fill(77n);
    const keys = [nearby(), nearby()];
    expect(hash.xxh64Batch(batch(keys), 0n, out)).toBe(out);
    expect([...out]).toEqual([...expectedOf(keys), 77n, 77n, 77n]);
    expect(hash.xxh64Batch16(NOISE.subarray(0, 48), 0n, out)).toBe(out);
    expect(out.subarray(3)).toEqual(new BigUint64Array([77n, 77n]));
  });

  it('are refused where a key reaches out of the bytes, also by way of a u32 that wraps around', () => {
    const bytes = NOISE.subarray(0, 100);
    expect(() => hash.xxh64Batch(batch([{ offset: 90, length: 11 }], bytes))).toThrow(RangeError);
    expect(() => hash.xxh64Batch(batch([{ offset: 101, length: 0 }], bytes))).toThrow(RangeError);
    expect(() => hash.xxh64Batch(batch([{ offset: 0xffff_fff0, length: 0x20 }], bytes))).toThrow(RangeError);
    expect(() => hash.xxh64Batch(batch([{ offset: 0x10, length: 0xffff_fff0 }], bytes))).toThrow(RangeError);
    expect(() => hash.xxh64Batch({ ...batch([nearby()]), lengths: new Uint32Array(2) })).toThrow(RangeError);
    expect(() => hash.xxh64Batch(batch([nearby(), nearby()]), 0n, new BigUint64Array(1))).toThrow(RangeError);
  });

  it('of trace ids hold what an independent library says of each', () => {
    for (const count of [1, 2, 3, 1_000, 16_384, 16_385]) {
      const keys = NOISE.subarray(5, 5 + 16 * count);
      const hashes = hash.xxh64Batch16(keys, 3n);
      for (let i = 0; i < count; i += Math.ceil(count / 100)) {
        expect(hashes[i], `${i} of ${count}`).toBe(library.h64Raw(keys.subarray(16 * i, 16 * i + 16), 3n));
      }
      expect(hashes[count - 1]).toBe(library.h64Raw(keys.subarray(-16), 3n));
    }
    expect(() => hash.xxh64Batch16(new Uint8Array(17))).toThrow(RangeError);
    expect(() => hash.xxh64Batch16(new Uint8Array(32), 0n, new BigUint64Array(1))).toThrow(RangeError);
  });

  it('of random keys are those of an independent library', () => {
    const key = fc.record({ offset: fc.nat({ max: 100_000 }), length: fc.nat({ max: 300 }) });
    fc.assert(
      fc.property(fc.array(key, { maxLength: 60 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (keys, seed) => {
        expect([...hash.xxh64Batch(batch(keys), seed)]).toEqual(expectedOf(keys, seed));
      }),
      { seed: 65, numRuns: 200 },
    );
  });
});

describe.each(KERNEL_TWINS)('owners of trace ids by the $name kernel', ({ hash, ring }) => {
  const shards = Array.from({ length: 16 }, (_, shard) => ({ shard, weight: 1 }));

  it.each([16, 18] as const)('are those of the slot that the top %i bits of XXH64 name', (slotBits) => {
    const slots = ring.assign(shards, 160, slotBits);
    hash.setSlots(slots);
    const keys = NOISE.subarray(0, 16 * 20_000);
    const owners = hash.owners16(keys);
    for (const count of [1, 2, 3, 5])
      expect(hash.owners16(keys.subarray(0, 16 * count))).toEqual(owners.slice(0, count));
    for (let i = 0; i < 20_000; i += 37) {
      const slot = Number(library.h64Raw(keys.subarray(16 * i, 16 * i + 16)) >> BigInt(64 - slotBits));
      expect(owners[i], `key ${i}`).toBe(slots[slot]);
    }
  });

  it('come from a copy of the slots, until others are set', () => {
    const slots = new Uint16Array(65_536).fill(7);
    hash.setSlots(slots);
    slots.fill(8);
    expect([...hash.owners16(NOISE.subarray(0, 48))]).toEqual([7, 7, 7]);
    hash.setSlots(slots);
    expect([...hash.owners16(NOISE.subarray(0, 48))]).toEqual([8, 8, 8]);
  });

  it('are refused of other tables, other keys, and into too short an array', () => {
    expect(() => hash.setSlots(new Uint16Array(65_535))).toThrow(RangeError);
    hash.setSlots(new Uint16Array(65_536));
    expect(() => hash.owners16(new Uint8Array(15))).toThrow(RangeError);
    expect(() => hash.owners16(new Uint8Array(32), new Uint16Array(1))).toThrow(RangeError);
  });
});

describe.each(KERNEL_TWINS)('FNV-1a and murmur2 of the $name kernel', ({ hash }) => {
  it.each(PUBLISHED_FNV)('FNV-1a of %j is as published', (text, expected) => {
    expect(hash.fnv1a64(Buffer.from(text))).toBe(expected);
  });

  it.each(KAFKAS_MURMUR2)("murmur2 of %j is Kafka's", (text, expected) => {
    expect(hash.murmur2(Buffer.from(text))).toBe(expected);
  });

  it("murmur2 is kafkajs's for every length from 0 to 100, at any alignment", () => {
    for (let length = 0; length <= 100; length++) {
      const key = NOISE.subarray(length % 13, (length % 13) + length);
      expect(hash.murmur2(key), `${length} bytes`).toBe(kafkajsMurmur2(Buffer.from(key)));
    }
  });

  it("the partition of a key is the Java client's: the sign is masked off", () => {
    expect(hash.kafkaPartition(Buffer.from('foobar'), 1_000)).toBe((-790_332_482 & 0x7fff_ffff) % 1_000);
    expect(hash.kafkaPartition(Buffer.from('foobar'), 1_000)).not.toBe(790_332_482 % 1_000);
    expect(hash.kafkaPartition(Buffer.from('abc'), 12)).toBe(479_470_107 % 12);
    for (const none of [0, -1, 1.5, Number.NaN]) {
      expect(() => hash.kafkaPartition(Buffer.from('abc'), none)).toThrow(RangeError);
    }
  });
});

describe('the hash twins', () => {
  it('agree on FNV-1a and murmur2 of 17 MB, more than is hashed at a time', () => {
    const bytes = new Uint8Array(17_000_003);
    for (let at = 0; at < bytes.length; at += NOISE.length) bytes.set(NOISE.subarray(0, bytes.length - at), at);
    const [reference, wasm] = KERNEL_TWINS.map(({ hash }) => hash);
    expect(wasm!.murmur2(bytes)).toBe(reference!.murmur2(bytes));
    // BigInt is slow: the part that crosses the boundary.
    const part = bytes.subarray(0, 16_800_000);
    expect(wasm!.fnv1a64(part)).toBe(fnvInLimbs(part));
    expect(wasm!.xxh64(bytes, 5n)).toBe(library.h64Raw(bytes, 5n));
  });

  it('want slots before owners', async () => {
    for (const hash of [createReferenceHash(), createWasmHash(await KernelHost.load())]) {
      expect(() => hash.owners16(new Uint8Array(16))).toThrow('before setSlots');
    }
  });
});

describe('the WASM hash kernel', () => {
  it('hashes keys that lie in its memory where they are, also after that has grown', async () => {
    const host = await KernelHost.load();
    const hash = createWasmHash(host);
    hash.setSlots(new Uint16Array(65_536).map((_, slot) => slot));
    for (const grown of [false, true]) {
      if (grown) host.layOut(40 * 2 ** 20, 80 * 2 ** 20);
      const own = host.u8.subarray(host.input.at, host.input.at + NOISE.length);
      own.set(NOISE);
      const keys = {
        bytes: own,
        offsets: Uint32Array.of(0, 2_900_000, 7),
        lengths: Uint32Array.of(20, 99_000, 2_000_000),
      };
      expect(hash.xxh64Batch(keys, 1n)).toEqual(hash.xxh64Batch({ ...keys, bytes: NOISE }, 1n));
      const ids = own.subarray(3, 3 + 16 * 17_000);
      expect(hash.xxh64Batch16(ids)).toEqual(hash.xxh64Batch16(NOISE.subarray(3, 3 + 16 * 17_000)));
      expect(hash.owners16(ids)[16_999]).toBe(Number(library.h64Raw(ids.subarray(-16)) >> 48n));
    }
  });
});

/** FNV-1a in four 16-bit limbs: quicker than BigInt, and independent of both twins. */
function fnvInLimbs(bytes: Uint8Array): bigint {
  let [a, b, c, d] = [0x2325, 0x8422, 0x9ce4, 0xcbf2];
  for (const byte of bytes) {
    a ^= byte;
    // The prime is 2^40 + 0x1b3.
    const [a0, b0] = [a, b];
    const p = a * 0x1b3;
    const q = b * 0x1b3 + (p >>> 16);
    const r = c * 0x1b3 + a0 * 0x100 + (q >>> 16);
    const s = d * 0x1b3 + b0 * 0x100 + Math.floor(r / 65_536);
    a = p & 0xffff;
    b = q & 0xffff;
    c = r & 0xffff;
    d = s & 0xffff;
  }
  return (BigInt(d) << 48n) | (BigInt(c) << 32n) | (BigInt(b) << 16n) | BigInt(a);
}
