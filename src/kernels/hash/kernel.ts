/** XXH64 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), the hash of every routing key. */
export interface HashKernel {
  readonly name: 'wasm' | 'reference';
  xxh64(bytes: Uint8Array, seed?: bigint): bigint;
}
