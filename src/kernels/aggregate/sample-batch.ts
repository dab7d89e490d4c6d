import { MAX_LATENCY_NS } from './histogram.ts';
import { MAX_AGGREGATED_SHARDS, MAX_BATCH } from './kernel.ts';

/** Columns of a batch: shards, and pairs of latency + 1 and bytes + error * ERROR_UNIT. See assembly/samples.ts. */
export interface SampleColumns {
  readonly shards: Uint16Array;
  readonly rows: Float64Array;
}

export interface Sample {
  readonly shard: number;
  readonly bytes: number;
  readonly latencyNs: number;
  readonly error: boolean;
}

/** Above every sum of bytes that a row of doubles has to hold. */
export const ERROR_UNIT = 2 ** 36;

/**
 * Samples on their way to an aggregate: `push` until it is full, `add` it, `clear` it. In WASM its columns lie in the kernel's memory, so
 * that nothing is copied; growing that memory detaches every view, and a write to a detached one is lost without a word: so the columns
 * are asked for anew as soon as they look short.
 */
export class SampleBatch {
  readonly capacity: number;
  #columns: () => SampleColumns;
  readonly #release: () => void;
  #shards: Uint16Array;
  #rows: Float64Array;
  #length = 0;
  #largestShard = -1;
  #byteSum = 0;
  #latencySum = 0;

  constructor(capacity: number, columns: () => SampleColumns, release: () => void = () => {}) {
    this.capacity = capacity;
    this.#columns = columns;
    this.#release = release;
    ({ shards: this.#shards, rows: this.#rows } = columns());
  }

  get length(): number {
    return this.#length;
  }

  get full(): boolean {
    return this.#length === this.capacity;
  }

  /** -1 when there are no samples. */
  get largestShard(): number {
    return this.#largestShard;
  }

  /** Sum of the bytes. */
  get byteSum(): number {
    return this.#byteSum;
  }

  /** Sum of latency + 1, rounded where it is above 2^53. */
  get latencySum(): number {
    return this.#latencySum;
  }

  /** `bytes` below 2^32; `latencyNs` an integer up to MAX_LATENCY_NS. Throws a RangeError for others, and when the batch is full. */
  push(shard: number, bytes: number, latencyNs: number, error: boolean): void {
    const at = this.#length;
    if (at >= this.#shards.length) this.#makeRoom();
    if (!(shard >>> 0 === shard && shard < MAX_AGGREGATED_SHARDS)) {
      throw new RangeError(`shard ${shard} is not between 0 and ${MAX_AGGREGATED_SHARDS - 1}`);
    }
    if (bytes >>> 0 !== bytes) throw new RangeError(`a sample cannot have ${bytes} bytes`);
    if (!(latencyNs >= 0 && latencyNs <= MAX_LATENCY_NS && Math.floor(latencyNs) === latencyNs)) {
      throw new RangeError(`a latency is a whole number of ns from 0 to ${MAX_LATENCY_NS}, not ${latencyNs}`);
    }
    this.#shards[at] = shard;
    this.#rows[2 * at] = latencyNs + 1;
    this.#rows[2 * at + 1] = error ? bytes + ERROR_UNIT : bytes;
    if (shard > this.#largestShard) this.#largestShard = shard;
    this.#byteSum += bytes;
    this.#latencySum += latencyNs + 1;
    this.#length = at + 1;
  }

  clear(): void {
    this.#length = 0;
    this.#largestShard = -1;
    this.#byteSum = 0;
    this.#latencySum = 0;
  }

  *samples(): Generator<Sample> {
    const { shards, rows } = this.#columns();
    for (let i = 0; i < this.#length; i++) {
      const tally = rows[2 * i + 1]!;
      const error = tally >= ERROR_UNIT;
      yield {
        shard: shards[i]!,
        bytes: error ? tally - ERROR_UNIT : tally,
        latencyNs: rows[2 * i]! - 1,
        error,
      };
    }
  }

  /** Gives the memory back; the batch is full from then on. */
  release(): void {
    this.clear();
    this.#columns = () => ({ shards: new Uint16Array(), rows: new Float64Array() });
    ({ shards: this.#shards, rows: this.#rows } = this.#columns());
    this.#release();
  }

  #makeRoom(): void {
    ({ shards: this.#shards, rows: this.#rows } = this.#columns());
    if (this.#length >= this.#shards.length) throw new RangeError(`the batch is full: ${this.#length} samples`);
  }
}

export function checkCapacity(capacity: number): void {
  if (!(Number.isInteger(capacity) && capacity >= 1 && capacity <= MAX_BATCH)) {
    throw new RangeError(`a batch has room for 1 to ${MAX_BATCH} samples, not for ${capacity}`);
  }
}
