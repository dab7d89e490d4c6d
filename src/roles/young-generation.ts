/**
 * V8 doubles the young generation each time as many bytes have outlived a collection of it as it holds, up to 64 MB. What a poll
 * allocates lives until its transaction has ended, so under load it always gets there, and stays; with many shards it was the largest
 * part of a processor's memory. Stopped at what loading the modules has made it, 17 MB, the processor takes no more CPU time. A bridge's
 * memory is buffers that its young objects keep: the smaller that generation, the sooner they are freed.
 *
 * The bound itself (--max-semi-space-size) can only be set before V8 starts: by whoever starts node, that is, the user.
 */
import { setFlagsFromString } from 'node:v8';

/** From now on the young generation of this process grows no more. */
export function keepYoungGeneration(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
