/** CRC-32C (Castagnoli; RFC 3720, section 12.1 and appendix B.4): the checksum of Kafka's record batches. */
export interface Crc32cKernel {
  readonly name: 'wasm' | 'reference';
  /** Checksum, unsigned 32 bits, of the bytes that `crc` is the checksum of (0: none) followed by `bytes`. */
  update(crc: number, bytes: Uint8Array): number;
}
