/**
 * Compressed records on their way to the broker. They are copied into blocks that are used again once it has answered: new memory for each
 * would lie about until the garbage collector comes, and could not be freed before that while the socket may still read it.
 */
import { freeMemory } from './free-memory.ts';

const BLOCK_BYTES = 256 * 1024;
/** Of the blocks of all requests; further ones are left to the garbage collector. */
const KEPT_BLOCKS = 32;
const idle: Buffer[] = [];

export class PackedPieces {
  #blocks: Buffer[] = [];
  /** Where the last block goes on. */
  #at = BLOCK_BYTES;

  /** Where `bytes` stay until `release`; frees what they came in. */
  take(bytes: Buffer<ArrayBuffer>): Buffer {
    // It may hang on to more than its bytes, but a piece that large is rare.
    if (bytes.length > BLOCK_BYTES) return bytes;
    if (this.#at + bytes.length > BLOCK_BYTES) {
      this.#blocks.push(idle.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES));
      this.#at = 0;
    }
    const piece = this.#blocks.at(-1)!.subarray(this.#at, this.#at + bytes.length);
    this.#at += bytes.copy(piece);
    freeMemory(bytes);
    return piece;
  }

  /** Once nothing reads the pieces. Where that is not known they are never released. */
  release(): void {
    idle.push(...this.#blocks.slice(0, KEPT_BLOCKS - idle.length));
    this.#blocks = [];
    this.#at = BLOCK_BYTES;
  }
}
