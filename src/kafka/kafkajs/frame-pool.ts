/**
 * Memory for fetch answers, reused once the last poll of an answer is released. A new buffer of megabytes for each answer would
 * cost more than the work on it: the kernel zeroes its pages at the first touch, and every few buffers the garbage collector runs.
 */

import { freeMemory } from './free-memory.ts';

/** Sizes of buffers are multiples of this, so that one answer's buffer fits the next. */
const STEP_BYTES = 1024 * 1024;

export class FramePool {
  /** Limit for what is kept for reuse, together with what is held. `take` itself is not limited. */
  readonly maxBytes: number;
  readonly #idle: Buffer<ArrayBuffer>[] = [];
  #idleBytes = 0;
  #heldBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Bytes of the frames that are not released. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  take(bytes: number): Frame {
    const buffer = this.#takeIdle(bytes) ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES);
    this.#heldBytes += buffer.length;
    return new Frame(buffer.subarray(0, bytes), (again) => {
      const { length } = buffer;
      this.#heldBytes -= length;
      if (!again) return;
      if (this.#heldBytes + this.#idleBytes + length > this.maxBytes) {
        freeMemory(buffer);
        return;
      }
      this.#idle.push(buffer);
      this.#idleBytes += length;
    });
  }

  /** Counts memory from elsewhere, which is given up to it, as held; it is freed at its release. Less is kept for later then. */
  adopt(buffer: Buffer<ArrayBuffer>): Frame {
    const { byteLength } = buffer.buffer;
    this.#heldBytes += byteLength;
    while (this.#idle.length > 0 && this.#heldBytes + this.#idleBytes > this.maxBytes) {
      const oldest = this.#idle.shift()!;
      this.#idleBytes -= oldest.length;
      freeMemory(oldest);
    }
    return new Frame(buffer, () => {
      this.#heldBytes -= byteLength;
      freeMemory(buffer);
    });
  }

  /** The smallest that is large enough; of several the one released last, whose pages are in the caches. */
  #takeIdle(bytes: number): Buffer<ArrayBuffer> | undefined {
    let best = -1;
    for (const [index, { length }] of this.#idle.entries()) {
      if (length >= bytes && (best < 0 || length <= this.#idle[best]!.length)) best = index;
    }
    if (best < 0) return undefined;
    const [buffer] = this.#idle.splice(best, 1);
    this.#idleBytes -= buffer!.length;
    return buffer;
  }
}

/** One answer's bytes, held by whoever still has views of them. */
export class Frame {
  readonly bytes: Buffer;
  readonly #onEnd: (again: boolean) => void;
  #holders = 1;

  constructor(bytes: Buffer, onEnd: (again: boolean) => void) {
    this.bytes = bytes;
    this.#onEnd = onEnd;
  }

  hold(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders === 0) this.#onEnd(true);
  }

  /** Instead of `release` when the connection broke: something may still write to the buffer, so it is not reused. */
  discard(): void {
    this.#onEnd(false);
  }
}
