import type { KernelHost } from '../host.ts';
import { FNV_OFFSET_BASIS, type HashKernel, MURMUR_SEED, partitionOf } from './kernel.ts';
import { checkKeys, checkRoom, countKeys16, type KeyBatch, NoSlots, slotBitsOf } from './key-batch.ts';

/** Keys a crossing: with their results they stay in the second-level cache. */
const KEYS_A_CROSSING = 16_384;
/** Room of the batch region for the bytes of keys; the rest is for their offsets, lengths and results. */
const KEY_BYTES = 1 << 20;
/** A key further away from the others is not copied along with what lies between. */
const LARGEST_GAP = 4_096;
/** Below, a loop beats TypedArray.set. */
const SHORT_KEY_BYTES = 32;

/**
 * One key a call costs more in crossing over than in hashing (the split kernel hashes where it scans): hence the batches, which
 * go through the batch region by chunks.
 */
export function createWasmHash(host: KernelHost): HashKernel {
  const { exports } = host;
  // Out of the exports object once: looking a function up there costs as much as calling it.
  const { hashBegin, hashStripes, hashEnd, hashSeeded, hashKeys, hashKeys16, ownersOf16 } = exports;
  const { fnv1a64, murmurWords, murmurEnd } = exports;
  const scratch = exports.SAMPLES.value;
  const scratchBytes = exports.SAMPLES_BYTES.value;
  const keysAt = exports.BATCH.value;
  const offsetsAt = keysAt + KEY_BYTES;
  const lengthsAt = offsetsAt + 4 * KEYS_A_CROSSING;
  const resultsAt = lengthsAt + 4 * KEYS_A_CROSSING;
  if (resultsAt + 8 * KEYS_A_CROSSING > keysAt + exports.BATCH_BYTES.value)
    throw new Error('the batch region (BATCH_BYTES in assembly/arena.ts) is too small for the hash kernel');
  let slotBits: 16 | 18 | undefined;
  let hashes = new BigUint64Array(host.u8.buffer, resultsAt, KEYS_A_CROSSING);
  let owners = new Uint16Array(host.u8.buffer, resultsAt, KEYS_A_CROSSING);

  /** Growing the memory detaches the views. */
  function renewViews(): void {
    if (hashes.buffer === host.u8.buffer) return;
    hashes = new BigUint64Array(host.u8.buffer, resultsAt, KEYS_A_CROSSING);
    owners = new Uint16Array(host.u8.buffer, resultsAt, KEYS_A_CROSSING);
  }

  function copyIn(bytes: Uint8Array): void {
    const { u8 } = host;
    if (bytes.length <= SHORT_KEY_BYTES) for (let i = 0; i < bytes.length; i++) u8[scratch + i] = bytes[i]!;
    else u8.set(bytes, scratch);
  }

  /** Copies the bytes in piece by piece, calls `goOn` after each but the last, and gives the bytes of that. */
  function inPieces(bytes: Uint8Array, goOn: (at: number, bytes: number) => void): number {
    let from = 0;
    for (; bytes.length - from > scratchBytes; from += scratchBytes) {
      copyIn(bytes.subarray(from, from + scratchBytes));
      goOn(scratch, scratchBytes);
    }
    copyIn(from === 0 ? bytes : bytes.subarray(from));
    return bytes.length - from;
  }

  function xxh64(bytes: Uint8Array, seed = 0n): bigint {
    const { length } = bytes;
    if (length <= scratchBytes) {
      copyIn(bytes);
      return BigInt.asUintN(64, hashSeeded(scratch, length, seed));
    }
    hashBegin(seed);
    const last = inPieces(bytes, (at, count) => hashStripes(at, count));
    return BigInt.asUintN(64, hashEnd(scratch, last, BigInt(length)));
  }

  function fnv1a(bytes: Uint8Array): bigint {
    let hash = FNV_OFFSET_BASIS;
    const last = inPieces(bytes, (at, count) => {
      hash = fnv1a64(hash, at, count);
    });
    return BigInt.asUintN(64, fnv1a64(hash, scratch, last));
  }

  function murmur2(bytes: Uint8Array): number {
    let hash = MURMUR_SEED ^ bytes.length;
    const last = inPieces(bytes, (at, count) => {
      hash = murmurWords(hash, at, count);
    });
    return murmurEnd(hash, scratch, last);
  }

  function* keys16ByChunk(keys: Uint8Array): Generator<{ from: number; count: number; at: number }> {
    const total = countKeys16(keys);
    const own = host.owns(keys);
    for (let from = 0; from < total; from += KEYS_A_CROSSING) {
      const count = Math.min(KEYS_A_CROSSING, total - from);
      if (!own) host.u8.set(count === total ? keys : keys.subarray(16 * from, 16 * (from + count)), keysAt);
      yield { from, count, at: own ? keys.byteOffset + 16 * from : keysAt };
    }
  }

  return {
    name: 'wasm',
    xxh64,
    xxh64Batch(keys, seed = 0n, out = new BigUint64Array(keys.offsets.length)) {
      checkKeys(keys);
      checkRoom(out, keys.offsets.length);
      renewViews();
      const own = host.owns(keys.bytes);
      for (let from = 0; from < keys.offsets.length; ) {
        const { to, low, high } = own ? everything(keys, from) : nearOnes(keys, from);
        if (high - low > KEY_BYTES && !own) {
          const offset = keys.offsets[from]!;
          out[from] = xxh64(keys.bytes.subarray(offset, offset + keys.lengths[from]!), seed);
        } else {
          if (!own) host.u8.set(keys.bytes.subarray(low, high), keysAt);
          host.u32.set(keys.offsets.subarray(from, to), offsetsAt / 4);
          host.u32.set(keys.lengths.subarray(from, to), lengthsAt / 4);
          // May be below 0: addresses wrap around in WASM.
          const base = own ? keys.bytes.byteOffset : keysAt - low;
          hashKeys(base, offsetsAt, lengthsAt, to - from, seed, resultsAt);
          out.set(hashes.subarray(0, to - from), from);
        }
        from = to;
      }
      return out;
    },
    xxh64Batch16(keys, seed = 0n, out = new BigUint64Array(countKeys16(keys))) {
      checkRoom(out, countKeys16(keys));
      renewViews();
      for (const { from, count, at } of keys16ByChunk(keys)) {
        hashKeys16(at, count, seed, resultsAt);
        out.set(hashes.subarray(0, count), from);
      }
      return out;
    },
    setSlots(slots) {
      slotBits = slotBitsOf(slots);
      new Uint16Array(host.u8.buffer, exports.LOOKUP_SLOTS.value).set(slots);
    },
    owners16(keys, out = new Uint16Array(countKeys16(keys))) {
      if (!slotBits) throw new NoSlots();
      checkRoom(out, countKeys16(keys));
      renewViews();
      for (const { from, count, at } of keys16ByChunk(keys)) {
        ownersOf16(at, count, slotBits, resultsAt);
        out.set(owners.subarray(0, count), from);
      }
      return out;
    },
    fnv1a64: fnv1a,
    murmur2,
    kafkaPartition: (key, partitions) => partitionOf(murmur2(key), partitions),
  };
}

interface KeyChunk {
  /** Keys up to this one, exclusive. */
  readonly to: number;
  /** The stretch of the bytes that they lie in. */
  readonly low: number;
  readonly high: number;
}

/** Keys that need no copy. */
function everything({ offsets, bytes }: KeyBatch, from: number): KeyChunk {
  return { to: Math.min(offsets.length, from + KEYS_A_CROSSING), low: 0, high: bytes.length };
}

/** At least one key; more while they lie near each other and their stretch has room. */
function nearOnes({ offsets, lengths }: KeyBatch, from: number): KeyChunk {
  let low = offsets[from]!;
  let high = low + lengths[from]!;
  let to = from + 1;
  for (const most = Math.min(offsets.length, from + KEYS_A_CROSSING); to < most; to++) {
    const start = offsets[to]!;
    const end = start + lengths[to]!;
    if (start > high + LARGEST_GAP || end + LARGEST_GAP < low) break;
    const wider = Math.max(high, end) - Math.min(low, start);
    if (wider > KEY_BYTES) break;
    low = Math.min(low, start);
    high = Math.max(high, end);
  }
  return { to, low, high };
}
