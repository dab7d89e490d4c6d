/** CRC-32C by table: the entry of a byte is what shifting its eight bits out does to the checksum. */
import type { Crc32cKernel } from './kernel.ts';

/** x^32 + x^28 + x^27 + x^26 + x^25 + x^23 + x^22 + x^20 + x^19 + x^18 + x^14 + x^13 + x^11 + x^10 + x^9 + x^8 + x^6 + 1, highest power last. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

export function createReferenceCrc32c(): Crc32cKernel {
  return {
    name: 'reference',
    update(crc, bytes) {
      let state = ~crc;
      for (const byte of bytes) state = (state >>> 8) ^ TABLE[(state ^ byte) & 0xff]!;
      return ~state >>> 0;
    },
  };
}
