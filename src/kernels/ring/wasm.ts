import type { KernelHost } from '../host.ts';
import type { RingKernel } from './kernel.ts';

export function createWasmRing(host: KernelHost): RingKernel {
  const { ringBegin, ringAdd, ringOwners } = host.exports;
  return {
    name: 'wasm',
    assign(shards, vnodes, slotBits) {
      if (shards.length === 0) throw new RangeError('a ring needs at least one shard');
      ringBegin(slotBits);
      for (const { shard, weight } of shards) {
        if (!(shard >= 0 && shard <= 0xffff)) throw new RangeError(`shard ${shard} is not between 0 and 65535`);
        const points = Math.max(1, Math.round(vnodes * weight));
        if (!Number.isSafeInteger(points)) throw new RangeError(`shard ${shard} cannot have the weight ${weight}`);
        ringAdd(shard, points, slotBits);
      }
      const at = ringOwners(slotBits);
      return new Uint16Array(host.u8.buffer.slice(at, at + 2 * 2 ** slotBits));
    },
  };
}
