import { KernelHost } from '../host.ts';
import type { Crc32cKernel } from './kernel.ts';

/** Bytes that are copied in at a time: with the scratch memory of the kernel they stay in the second-level cache. */
const COPY_BYTES = 128 * 1024;

/** Below, to copy is quicker than to ask whose memory it is. */
const SHORT_BYTES = 1_024;

/** Views of the memory of any kernel are read where they are, others are copied into the batch region of `host` by chunks. */
export function createWasmCrc32c(host: KernelHost): Crc32cKernel {
  const { crcUpdate } = host.exports;
  const copyAt = host.exports.BATCH.value + host.exports.CRC_SCRATCH_BYTES.value;
  return {
    name: 'wasm',
    update(crc, bytes) {
      const owner = bytes.length > SHORT_BYTES ? KernelHost.owning(bytes) : undefined;
      if (owner) return owner.exports.crcUpdate(crc, bytes.byteOffset, bytes.length) >>> 0;
      for (let at = 0; at < bytes.length; at += COPY_BYTES) {
        const chunk = bytes.length <= COPY_BYTES ? bytes : bytes.subarray(at, at + COPY_BYTES);
        host.u8.set(chunk, copyAt);
        crc = crcUpdate(crc, copyAt, chunk.length);
      }
      return crc >>> 0;
    },
  };
}
