/**
 * The bytes of one body as they arrive, copied into one piece, also where they come in one. Kept as chunks, a body that comes in
 * thousands of small frames would take many times its length in objects, and would have to be copied at its end anyway; and a chunk
 * that waits for Kafka outlives the young generation, after which its buffer, which is what the socket was read into, is
 * freed by full collections only: 45 MB of such buffers of HTTP requests waited for those, and copying costs no CPU time that shows.
 * What a body takes is held in the bridge's byte budget from before it is allocated until `release`.
 */
import { BufferPool } from './buffer-pool.ts';
import type { ByteBudget } from './byte-budget.ts';

/** `too-large`: over the limit of one body. `no-room`: over what all of them may hold together. */
export type Appended = 'ok' | 'too-large' | 'no-room';

/** What is allocated on a promise alone: a sender that declares 64 MiB and sends nothing must not hold them. */
const TRUSTED_BYTES = 256 * 1024;
const EMPTY = new Uint8Array(0);
const pool = new BufferPool();

export class BodyBuffer {
  readonly limitBytes: number;
  readonly #budget: ByteBudget;
  #bytes: Uint8Array = EMPTY;
  #pooled = false;
  #length = 0;
  #heldBytes = 0;
  #declaredBytes = 0;

  constructor(budget: ByteBudget, limitBytes: number) {
    this.#budget = budget;
    this.limitBytes = limitBytes;
  }

  get length(): number {
    return this.#length;
  }

  /** How long the body says it will be. */
  declare(bytes: number): Appended {
    this.#declaredBytes = bytes;
    return bytes > this.limitBytes ? 'too-large' : 'ok';
  }

  append(chunk: Uint8Array): Appended {
    const length = this.#length + chunk.length;
    if (length > this.limitBytes) return 'too-large';
    if (length > this.#bytes.length && !this.#grow(length)) return 'no-room';
    this.#bytes.set(chunk, this.#length);
    this.#length = length;
    return 'ok';
  }

  /** What came so far. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Gives back what it holds in the budget. The bytes stay what they are for whoever has the view. */
  release(): void {
    if (this.#heldBytes > 0) this.#budget.release(this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** As `release`, and the memory may be another body's from now on: only when nobody has the view any more. */
  recycle(): void {
    this.release();
    if (this.#pooled) pool.give(this.#bytes);
    this.#pooled = false;
    this.#bytes = EMPTY;
    this.#length = 0;
  }

  #grow(length: number): boolean {
    const bytes =
      this.#length === 0
        ? Math.max(length, Math.min(this.#declaredBytes, TRUSTED_BYTES))
        : Math.max(length, Math.min(this.#length * 2, this.#declaredBytes || this.limitBytes));
    if (!this.#hold(pool.capacityFor(bytes))) return false;
    const grown = pool.take(bytes);
    grown.set(this.view());
    if (this.#pooled) pool.give(this.#bytes);
    this.#bytes = grown;
    this.#pooled = true;
    return true;
  }

  #hold(bytes: number): boolean {
    const more = bytes - this.#heldBytes;
    const { heldBytes, limitBytes } = this.#budget;
    // The only one that holds anything may go on, else a body above the budget would be told to come again for ever.
    if (heldBytes > this.#heldBytes && heldBytes + more > limitBytes) return false;
    this.#budget.hold(more);
    this.#heldBytes = bytes;
    return true;
  }
}
