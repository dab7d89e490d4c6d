import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createWasmCrc32c } from '../../src/kernels/crc32c/wasm.ts';
import { KernelHost } from '../../src/kernels/host.ts';
import { loadCrc32c } from '../../src/kernels/index.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';

/** The independent implementation. */
const library = createRequire(import.meta.url)('kafkajs/src/protocol/recordBatch/crc32C') as (
  bytes: Uint8Array,
) => number;

/** RFC 3720, appendix B.4; the check value of the CRC catalogues; and RFC 3720's SCSI read command. */
const PUBLISHED: ReadonlyArray<readonly [string, Uint8Array, number]> = [
  ['no bytes', new Uint8Array(0), 0],
  ['"123456789"', Buffer.from('123456789'), 0xe3069283],
  ['32 bytes of zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['32 bytes, ascending', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['32 bytes, descending', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  [
    'an iSCSI read command',
    Buffer.from(
      '01c00000000000000000000000000000140000000000040000000014000000182800000000000000' + '0200000000000000',
      'hex',
    ),
    0xd9963a56,
  ],
];

/** From where on the WASM kernel divides in units of 1, 2, 4, 8 and 16 bytes: 2 x 209 units. */
const THRESHOLDS = [418, 836, 1_672, 3_344, 6_688];
/** Quotient bytes that it computes in a row, and bytes that it copies in at a time. */
const PIECE = 16_384;
const COPY = 131_072;

const random = createSeededRandom(32);
const NOISE = Uint8Array.from({ length: 400_000 }, () => random.integer(0, 255));

describe.each(KERNEL_TWINS)('CRC-32C of the $name kernel', ({ crc32c }) => {
  it.each(PUBLISHED)('is as published for %s', (_, bytes, expected) => {
    expect(crc32c.update(0, bytes)).toBe(expected);
  });

  it("is kafkajs's for every length from 0 to 300 at every alignment to 16", () => {
    for (let length = 0; length <= 300; length++) {
      const expected = library(NOISE.subarray(0, length));
      for (let alignment = 0; alignment < 16; alignment++) {
        const view = new Uint8Array(length + alignment).subarray(alignment);
        view.set(NOISE.subarray(0, length));
        expect(crc32c.update(0, view), `${length} bytes, ${alignment} off`).toBe(expected);
      }
    }
  });

  it("is kafkajs's around every length at which the way of computing changes", () => {
    const steps = [PIECE + 3_344, 2 * PIECE + 3_344, COPY, 2 * COPY];
    for (const around of [...THRESHOLDS, ...steps]) {
      for (let length = around - 66; length <= around + 66; length++) {
        const view = NOISE.subarray(length % 64, (length % 64) + length);
        expect(crc32c.update(0, view), `${length} bytes`).toBe(library(view));
      }
    }
  });

  it("is kafkajs's for random bytes of any length", () => {
    fc.assert(
      fc.property(fc.nat({ max: 60_000 }), fc.nat({ max: 300_000 }), (length, from) => {
        const view = NOISE.subarray(from, from + length);
        expect(crc32c.update(0, view)).toBe(library(view));
      }),
      { seed: 32, numRuns: 200 },
    );
  });

  it.each([300, 900, 2_500])('goes on from every split point of %i bytes', (length) => {
    const whole = NOISE.subarray(7, 7 + length);
    const expected = library(whole);
    for (let split = 0; split <= length; split++) {
      const first = crc32c.update(0, whole.subarray(0, split));
      expect(crc32c.update(first, whole.subarray(split)), `split at ${split}`).toBe(expected);
    }
  });

  it('goes on from split points all over a long input', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: NOISE.length }), { maxLength: 6 }), (cuts) => {
        const bounds = [0, ...cuts.sort((a, b) => a - b), NOISE.length];
        const parts = bounds.slice(1).map((to, i) => NOISE.subarray(bounds[i], to));
        expect(parts.reduce((crc, part) => crc32c.update(crc, part), 0)).toBe(library(NOISE));
      }),
      { seed: 33, numRuns: 30 },
    );
  });

  it('sees a flipped bit in any of 8,000 bytes', () => {
    const bytes = NOISE.slice(0, 8_000);
    const before = crc32c.update(0, bytes);
    for (let at = 0; at < bytes.length; at++) {
      bytes[at]! ^= 1 << (at % 8);
      expect(crc32c.update(0, bytes), `bit ${at % 8} of byte ${at}`).not.toBe(before);
      bytes[at]! ^= 1 << (at % 8);
    }
  });
});

describe('CRC-32C in WASM', () => {
  it('reads views of any kernel memory where they are, and leaves them and the guards as they are', async () => {
    const [own, other] = [await KernelHost.load(), await KernelHost.load()];
    const crc32c = createWasmCrc32c(own);
    for (const host of [own, other]) {
      const { BATCH, BATCH_BYTES, CRC_TABLES, GUARD } = host.exports;
      const guards = [BATCH.value - GUARD.value, BATCH.value + BATCH_BYTES.value, CRC_TABLES.value - GUARD.value];
      for (const guard of guards) host.u8.fill(0xa5, guard, guard + GUARD.value);
      for (const length of [0, 100, 5_000, 400_000]) {
        // The last bytes of the memory that anything may lie in.
        const at = host.output.at + host.output.bytes - length;
        const view = host.u8.subarray(at, at + length);
        view.set(NOISE.subarray(0, length));
        expect(crc32c.update(0, view)).toBe(library(NOISE.subarray(0, length)));
        expect(Buffer.compare(view, NOISE.subarray(0, length))).toBe(0);
      }
      for (const guard of guards) {
        expect([...host.u8.subarray(guard, guard + GUARD.value)].every((byte) => byte === 0xa5)).toBe(true);
      }
    }
  });

  it('goes on working after its memory has grown', async () => {
    const host = await KernelHost.load();
    const crc32c = createWasmCrc32c(host);
    expect(crc32c.update(0, Buffer.from('123456789'))).toBe(0xe3069283);
    host.layOut(32 * 2 ** 20, 64 * 2 ** 20);
    expect(crc32c.update(0, NOISE)).toBe(library(NOISE));
    const view = host.u8.subarray(host.input.at, host.input.at + NOISE.length);
    view.set(NOISE);
    expect(crc32c.update(0, view)).toBe(library(NOISE));
  });

  it('divides by a multiple of the polynomial', () => {
    // x^0, x^1, ... modulo P, then the sum over the exponents of F.
    const powers = [1];
    for (let i = 1; i <= 209; i++) {
      const power = powers[i - 1]!;
      powers.push(((power << 1) ^ (power & 0x80000000 ? 0x1edc6f41 : 0)) >>> 0);
    }
    expect([0, 14, 39, 54, 144, 209].reduce((sum, exponent) => sum ^ powers[exponent]!, 0)).toBe(0);
  });
});

describe('loadCrc32c', () => {
  it('loads the WASM kernel, or the plain one where WEIR_KERNEL asks for it', async () => {
    const before = process.env.WEIR_KERNEL;
    try {
      delete process.env.WEIR_KERNEL;
      expect((await loadCrc32c()).name).toBe('wasm');
      process.env.WEIR_KERNEL = 'reference';
      expect((await loadCrc32c()).name).toBe('reference');
      process.env.WEIR_KERNEL = 'turbo';
      await expect(loadCrc32c()).rejects.toThrow("WEIR_KERNEL is 'turbo'");
    } finally {
      if (before === undefined) delete process.env.WEIR_KERNEL;
      else process.env.WEIR_KERNEL = before;
    }
  });
});
