import { xxh64 } from '../hash/reference.ts';
import type { RingKernel, RingShard } from './kernel.ts';

export function createReferenceRing(): RingKernel {
  return { name: 'reference', assign };
}

function assign(shards: readonly RingShard[], vnodes: number, slotBits: 16 | 18): Uint16Array {
  const points = shards.flatMap((shard) => pointsOf(shard, vnodes));
  if (points.length === 0) throw new RangeError('a ring needs at least one shard');
  points.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : a.shard - b.shard));

  const owners = new Uint16Array(2 ** slotBits);
  const slotShift = BigInt(64 - slotBits);
  let next = 0;
  for (let slot = 0; slot < owners.length; slot++) {
    const slotHash = BigInt(slot) << slotShift;
    while (next < points.length && points[next]!.hash < slotHash) next++;
    owners[slot] = points[next % points.length]!.shard; // Past the last point the ring begins anew.
  }
  return owners;
}

function pointsOf({ shard, weight }: RingShard, vnodes: number): Array<{ hash: bigint; shard: number }> {
  if (!(shard >= 0 && shard <= 0xffff)) throw new RangeError(`shard ${shard} is not between 0 and 65535`);
  const points = Math.max(1, Math.round(vnodes * weight));
  if (!Number.isSafeInteger(points)) throw new RangeError(`shard ${shard} cannot have the weight ${weight}`);
  const key = new Uint8Array(8);
  const view = new DataView(key.buffer);
  view.setUint32(0, shard, true);
  return Array.from({ length: points }, (_, point) => {
    view.setUint32(4, point, true);
    return { hash: xxh64(key), shard };
  });
}
