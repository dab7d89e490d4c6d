/**
 * Memory for fetch answers, used again when the last poll of an answer is released. Buffers of megabytes that are new for
 * each answer cost more than what is done with them: their pages are made and zeroed at the first touch, and every few of
 * them the garbage collector runs.
 */

/** Buffers are so much or a multiple, so that one answer's fits the next. */
const STEP_BYTES = 1024 * 1024;

export class FramePool {
  /** In all, held or kept for later; whoever takes more than that gets it, but it is not kept. */
  readonly maxBytes: number;
  readonly #idle: Buffer<ArrayBuffer>[] = [];
  #idleBytes = 0;
  #heldBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Of frames that are not released. */
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
        // Gives the memory back now: the garbage collector does not hurry for a few buffers, however large they are.
        buffer.buffer.transfer(0);
        return;
      }
      this.#idle.push(buffer);
      this.#idleBytes += length;
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

  /** Of a connection that broke: nobody knows what still writes to it, so it is not used again. */
  discard(): void {
    this.#onEnd(false);
  }
}
