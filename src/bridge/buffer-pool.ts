/**
 * Memory for bodies, used again and again. A fresh buffer for each is what V8 answers with a full collection every few hundred
 * requests: 40 % of the bridge's CPU time went there, and most of it comes back with a pool.
 */

/** Smaller ones cost V8 little. */
const MIN_POOLED_BYTES = 4 * 1024;
/** Larger bodies are rare, and few of them would fill the pool. */
const MAX_POOLED_BYTES = 1024 * 1024;
/** What may wait here to be used. */
const MAX_IDLE_BYTES = 32 * 1024 * 1024;

export class BufferPool {
  readonly #idle = new Map<number, Uint8Array[]>();
  #idleBytes = 0;

  /** What `take` gives for so many bytes: a fourth more at most, so that one buffer fits many bodies. */
  capacityFor(bytes: number): number {
    if (bytes < MIN_POOLED_BYTES || bytes > MAX_POOLED_BYTES) return bytes;
    const step = 2 ** (29 - Math.clz32(bytes - 1));
    return Math.ceil(bytes / step) * step;
  }

  /** At least so many bytes, holding whatever they held before. */
  take(bytes: number): Uint8Array {
    const capacity = this.capacityFor(bytes);
    const idle = this.#idle.get(capacity)?.pop();
    if (!idle) return Buffer.allocUnsafeSlow(capacity);
    this.#idleBytes -= capacity;
    return idle;
  }

  /** A buffer that came from `take`, and that nobody has a view of any more. */
  give(buffer: Uint8Array): void {
    const bytes = buffer.length;
    if (bytes < MIN_POOLED_BYTES || bytes > MAX_POOLED_BYTES || this.#idleBytes + bytes > MAX_IDLE_BYTES) return;
    const idle = this.#idle.get(bytes);
    if (idle) idle.push(buffer);
    else this.#idle.set(bytes, [buffer]);
    this.#idleBytes += bytes;
  }
}
