/** XXH64 in batches, where the kernel belongs, and key by key, where it does not; murmur2 as Kafka clients use it. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import xxhash from 'xxhash-wasm';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { loadKernels } from '../../src/kernels/index.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import type { Comparison } from './interleave.ts';
import { murmur2, owners16, xxh64Batch16 } from './tuned-js/hash.ts';

const KEYS = 4_096;
/** Bytes of a service name, a host name, a tenant. */
const KEY_BYTES = [6, 40] as const;

export async function hashComparisons(): Promise<Comparison[]> {
  const [{ h64Raw }, { hash }] = await Promise.all([xxhash(), loadKernels({ kernel: 'wasm' })]);
  const reference = createReferenceHash();
  const kafkajsMurmur2 = createRequire(import.meta.url)('kafkajs/src/producer/partitioners/default/murmur2');

  const random = createSeededRandom(16);
  const ids = Uint8Array.from({ length: 16 * KEYS }, () => random.integer(0, 255));
  const idWords = new Uint32Array(ids.buffer);
  const eachId = Array.from({ length: KEYS }, (_, i) => Buffer.from(ids.buffer, 16 * i, 16));
  const lengths = Uint32Array.from({ length: KEYS }, () => random.integer(...KEY_BYTES));
  let next = 0;
  const offsets = lengths.map((length) => {
    next += length;
    return next - length;
  });
  const text = Uint8Array.from({ length: next }, () => random.integer(97, 122));
  const eachText = Array.from(offsets, (offset, i) => Buffer.from(text.subarray(offset, offset + lengths[i]!)));

  const shards = Array.from({ length: 16 }, (_, shard) => ({ shard, weight: 1 }));
  const slots = createReferenceRing().assign(shards, 160, 16);
  hash.setSlots(slots);
  reference.setSlots(slots);

  const owners = new Uint16Array(KEYS);
  const hashes = new BigUint64Array(KEYS);
  const halves = new Int32Array(2 * KEYS);
  owners16(idWords, slots, halves, owners);
  assert.deepEqual(owners, hash.owners16(ids), 'the tuned JS finds other owners');
  assert.deepEqual(eachText.map(murmur2), eachText.map(kafkajsMurmur2), 'the tuned murmur2 is another');

  const common = { name: 'hash', items: KEYS, unit: 'ns per key' } as const;
  return [
    {
      ...common,
      case: 'XXH64 of 16-byte keys + slot, batched',
      plot: 'hash + slot',
      ours: { name: 'wasm', run: () => hash.owners16(ids, owners) },
      peers: [
        {
          name: 'xxhash-wasm, one by one',
          run() {
            for (let i = 0; i < KEYS; i++) owners[i] = slots[Number(h64Raw(eachId[i]!) >> 48n)]!;
          },
          goal: { must: 10, aim: 20 },
        },
        { name: 'tuned JS', run: () => owners16(idWords, slots, halves, owners) },
        { name: 'reference twin', run: () => reference.owners16(ids, owners) },
      ],
    },
    {
      ...common,
      case: 'XXH64 of 16-byte keys, batched',
      ours: { name: 'wasm', run: () => hash.xxh64Batch16(ids, 0n, hashes) },
      peers: [
        { name: 'xxhash-wasm, one by one', run: () => collecting(eachId, hashes, h64Raw) },
        { name: 'tuned JS', run: () => xxh64Batch16(idWords, halves) },
      ],
    },
    {
      ...common,
      case: `XXH64 of keys of ${KEY_BYTES.join(' to ')} bytes, batched`,
      ours: { name: 'wasm', run: () => hash.xxh64Batch({ bytes: text, offsets, lengths }, 0n, hashes) },
      peers: [{ name: 'xxhash-wasm, one by one', run: () => collecting(eachText, hashes, h64Raw) }],
    },
    {
      ...common,
      case: 'XXH64 of 16-byte keys, one a call',
      ours: { name: 'wasm', run: () => each(eachId, (key) => hash.xxh64(key)) },
      peers: [{ name: 'xxhash-wasm', run: () => each(eachId, h64Raw) }],
    },
    {
      ...common,
      case: `murmur2 of keys of ${KEY_BYTES.join(' to ')} bytes, one a call`,
      ours: { name: 'wasm', run: () => each(eachText, (key) => hash.murmur2(key)) },
      peers: [
        { name: 'kafkajs', run: () => each(eachText, kafkajsMurmur2) },
        { name: 'tuned JS', run: () => each(eachText, murmur2) },
      ],
    },
  ];
}

function each(keys: readonly Buffer[], hash: (key: Buffer) => unknown): void {
  for (const key of keys) hash(key);
}

function collecting(keys: readonly Buffer[], hashes: BigUint64Array, hash: (key: Buffer) => bigint): void {
  for (let i = 0; i < keys.length; i++) hashes[i] = hash(keys[i]!);
}
