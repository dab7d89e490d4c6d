/** Slot table look-ups, which every key takes, and the making of the table, which a change of topology takes. */
import assert from 'node:assert/strict';
import { loadKernels } from '../../src/kernels/index.ts';
import { LOOK_UP_HASHES } from '../../src/kernels/ring/kernel.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import type { Comparison } from './interleave.ts';
import { lookUp16, lookUp18, lookUpPlain } from './tuned-js/ring.ts';

export async function ringComparisons(): Promise<Comparison[]> {
  return [await lookUps(16, 4_096), await lookUps(16, LOOK_UP_HASHES), await lookUps(18, 4_096), ...(await tables())];
}

/** The hashes lie where the implementation wants them: in the kernel's memory, or in an array. 2^18 slots of u16 are beyond the first caches, and memory is as slow for all. */
async function lookUps(slotBits: 16 | 18, count: number): Promise<Comparison> {
  const { ring } = await loadKernels({ kernel: 'wasm' });
  const copying = (await loadKernels({ kernel: 'wasm' })).ring;
  const slots = ring.assign(equalShards(64), 160, slotBits);
  ring.setSlots(slots);
  copying.setSlots(slots);
  const random = createSeededRandom(slotBits);
  const words = Uint32Array.from({ length: 2 * count }, () => random.uint32());
  const hashes = new BigUint64Array(words.buffer);
  const byteSlots = Uint8Array.from(slots);
  const halfWords = new Uint16Array(words.buffer);
  ring.hashes.set(hashes);

  const owners = new Uint16Array(count);
  const tuned = slotBits === 16 ? () => lookUp16(halfWords, byteSlots, owners) : () => lookUp18(words, slots, owners);
  tuned();
  assert.deepEqual(owners, ring.lookUp(count).slice(), 'the tuned JS finds other owners');
  return {
    name: 'ring',
    case: `look-up of ${count} hashes in 2^${slotBits} slots, batched`,
    ...(slotBits === 16 && count === 4_096 && { plot: 'slot look-up' }),
    items: count,
    unit: 'ns per hash',
    ours: { name: 'wasm', run: () => ring.lookUp(count) },
    peers: [
      { name: 'tuned JS', run: tuned, ...(slotBits === 16 && { goal: { must: 1.3, aim: 2 } }) },
      { name: 'typed-array JS', run: () => lookUpPlain(words, slots, owners) },
      {
        name: 'wasm, hashes copied in',
        run() {
          copying.hashes.set(hashes);
          copying.lookUp(count);
        },
      },
    ],
  };
}

async function tables(): Promise<Comparison[]> {
  const { ring } = await loadKernels({ kernel: 'wasm' });
  const reference = createReferenceRing();
  return [16, 64].map((count) => ({
    name: 'ring',
    case: `making 65,536 slots over ${count} shards, 160 vnodes`,
    items: 65_536,
    unit: 'ns per slot',
    ours: { name: 'wasm', run: () => ring.assign(equalShards(count), 160, 16) },
    peers: [{ name: 'reference twin', run: () => reference.assign(equalShards(count), 160, 16) }],
  }));
}

const equalShards = (count: number) => Array.from({ length: count }, (_, shard) => ({ shard, weight: 1 }));
