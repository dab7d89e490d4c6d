import type { RingKernel } from '../../src/kernels/ring/kernel.ts';
import type { Comparison } from './interleave.ts';

export function ringComparisons(ours: RingKernel, reference: RingKernel): Comparison[] {
  return [16, 256].map((count) => {
    const shards = Array.from({ length: count }, (_, shard) => ({ shard, weight: 1 }));
    return {
      name: 'ring',
      case: `65,536 slots over ${count} shards, 160 vnodes`,
      items: 65_536,
      unit: 'ns per slot',
      ours: { name: 'wasm', run: () => ours.assign(shards, 160, 16) },
      peers: [{ name: 'reference twin', run: () => reference.assign(shards, 160, 16) }],
    };
  });
}
