import type { KernelHost } from '../host.ts';
import type { HashKernel } from './kernel.ts';

/** One key a call costs more in crossing over than in hashing: for batches the split kernel hashes where it scans. */
export function createWasmHash(host: KernelHost): HashKernel {
  const { hashBegin, hashStripes, hashEnd } = host.exports;
  const scratch = host.exports.SAMPLES.value;
  const piece = host.exports.SAMPLES_BYTES.value;
  return {
    name: 'wasm',
    xxh64(bytes, seed = 0n) {
      hashBegin(BigInt.asUintN(64, seed));
      let at = 0;
      for (; bytes.length - at > piece; at += piece) {
        host.u8.set(bytes.subarray(at, at + piece), scratch);
        hashStripes(scratch, piece);
      }
      host.u8.set(at === 0 ? bytes : bytes.subarray(at), scratch);
      return BigInt.asUintN(64, hashEnd(scratch, bytes.length - at, BigInt(bytes.length)));
    },
  };
}
