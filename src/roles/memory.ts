/** Of Node's defaults, those that trade memory for a speed which roles that handle buffers do not get from it. */
import { setFlagsFromString } from 'node:v8';

/** A small buffer that outlives its poll, such as headers or a piece of a request, keeps all of the pool's block that it was cut from. */
const BUFFER_POOL_BYTES = 8 * 1024;

/**
 * Bounds what this process's heap and small buffers grow to, from now on.
 *
 * V8 doubles the young generation each time as many bytes have outlived a collection of it as it holds, up to 64 MB. What a poll
 * allocates lives until its transaction has ended, so under load it always gets there, and stays; with many shards it was the largest
 * part of a processor's memory. Stopped at what loading the modules has made it, 17 MB, the processor takes no more CPU time. A bridge's
 * memory is buffers that its young objects keep: the smaller that generation, the sooner they are freed. (The bound itself,
 * --max-semi-space-size, can only be set before V8 starts: by whoever starts node, that is, the user.)
 *
 * Node's pool of small buffers goes by blocks of 64 KiB; in a processor 300 of them were kept at a time, by a few bytes each.
 */
export function keepMemorySmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  Buffer.poolSize = BUFFER_POOL_BYTES;
}
