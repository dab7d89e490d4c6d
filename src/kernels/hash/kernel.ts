import type { KeyBatch } from './key-batch.ts';

/**
 * The hashes of keys. XXH64 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) is that of every routing key of
 * Weir; FNV-1a and murmur2 are there because other programs route by them.
 *
 * Results go to `out` where one is given, else to a new array. RangeError: `out` is shorter than the batch, a key reaches out of
 * its bytes, or keys of 16 bytes do not come out even.
 */
export interface HashKernel {
  readonly name: 'wasm' | 'reference';
  xxh64(bytes: Uint8Array, seed?: bigint): bigint;
  xxh64Batch(keys: KeyBatch, seed?: bigint, out?: BigUint64Array): BigUint64Array;
  /** Of trace ids: keys of 16 bytes, one after the other. */
  xxh64Batch16(keys: Uint8Array, seed?: bigint, out?: BigUint64Array): BigUint64Array;
  /** Takes a copy of the owners of 2^16 or 2^18 slots (RingKernel's `assign`), for owners16. */
  setSlots(slots: Uint16Array): void;
  /** Owner of each trace id: XXH64, seed 0, whose top bits are the slot. Error: no slots have been set. */
  owners16(keys: Uint8Array, out?: Uint16Array): Uint16Array;
  /** 64 bits. */
  fnv1a64(bytes: Uint8Array): bigint;
  /** Of Kafka's Java client, seed 0x9747b28c: signed 32 bits. */
  murmur2(bytes: Uint8Array): number;
  /** Where Kafka's Java client puts a record of that key, if the topic has so many partitions. */
  kafkaPartition(key: Uint8Array, partitions: number): number;
}

/** The hash of no bytes. */
export const FNV_OFFSET_BASIS = 0xcbf29ce484222325n;
/** XORed with the number of bytes, the hash before the first. */
export const MURMUR_SEED = 0x9747b28c;

/** The Java client takes the sign off by a mask, not by an absolute value. */
export const partitionOf = (murmur2: number, partitions: number): number => {
  if (!(Number.isInteger(partitions) && partitions > 0))
    throw new RangeError(`a topic has no ${partitions} partitions`);
  return (murmur2 & 0x7fff_ffff) % partitions;
};

/** A key's hash as text: 16 hex digits, as JSON numbers hold 53 bits. */
export const hashText = (hash: bigint): string => hash.toString(16).padStart(16, '0');

export const hashOfText = (text: string): bigint => BigInt(`0x${text}`);
