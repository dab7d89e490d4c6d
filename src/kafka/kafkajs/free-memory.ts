/**
 * Gives the memory of a buffer back now; it must have its ArrayBuffer to itself, and is empty from then on. V8 lets some 64 MB of
 * buffers that nobody holds any more lie about before it collects them, however few they are.
 */
export function freeMemory(buffer: Buffer<ArrayBuffer>): void {
  buffer.buffer.transfer(0);
}
